"""Mixed load for a long time, and what of it stays: `python -m tests.soak --minutes 30`, the second half of `make soak`.

A real `acme up` is asked for half an hour what clients ask, at a steady rate well below what it can do: reads, lists, writes
with and without keys, deletes, log-ins and log-outs, answers that are refused for each reason, connections that break off in
the middle of a request or of an answer, and clients that come and go. Every five seconds its memory, file descriptors,
threads and tasks are noted.

After the warm-up memory may drift by 2 %: the median of the last tenth beside that of the first. When the load has ended
and everything has come to rest, there are no more tasks, sockets and other descriptors than before it began, and PostgreSQL
runs no statement and holds no transaction open.

    clients.py       who asks what
    watch.py         what is noted, and what is made of it
    __main__.py      the run
"""
