"""`acme audit verify`: recomputes everything from the bytes that are kept.

    run.py       all logs, and what belongs to none        records.py   one log: numbers, bytes, chain, columns, tree
    report.py    faults, and the exit status               signed.py    its checkpoints: signatures, order, roots
    anchors.py   the object store: checkpoints that the database cannot take back
    archive.py   the object store: the same records, as they came over the bus

A log is walked once, in batches: memory does not grow with it. Nothing is locked, and the log may grow meanwhile: what is
looked at is what it was at the beginning. What is found is told by its first place in each log, and counted.
"""
