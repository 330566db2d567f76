"""What schemathesis is told when it sends to a running platform what the OpenAPI document allows, and what it does not.

`hooks.py` runs inside of schemathesis: it logs people in and puts ids of things that exist into requests. `places.py` makes
those people and things; `schemathesis.toml` says which checks run, and why any of them does not.
"""
