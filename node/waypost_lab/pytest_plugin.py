"""A pytest fixture for whoever tests an app: `waypost_network`. Registered with the package; does nothing unasked.

Nothing of the lab is imported before a test asks for the fixture, so other test runs are as quick as before.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from waypost_lab.machine import Make
    from waypost_lab.testnet import Network


class MakeNetwork(Protocol):
    """What the fixture gives: call it with the names of the nodes."""

    def __call__(self, *nodes: str | Make, seed: int = 0) -> AbstractAsyncContextManager[Network]: ...


@pytest.fixture
def waypost_network(tmp_path: Path) -> MakeNetwork:
    """Makes networks for a test that runs under trio, as `waypost_lab.network` does.

    Profiles of clients are kept in the test's `tmp_path`, to be looked at after a failure.
    """
    from waypost_lab.testnet import network  # noqa: PLC0415 - see the module

    def make(*nodes: str | Make, seed: int = 0) -> AbstractAsyncContextManager[Network]:
        return network(*nodes, seed=seed, directory=tmp_path / "waypost")

    return make
