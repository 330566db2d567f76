"""Turns configuration and plugins into a running Node; the only floor that imports drivers.

`settings.py` (files, environment, command line → Config) → `discovery.py` (entry points → plugins; what cannot be used is
quarantined) → `assembly.py` (one AsyncExitStack: database, plugins, deliveries, tokens, gateway) → `lifecycle.py` (signals,
drain, stop). `migrations.py` brings each plugin's database up to date; `datafolder.py` keeps DATA: its lock, its size,
its secrets.

Start order, which backwards is the order of stopping:

    metrics · tasks · loop watch · clock · cipher · PostgreSQL · plugins (database, migrations, service) · deliveries, jobs
    · token verifier · gateway
"""
