from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.mls.interop.clients import PUBLIC, Client, Ours
from tests.mls.interop.mls_rs import MlsRs, RineMls
from tests.mls.interop.ts_mls import NodeProcess, TsMls, find_node

#: Name of the implementation, and of the client.
Maker = Callable[[str, str], Client]


@pytest.fixture(scope="session")
def node() -> Iterator[NodeProcess]:
    with NodeProcess(find_node()) as process:
        yield process


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    """Makes a client of an implementation: `client("ts-mls", "alice")`. Skips the test where it is not installed."""

    def make(kind: str, name: str) -> Client:
        match kind:
            case "ours":
                return Ours(name)
            case "ours, public":
                return Ours(name, framing=PUBLIC)
            case "ts-mls":
                return TsMls(request.getfixturevalue("node"), name)
            case "ts-mls, public":
                return TsMls(request.getfixturevalue("node"), name, public=True)
            case "mls-rs":
                return MlsRs(name)
            case "rine":
                return RineMls(tmp_path / name)
            case _:
                raise ValueError(kind)

    return make
