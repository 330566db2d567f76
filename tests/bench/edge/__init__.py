"""The gateway beside what it stands in for: `make bench-gateway`.

    load generator ── TLS ──▶ ours: gateway and service in one process ── SQL ──▶ PostgreSQL
                   └─ TLS ──▶ Envoy ── HTTP ──▶ FastAPI on uvicorn ── SQL ──▶ the same PostgreSQL

Both check the same ES256 access token, count the request against a limit, route it, run the same statement and send the same
body, and both write an access log. Envoy has one worker, with jwt_authn (and its cache of verified tokens),
local_ratelimit and router; uvicorn has one process, uvloop and httptools; asyncpg's pool has eight connections, as ours has.
The service behind Envoy believes it: it looks at no token, scope or limit again. That is leaner than ours.

The servers share one core, the load generator and PostgreSQL have the other; rounds alternate. What counts is the CPU time
of the servers a request (of Envoy and uvicorn together): that is what a request costs, however loaded the machine is.

    rival_app.py     the FastAPI service
    rival.py         Envoy and uvicorn as processes
    paced.py         load at a given rate (open loop), for latencies
    __main__.py      the rounds, and what is printed
"""
