"""`make bench-scale`: what a store with very much in it still does in time, on SQLite and on PostgreSQL.

Each module is one question: ``listing`` (a million finished runs), ``retaining`` (deleting them while others write),
``sleeping`` (a hundred thousand runs that wait), ``writing`` (a million events), ``replicas`` (stores and runtimes side
by side). ``filling`` writes what is asked about, ``databases`` says where. The figures are ``benchmarks/figures.py``'s.
"""
