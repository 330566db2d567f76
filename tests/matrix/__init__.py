"""Who may do what, to whose things, by every method with a route: the authorisation matrix.

`methods.py` reads the contracts: which methods there are, what each is about, which ids a request holds. `rows.py` is the
table of what no contract says. `callers.py` is who calls. From these `answers.py` derives the status of every cell, and
`world.py` makes the organisations, people and things that the cells are about. Nothing here asks a service's own code what
it would allow.
"""
