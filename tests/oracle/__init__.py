"""The oracle for order and completeness: what writers committed is what consumers did, whatever was killed in between.

Writers raise the versions of aggregates, and announce each version. Consumers note every version that they hear, and whether
it was the next one, in the transaction that hears it. Meanwhile processes are killed, groups change, sessions of PostgreSQL
end. When all is quiet, for every aggregate and consumer: each version once, in order, up to the last one committed.

- `plugin.py`, `migrations/`: the consumers, and the tables. `writing.py`: the writers.
- `process.py`: the processes. `drill.py`: starts them, and makes trouble. `verdict.py`: compares what is there in the end.

`make oracle SECONDS=120` and `make test-engines` run it: tests/engines/test_oracle.py.
"""
