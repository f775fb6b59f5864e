"""A folder of checkpoints, each evaluated once while a training writes more: what `sambench watch` does.

`checkpoints` finds whole files and their steps, `evaluate` runs one and compares it, `ledger` remembers what was done, `picture`
has the table and the curve, and `loop` goes round until it is told to end.
"""
