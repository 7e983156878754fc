"""What both SQL engines say in the same words: columns, statements, lists with filters, and the reader.

Everything here is written once, with ``?`` for a parameter; `dialect.Dialect` names the few spellings that an engine
may have of its own. What differs for a reason (locks, numbers, positions) stays with the engine. It must never execute
a write or know a driver. Read ``statements.py`` next, then ``reader.py``.
"""
