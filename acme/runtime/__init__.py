"""Turns configuration and plugins into a running Node; the only floor that imports drivers.

`settings.py` (files, environment, command line → Config) → `roles.py` (what this process is; whether that fits) →
`discovery.py` (entry points → plugins; what cannot be used is quarantined) → `assembly.py` (one AsyncExitStack: port,
database, plugins, neighbours, deliveries, tokens, server, gateway) → `lifecycle.py` (drain, stop) and `report.py` (what is
told when it is ready). `hosting.py` brings one plugin up, `migrations.py` its database up to date, `leases.py` its jobs into
one process; `databases.py` says where databases are, `listener.py` and `edge.py` where the gateway is; `datafolder.py` keeps
DATA: its lock, its size, its secrets.

Several processes: `neighbours.py` is the way to plugins that are elsewhere, `tls/` what proves who is there. On one
machine `supervisor.py` runs them, `shapes.py` says which there are, `children.py` looks after them and `standins.py` has
one stand in for another; `runfolder.py` is where their sockets are, `control.py` how `topology.py` learns what runs where,
and `tracing.py` what a request did. `signals.py` hears SIGINT, SIGTERM and SIGHUP; `reloading.py` reads the configuration
again, and `changes.py` says what that changes.

Events: `eventing.py` opens the bus by its settings (`bus_settings.py`) and starts relays, consumers and archivers;
`nudges.py` is how processes wake each other. For operators' commands, with or without a running platform: `visiting.py`
opens its databases and its bus, `operating.py` does what `acme events` asks.

`vitals.py` measures the process itself; what it does otherwise is measured where it is done.

For authors of plugins: `review.py` says what is wrong with one, `release.py` what others rely on.

Start order, which backwards is the order of stopping:

    port · metrics · tasks · PostgreSQL · clock · stores · cipher · mailer · neighbours · archive · bus · plugins (database,
    migrations, service) · deliveries, jobs · relays, consumers, archivers · token verifier · server for other processes ·
    gateway · control socket
"""
