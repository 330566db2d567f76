"""Brokers of one's own for tests: real ones, in processes that can be killed, stopped and started again.

`mock.py` has the cluster inside of librdkafka, which speaks Kafka's protocol and keeps its logs in memory: started in
milliseconds, and able to fail on demand. `apache.py` has Apache Kafka itself, where Java and Maven are at hand.
"""
