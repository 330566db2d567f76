"""`make bench`: what a request, a call, a codec and a start cost. Figures are printed, nothing is asserted.

Noise is high on shared machines, so rounds alternate between what is compared, medians and spread are shown, and ratios are
of figures from one run. CPU time a request is the steadier figure: it does not count what other processes take.

- `__main__.py`: the order of things and the report. `scenario.py`: a kind of request and its rounds; a floor.
- `load.py`: the load generator. `serving.py`: the processes under load, and the cores they may use.
- `bare.py`: the yardstick, a bare aiohttp server. `stranger/`: a plugin with a method that does nothing.
- `calls.py`: codecs and in-process calls, measured in this process.
- `beside.py`: a call to another process, beside grpc.aio with the same message, codec and interceptors. `remote.py`: the
  processes of both.
- `latency.py`: how long an event takes from its commit to another plugin's handler.
- `audit.py`: the audit log, taken in and verified; a million records with `--audit-records 1000000`.
"""
