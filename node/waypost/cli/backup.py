"""`waypost backup` and `waypost restore`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.node import state_dir
from waypost.cli.options import Json, State
from waypost.cli.outcome import print_json, tell
from waypost.cli.shapes import BackupMade, BackupRestored
from waypost.cli.words import line, moment, size
from waypost.daemon.ask import ask_node
from waypost.daemon.backup import copy_stopped, restore_backup, write_backup
from waypost.daemon.state import hold
from waypost.errors import Code, LocalError
from waypost.protocol.operator import Backup


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to make; it must not exist yet.")],
    without_keys: Annotated[
        bool,
        typer.Option(
            "--without-keys", help="Leave the node key out. Then the archive gives nobody this node's identity."
        ),
    ] = False,
    state: State = None,
    json: Json = False,
) -> None:
    """Write the node's configuration, key and database to one file, also while the node runs.

    The file can be read by its owner only. It holds the messages that wait, which are encrypted, and, with the key, the
    node's identity: keep it as safe as the node.
    """
    where = state_dir(state)
    target = file.expanduser().absolute()
    now_ms = int(time.time() * 1000)
    if not where.exists():
        raise LocalError(Code.STATE_MISSING, str(where.path))
    try:
        with hold(where):
            made = write_backup(where, target, copy_stopped(where), with_keys=not without_keys, now_ms=now_ms)
    except LocalError as error:
        if error.code is not Code.STATE_IN_USE:
            raise
        made = write_backup(where, target, _ask_for_copy(where.path), with_keys=not without_keys, now_ms=now_ms)
    length = target.stat().st_size
    found = BackupMade(str(target), made.provider, made.with_keys, length)
    tell(found, f"{target}: {size(length)}, {'with' if made.with_keys else 'without'} the node key", as_json=json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `waypost backup` made.")],
    state: State = None,
    json: Json = False,
) -> None:
    """Fill an empty state directory from a backup.

    Messages that came after the backup are lost; apps notice that their published keys may be gone, and publish new
    ones. Never run the restored node and the one that was backed up at the same time.
    """
    where = state_dir(state)
    contents = restore_backup(file.expanduser().absolute(), where, int(time.time() * 1000))
    if json:
        print_json(BackupRestored(str(where.path), contents.provider, contents.made_ms, contents.with_keys))
        return
    line(f"{where.path} holds {contents.provider} as of {moment(contents.made_ms)}.")
    if not contents.with_keys:
        line(f"The backup has no keys: put the node key into {where.key} (mode 0600) before you run the node.")


def _ask_for_copy(state: Path) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        # A large database takes its time; the node goes on working meanwhile.
        with ask_node(state_dir(state), timeout_s=None) as node:
            node.ask(Backup(str(target)))

    return copy
