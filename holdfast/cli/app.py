"""The table of commands, and what an error looks like to a person.

Each command lives in a module named after what it does. Whatever a command raises becomes one line on stderr and an
exit code here; a traceback is a bug. Read ``options.py`` for the options that all of them share.
"""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from holdfast.cli import (
    auditing,
    checking,
    dev,
    doctor,
    health,
    linting,
    migrating,
    reading,
    services,
    starting,
    steering,
    streaming,
)
from holdfast.cli.exits import CommandError, exit_code_of, line_of
from holdfast.errors import HoldfastError
from holdfast.installed import installed_version

app = typer.Typer(
    name="holdfast",
    help="Durable workflows: start the services, start runs, watch and steer them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "HOLDFAST", "help_option_names": ["-h", "--help"]},
)

#: Options of the services belong to the services: the words after the name are handed on untouched.
_HANDED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app.command("dev")(dev.dev)
app.command("store", context_settings=_HANDED_ON)(services.store)
app.command("runtime", context_settings=_HANDED_ON)(services.runtime)
app.command("start")(starting.start)
app.command("runs")(reading.runs)
app.command("show")(reading.show)
app.command("events")(reading.events)
app.command("stream")(streaming.stream)
app.command("why")(reading.why)
app.command("resume")(steering.resume)
app.command("cancel")(steering.cancel)
app.command("wake")(steering.wake)
app.command("check")(checking.check)
app.command("replay")(checking.replay)
app.command("lint")(linting.lint)
app.command("doctor")(doctor.doctor)
app.command("audit")(auditing.audit)
app.command("migrate")(migrating.migrate)
app.command("health")(health.health)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"holdfast {installed_version()}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the name of a command."""


def run() -> None:
    """Run the command of ``sys.argv``. Always leaves by SystemExit."""
    try:
        app()
    except (HoldfastError, CommandError) as error:
        print(f"holdfast: {line_of(error)}", file=sys.stderr)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; nothing is left to say to it
        sys.exit(0)
