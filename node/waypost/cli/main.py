"""The command `waypost`."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from waypost import __version__
from waypost.cli import (
    backup,
    check,
    inbox,
    init,
    join,
    leave,
    peers,
    queue,
    reach,
    run,
    safety,
    send,
    status,
    user,
    why,
)
from waypost.cli.options import wants_json
from waypost.cli.outcome import EPILOG, Exit, failure_of, report


class _Verbs(TyperGroup):
    """Turns foreseeable errors into one line and an exit code. What is left is a defect, and shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            # Where the reader has gone, nobody is left to tell.
            if isinstance(error, BrokenPipeError):
                sys.stdout = None  # nothing more can be flushed at exit
                raise typer.Exit(Exit.FAILED) from None
            raise typer.Exit(Exit.INTERRUPTED) from None
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise typer.Exit(report(failure, as_json=wants_json(ctx))) from None


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"waypost {__version__}\n")
        raise typer.Exit


app = typer.Typer(
    cls=_Verbs,
    name="waypost",
    help="Waypost: a relay node that carries end-to-end encrypted messages between providers, and an app.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command()(init.init)
app.command()(run.run)
app.add_typer(user.app, name="user")
app.command()(status.status)
app.add_typer(peers.app, name="peers")
app.add_typer(queue.app, name="queue")
app.command()(why.why)
app.command()(check.check)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(leave.leave)
app.command()(join.join)
app.command()(send.send)
app.command()(inbox.inbox)
app.command()(reach.reach)
app.command()(safety.safety)
# The lab is a package of its own, beside the product: what it adds is announced, not imported.
for _entry in entry_points(group="waypost.verbs"):
    _verb = _entry.load()
    if isinstance(_verb, typer.Typer):
        app.add_typer(_verb, name=_entry.name)
    else:
        app.command(_entry.name)(_verb)
