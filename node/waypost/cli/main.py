"""The command `waypost`."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer

from waypost import __version__
from waypost.cli.lazy import LazyGroup, Verb
from waypost.cli.options import wants_json
from waypost.cli.outcome import EPILOG, Exit, failure_of, report


def _verb(name: str, text: str, attribute: str = "", module: str = "") -> Verb:
    """One of the product's: the function of its name in the module of its name, unless something else is said."""
    return Verb(name, f"waypost.cli.{module or name}:{attribute or name}", text)


VERBS = (
    _verb("init", "Make the state directory of a new node: its configuration and its key."),
    _verb("run", "Run the node until SIGTERM or Ctrl-C; a second one ends it at once."),
    _verb("user", "Add, list and remove users of this provider, and say who may write to them.", "app"),
    _verb("status", "Show a running node: its peers, what waits for them, and how much passes through."),
    _verb("peers", "List the peers; allow, block, pin or forget one; compare fingerprints.", "app"),
    _verb("queue", "Show what waits for each peer; try again now; give it up.", "app"),
    _verb("why", "Tell where a message is, at which hop, since when, and why."),
    _verb(
        "check",
        "Look for everything that could keep the node from running or from being reached, and say how to mend it.",
    ),
    _verb("backup", "Write the node's configuration, key and database to one file, also while the node runs."),
    _verb("restore", "Fill an empty state directory from a backup.", module="backup"),
    _verb("leave", "Close the provider for good: tell all peers, and stop the node."),
    _verb("join", "Join a provider with an invite: makes a profile with keys of its own, which never leave it."),
    _verb("send", "Send an encrypted message, and tell what becomes of it while waiting."),
    _verb("inbox", "Fetch and show the messages that have arrived. Each is shown once."),
    _verb("reach", "Say, or show, from which other providers you can be written to. To all others you do not exist."),
    _verb("safety", "Show the safety number of you and another user: 60 digits, which are the same for both."),
)


def _all_verbs() -> tuple[Verb, ...]:
    """The product's, and those that others announce: the lab is a package of its own, beside the product."""
    announced: list[Verb] = [entry.load() for entry in entry_points(group="waypost.verbs")]
    leading = [verb for verb in announced if verb.leads]
    return (*leading, *VERBS, *(verb for verb in announced if not verb.leads))


class _Verbs(LazyGroup):
    """Turns foreseeable errors into one line and an exit code. What is left is a defect, and shows its traceback."""

    verbs = _all_verbs()

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
