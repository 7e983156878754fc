"""Pages over the runs of a store, for people: what `holdfast dev` opens beside the editor.

    pages.py     the routes; each asks, arranges, renders
    gate.py      who may see them, and what a browser may do with them
    asking.py    what is read for a page, through the front door's own functions
    filters.py   the address of a page ⇄ what it shows
    timeline.py  events → bars over time           log.py  events → rows
    live.py      tells an open page that there is something new

Server-rendered: a page says everything without its script. Read-only. Loaded only where it is switched on
(``RuntimeSettings.ui``), since the template library is not small.
"""
