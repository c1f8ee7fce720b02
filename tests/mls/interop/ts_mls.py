"""Clients of ts-mls, which live in one Node process."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest
from tests.mls.interop.clients import EMPTY, Client, Refusal, Sent, Wanted

from waypost.mls.base import tree_math
from waypost.mls.base.registry import ResumptionPskUsage
from waypost.mls.tree.ratchet_tree import RatchetTree

FOLDER: Final = Path(__file__).parent
#: Node needs a second for its start on a busy machine; no single operation takes a tenth of this.
_ANSWER_S: Final = 30.0


def find_node() -> str:
    """The interpreter; skips the test where it or the package is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: install Node 20 or later, then run scripts/interop")
    # npm writes it last.
    if not (FOLDER / "node_modules" / ".package-lock.json").is_file():
        pytest.skip("ts-mls is not installed: scripts/interop installs it")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip(f"ts-mls needs Node 20 or later, this is {version.strip()}")
    return node


class NodeProcess:
    """Runs `ts_mls.mjs`: one request, one answer."""

    def __init__(self, node: str) -> None:
        command = [node, str(FOLDER / "ts_mls.mjs")]
        self._process = subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._rest = b""
        self._names = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def unique(self, name: str) -> str:
        """All tests share the process, so their clients need names of their own."""
        self._names += 1
        return f"{name}-{self._names}"

    def ask(self, op: str, **arguments: object) -> Any:
        """The answer. Raises Refusal where ts-mls has raised an error."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        if "error" in answer:
            raise Refusal(answer["error"])
        return answer["ok"]

    def _line(self) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        until = time.monotonic() + _ANSWER_S
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                assert selector.select(max(0, until - time.monotonic())), "Node has not answered in time"
                data = os.read(stdout.fileno(), 1 << 20)
                assert data, "Node has ended"
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def refuses_tree(tree: RatchetTree) -> bool:
    """True for trees that ts-mls 1.6.4 refuses to join although they are valid.

    It wants all nodes above an unmerged leaf to have the same list of unmerged leaves. §12.4.3.1 wants only those
    between the leaf and a node that lists it to list it too.
    """
    listed = {node: parent.unmerged_leaves for node, parent in tree.parents()}
    return any(
        listed.get(above, leaves) != leaves
        for leaves in listed.values()
        for leaf_index in leaves
        for above in tree_math.direct_path(2 * leaf_index, tree.leaf_count)
    )


@dataclass(frozen=True)
class Successor:
    """Of a new group. ts-mls gives the tree apart."""

    welcome: bytes
    tree: bytes | None = None


class TsMls:
    #: False: GroupInfos as ts-mls makes and reads them, see `ts_mls.mjs`.
    strict = True

    def __init__(
        self, process: NodeProcess, name: str, suite: int = 1, *, public: bool = False, forever: bool = False
    ) -> None:
        """`forever`: its key package has the lifetime that ts-mls gives when none is chosen."""
        self._process, self._name, self._public = process, process.unique(name), public
        self.identity: Final = name.encode()
        process.ask("make", who=self._name, suite=suite, identity=self.identity.hex(), forever=forever)

    def _ask(self, op: str, **arguments: object) -> Any:
        return self._process.ask(op, who=self._name, **arguments)

    @property
    def epoch(self) -> int:
        return int(self._ask("epoch"))

    @property
    def authenticator(self) -> bytes:
        return bytes.fromhex(self._ask("authenticator"))

    @property
    def active(self) -> bool:
        return bool(self._ask("active"))

    def key_package(self) -> bytes:
        return bytes.fromhex(self._ask("key_package"))

    def create(self, group_id: bytes) -> None:
        self._ask("create", group=group_id.hex())

    def join(self, welcome: bytes) -> None:
        self._ask("join", welcome=welcome.hex())

    def commit(self, wanted: Wanted = EMPTY) -> Sent:
        sent = self.prepare(wanted)
        self.merge()
        return sent

    def prepare(self, wanted: Wanted = EMPTY) -> Sent:
        answer = self._ask("commit", proposals=_proposals(wanted), wire_public=self._public)
        return Sent(bytes.fromhex(answer["commit"]), tuple(map(bytes.fromhex, answer["welcomes"])))

    def merge(self) -> None:
        self._ask("merge")

    def propose(self, wanted: Wanted) -> bytes:
        (proposal,) = _proposals(wanted)
        return bytes.fromhex(self._ask("propose", proposal=proposal, wire_public=self._public))

    def hear(self, message: bytes) -> bytes | None:
        data = self._ask("process", message=message.hex())
        return None if data is None else bytes.fromhex(data)

    def encrypt(self, data: bytes) -> bytes:
        return bytes.fromhex(self._ask("encrypt", data=data.hex()))

    def export(self, label: bytes, context: bytes, length: int) -> bytes | None:
        return bytes.fromhex(self._ask("export_secret", label=label.decode(), context=context.hex(), length=length))

    def group_info(self) -> bytes:
        return bytes.fromhex(self._ask("group_info", strict=self.strict))

    def join_externally(self, group_info: bytes, resync: Client | None = None) -> bytes:
        # It finds its old appearance by its signature key.
        again = resync is not None
        answer = self._ask("join_by_external_commit", group_info=group_info.hex(), resync=again, strict=self.strict)
        return bytes.fromhex(answer)

    def give_psk(self, psk_id: bytes, secret: bytes) -> None:
        self._ask("psk", id=psk_id.hex(), secret=secret.hex())

    def succeed(self, old: TsMls, packages: Sequence[bytes], group_id: bytes, usage: ResumptionPskUsage) -> Successor:
        """Make the group that the old one was reinitialised to, or a branch of it."""
        answer = self._ask(
            "succeed",
            old=old._name,
            key_packages=[package.hex() for package in packages],
            group=group_id.hex(),
            branch=usage is ResumptionPskUsage.BRANCH,
        )
        return Successor(bytes.fromhex(answer["welcome"]), bytes.fromhex(answer["tree"]))

    def join_successor(self, old: TsMls, welcome: bytes, usage: ResumptionPskUsage) -> None:
        branch = usage is ResumptionPskUsage.BRANCH
        self._ask("join_successor", old=old._name, welcome=welcome.hex(), branch=branch)


def _proposals(wanted: Wanted) -> list[dict[str, Any]]:
    proposals: list[dict[str, Any]] = [{"add": package.hex()} for package in wanted.add]
    proposals += ({"remove": identity.hex()} for identity in wanted.remove)
    proposals += ({"psk": psk_id.hex()} for psk_id in wanted.psks)
    proposals += ({"extension": ["required_capabilities", each.encode().hex()]} for each in wanted.required)
    proposals += ({"reinit": [group_id.hex(), suite]} for group_id, suite in wanted.reinit)
    return proposals
