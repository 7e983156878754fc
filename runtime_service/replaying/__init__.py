"""Recorded runs replayed outside of a runtime: to check new code before it is deployed, and to see what a run did.

Nothing here writes or holds anything; a store is only read. `check.py` replays many runs, `telling.py` tells one.
"""
