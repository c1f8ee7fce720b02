"""`lab.toml`: a network described so that it can be shared. All of its faults are told at once, each with a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from waypost.daemon.config import (
    BadConfig,
    Fault,
    LimitsConfig,
    LogConfig,
    Policy,
    Section,
    parse_as,
    parse_reach,
    read_text,
)
from waypost.errors import Code, LocalError
from waypost.ids import Provider, is_lan, parse_provider, parse_user
from waypost.protocol.directory.reach import ReachMode
from waypost_lab.ways import Way, parse_duration, parse_latency, parse_share

LAN_SUFFIX: Final = ".local"
#: The status of all their links, with an error each, fits one frame.
NODES_MAX: Final = 50
USERS_MAX: Final = 100  #: at one node

_BIRDS: Final = (
    *("birdy", "finch", "robin", "heron", "wren", "swift", "raven", "stork", "crane", "eagle"),
    *("falcon", "hawk", "kite", "owl", "swan", "goose", "duck", "teal", "gull", "tern"),
    *("plover", "snipe", "lark", "pipit", "linnet", "siskin", "dunnock", "magpie", "jay", "rook"),
)


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node, and the users that join it. `config`: what its waypost.toml says besides addresses and peers."""

    name: str
    users: tuple[str, ...] = ()
    config: str = ""
    runs: bool = True  #: from the start


@dataclass(frozen=True, slots=True)
class PlannedTraffic:
    """What `lab traffic` does unless it is told otherwise. `rate`: messages a second, all users together."""

    rate: float = 20.0
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class LabPlan:
    """A whole network. `ways`: the paths that are not clear from the start, by (from, to)."""

    title: str
    nodes: tuple[PlannedNode, ...]
    ways: tuple[tuple[str, str, Way], ...] = ()
    traffic: PlannedTraffic = PlannedTraffic()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)


def simple(nodes: int, users: int) -> str:
    """A `lab.toml` of that many nodes, named as birds, and so many users at each. Raises LocalError(BAD_REQUEST)."""
    if not 1 <= nodes <= NODES_MAX or not 0 <= users <= USERS_MAX:
        raise LocalError(
            Code.BAD_REQUEST, f"{nodes} nodes with {users} users each: 1 to {NODES_MAX} nodes, 0 to {USERS_MAX} users"
        )
    names = (*_BIRDS, *(f"node{n + 1}" for n in range(len(_BIRDS), nodes)))[:nodes]
    sections = "".join(f'\n[[nodes]]\nname = "{name}"\n' for name in names)
    return f'title = "{nodes} nodes"\nusers = {users}\n{sections}'


def full_name(name: str) -> Provider:
    """`birdy` → `birdy.local`, in canonical form. Raises LocalError(BAD_ADDRESS)."""
    return parse_provider(name if "." in name else name + LAN_SUFFIX)


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _node_name(value: str) -> str:
    try:
        name = full_name(value)
    except LocalError:
        raise ValueError("not a node's name|Write one such as birdy, which stands for birdy.local") from None
    if not is_lan(name):
        raise ValueError("not a .local name|The nodes of a lab have .local names, so that no DNS is asked for them")
    return name


def _users(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= USERS_MAX:
        return [f"user{n + 1}" for n in range(value)]
    return value


def _user_name(value: str) -> str:
    try:
        return parse_user(value)
    except LocalError:
        raise ValueError("not a user's name|Write the part before the @, such as alice") from None


def _written(parse: Callable[[str], float]) -> BeforeValidator:
    def read(value: Any) -> Any:
        return parse(value) if isinstance(value, str) else parse(f"{value}")

    return BeforeValidator(read)


Name = Annotated[str, AfterValidator(_node_name)]
User = Annotated[str, AfterValidator(_user_name)]
Users = Annotated[list[User], BeforeValidator(_users), Field(max_length=USERS_MAX)]
Latency = Annotated[float, _written(parse_latency)]
Duration = Annotated[float, _written(parse_duration)]
Share = Annotated[float, _written(parse_share)]


class NodeSection(Section):
    """`[[nodes]]`; policy, reach, limits and log as in waypost.toml."""

    name: Name
    users: Users | None = None
    runs: bool = True
    policy: Policy | None = None
    reach: Annotated[ReachMode | tuple[Provider, ...] | None, PlainValidator(parse_reach)] = None
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()


class LinkSection(Section):
    """`[[links]]`: what is wrong between two nodes. Both ways, unless `one_way`: then from the first to the second."""

    between: Annotated[list[Name], Field(min_length=2, max_length=2)]
    one_way: bool = False
    latency: Latency = 0.0
    jitter: Latency = 0.0
    loss: Share = 0.0
    cut: bool = False


class TrafficSection(Section):
    """`[traffic]`."""

    rate: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = PlannedTraffic().rate
    seconds: Annotated[Duration, Field(alias="for")] = PlannedTraffic().seconds


class LabFile(Section):
    """The whole file. `users`: at each node that does not say itself."""

    title: str = ""
    users: Users = Field(default=[])
    nodes: Annotated[list[NodeSection], Field(min_length=1, max_length=NODES_MAX)]
    links: list[LinkSection] = Field(default=[])
    traffic: TrafficSection = TrafficSection()


def load(path: Path) -> LabPlan:
    """Read and check the file. Raises BadConfig with all faults, LocalError(NO_LAB) if there is no file."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise LocalError(Code.NO_LAB, f"{path} does not exist") from None
    return parse(text, path)


def parse(text: str, path: Path) -> LabPlan:
    """The network in that text; `path` is for the messages. Raises BadConfig with all faults."""
    file = parse_as(LabFile, text, path)
    if faults := list(_contradictions(file)):
        raise BadConfig(path, faults)
    return LabPlan(
        file.title or path.stem,
        tuple(_planned(node, file.users) for node in file.nodes),
        tuple(_ways(file.links)),
        PlannedTraffic(file.traffic.rate, file.traffic.seconds),
    )


def _contradictions(file: LabFile) -> Iterator[Fault]:
    names = [node.name for node in file.nodes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault("nodes", name, "is listed twice", "Give each node a name of its own")
    for index, node in enumerate(file.nodes):
        people = node.users or []
        for user in sorted({user for user in people if people.count(user) > 1}):
            yield Fault(f"nodes[{index}].users", user, "is listed twice", "Name each user once")
    seen: set[tuple[str, str]] = set()
    for index, link in enumerate(file.links):
        for name in link.between:
            if name not in names:
                remedy = "Name two of [[nodes]]"
                yield Fault(f"links[{index}].between", name, "is none of the nodes", remedy)
        first, second = link.between
        if first == second:
            yield Fault(f"links[{index}].between", first, "is both ends", "Name two different nodes")
        pairs = {(first, second)} if link.one_way else {(first, second), (second, first)}
        if pairs & seen:
            remedy = "Say all of it in one entry, or make each one_way"
            yield Fault(f"links[{index}].between", f"{first}, {second}", "is described twice", remedy)
        seen |= pairs


def _planned(node: NodeSection, users: Sequence[str]) -> PlannedNode:
    said = node.model_dump(exclude_unset=True, include={"policy", "reach", "limits", "log"})
    return PlannedNode(node.name, tuple(node.users if node.users is not None else users), _toml(said), node.runs)


def _ways(links: Sequence[LinkSection]) -> Iterator[tuple[str, str, Way]]:
    for link in links:
        way = Way(link.latency, link.jitter, link.loss, link.cut)
        first, second = link.between
        yield first, second, way
        if not link.one_way:
            yield second, first, way


def _toml(table: dict[str, Any]) -> str:
    """Values first, then tables; strings as JSON writes them, which TOML reads."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, inner in table.items():
        if isinstance(inner, dict) and inner:
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in inner.items())]
    return "\n".join(lines)


# ── names given by people ───────────────────────────────────────────────────────────────────────────────────────────


def find(names: Sequence[str], given: str) -> str:
    """The node meant by `birdy` or `birdy.local`. Raises LocalError(BAD_REQUEST) with the names there are."""
    for name in names:
        if given.lower() in (name, name.removesuffix(LAN_SUFFIX)):
            return name
    raise LocalError(Code.BAD_REQUEST, f"no node {given!r} in this lab; there are {', '.join(names)}")
