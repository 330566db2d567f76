"""The way in: HTTP in front of the contracts.

One flat pipeline, in the order of `app.py`; every step either lets the request pass or raises `Refused`, and one
catch-all (`problems.py`) makes the answer of it. There are no middlewares and no per-route decorators: routes, parameters,
bodies, permissions and documentation are projections of the contracts, compiled once a route into a `Bound`.

- `app.py`: the pipeline, and the gateway's start, drain and end.
- `server.py`: aiohttp's low-level server with our own requests, and replies that leave in one write.
- `connection.py`, `peers.py`: one connection, and all of them: time limits of every phase, and how many there may be.
- `one_task.py`, `sending.py`, `repeated.py`: what a connection is made of: its loop over plain requests, how answers leave
  it, and heads that need no parser, as the one before was the same but for the path.
- `strict.py`: heads of requests that the parser takes and the gateway does not.
- `bodies.py`: bodies that are taken whole.
- `routing.py`: google.api.http templates → trie. Matches the raw path, so that no escape changes a route.
- `listening.py`, `handshakes.py`: all listeners, and connections whose TLS handshake is not done.
- `clients.py`: certificates of clients, and whom they stand for.
- `redirect.py`: plain HTTP that says where HTTPS is.
- `binding.py`: path, query, headers and body → request message; reply message → body and headers.
- `served.py`: routes of contracts, and endpoints of our own, in one trie.
- `policy.py`: what holds for a method: its contract, and what `[gateway.routes]` says otherwise.
- `exchange.py`: one request on its way.
- `addresses.py`: where it comes from, behind balancers that are named.
- `limits.py`: how often an address, and a principal, may ask.
- `lanes.py`, `breaker.py`: how much of the gateway one service may take, and when it is left alone.
- `overload.py`, `sieve.py`: how much is taken on at a time, who is refused when more comes, and where that costs least.
- `queues.py`: how long calls wait for a database, and the line in which requests wait unread when too many do.
- `cors.py`: which pages of other origins may call.
- `auth.py`: Bearer token → principal, and the scope of the matched method.
- `answers.py`: what a request has come to → its answer, its log line, its metrics.
- `problems.py`: refusals → RFC 9457 problems; the table of error codes.
- `endpoints.py`: /healthz, /readyz, /metrics, /v1/openapi.json, /.well-known/jwks.json.
- `openapi.py`, `schemas.py`, `examples.py`: contracts → OpenAPI 3.1, with an example of everything.
- `docs_page.py`, `docs/`: the page that shows it, at /docs.
- `transfers.py`: bodies in pieces, up and down; `parts.py`: a part of what is downloaded.
- `events.py`, `feed.py`: a stream of messages as Server-Sent Events: their format, and one on its way.
- `streams.py`: which of these a request is, and its end when the gateway ends.
- `headers.py`, `deadlines.py`: what every request may say, and until when it is worth an answer.
- `monitor.py`: the same health and metrics on a port for operators, in every process.
- `accounts.py`, `access.py`: what is kept of a request that has ended: its duration, and a line of the access log.
- `refusals.py`, `spool.py`: what the gateway itself refuses, on its way to the audit log.
- `registry.py`: the schemas of events, on the operators' port, as Confluent's registry tells them.
- `settings.py`, `service_settings.py`, `overload_settings.py`, `tls_settings.py`: `[gateway]`.

The gateway imports no dispatch: it makes the `Call` of a request and sends it in at an `Entry` that the Directory gives it
(streams go through clients), and cannot tell where a service runs.

What a request costs beside a bare aiohttp server is a floor of `make bench`. Nearly all of it is bytecodes of ours, of which
there are about 1500 a request (aiohttp has 500), readings of clocks (0.04 µs each) and objects with an `__init__`.
"""
