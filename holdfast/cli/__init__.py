"""The `holdfast` command.

Owns what a person types: options, tables, exit codes, errors in one line. It steers through ``RuntimeService`` like any
other client and knows no service from inside; ``services.py`` alone starts them. Importing this package costs
nothing: ``app.py`` holds the commands and is loaded by ``main``.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and exit: 0 done, 1 the run failed, 2 wrong use, 3 not reachable."""
    from holdfast.cli.app import run

    run()
