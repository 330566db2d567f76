"""Turns configuration and plugins into a running Node; the only floor that imports drivers.

`settings.py` (files, environment, command line → Config) → `discovery.py` (entry points → plugins; what cannot be used is
quarantined) → `assembly.py` (one AsyncExitStack: port, database, plugins, deliveries, tokens, gateway) → `lifecycle.py`
(signals, drain, stop). `hosting.py` brings one plugin up, `migrations.py` its database up to date; `databases.py` says where
databases are, `listener.py` where the gateway is; `datafolder.py` keeps DATA: its lock, its size, its secrets.

Start order, which backwards is the order of stopping:

    port · metrics · tasks · PostgreSQL · clock · cipher · mailer · plugins (database, migrations, service)
    · deliveries, jobs · token verifier · gateway
"""
