"""What every Store must do. `check_store(make)` gives the checks, each to be awaited, over a maker of stores."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from tests.storage import check_accounts, check_changes, check_keys, check_mail, check_restart
from tests.storage.samples import watch_usage

from waypost.storage.store import Store

#: Opens the store in that file; one that keeps nothing may ignore the path.
Make = Callable[[Path], AbstractAsyncContextManager[Store]]

CHECKS = [*check_mail.CHECKS, *check_accounts.CHECKS, *check_keys.CHECKS, *check_changes.CHECKS]
#: For stores that outlive the process: they take the maker and the path.
RESTART_CHECKS = check_restart.CHECKS


async def _run(make: Make, check: Callable[[Store], Awaitable[None]], path: Path) -> None:
    async with make(path) as store:
        await watch_usage(store)
        await check(store)


def check_store(make: Make, *, durable: bool) -> dict[str, Callable[[Path], Awaitable[None]]]:
    """The checks by name; each takes the path for a new store."""
    checks: dict[str, Callable[[Path], Awaitable[None]]] = {
        check.__name__: partial(_run, make, check) for check in CHECKS
    }
    if durable:
        checks |= {check.__name__: partial(check, make) for check in RESTART_CHECKS}
    return checks
