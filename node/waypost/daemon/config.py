"""`waypost.toml`: what it may say, its defaults, and all of its faults at once."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.inspect import FloatType, type_info
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    create_model,
)

from waypost.crypto.keys import key_text, parse_key
from waypost.daemon.plan import LIMITS, At, Format, Level, Plan, StoreLimits
from waypost.errors import Code, LocalError
from waypost.ids import Provider, is_lan, parse_provider
from waypost.limits import DEFAULT_PORT, MIB, PEERS_MAX, RECORD_ENDPOINTS_MAX
from waypost.protocol.directory.reach import Reach, ReachMode
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode
from waypost.relay.settings import ConfiguredPeer, Quotas, Rates

#: Words of an enum, which the file has as texts.
Policy = Annotated[Mode, Field(strict=False)]
S = TypeVar("S", bound=BaseModel)

_FILE_MAX_BYTES = 1 * MIB
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what stands there, and what to write instead."""

    key: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        stands = f" = {self.value}" if self.value else ""
        return f"{self.key}{stands}: {self.problem}. {self.remedy}"


class BadConfig(LocalError):
    """LocalError(BAD_CONFIG) with every fault that was found, in the order of the file's keys."""

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(Code.BAD_CONFIG, f"{count} in {path}:{lines}\n")
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"{self.code.title}: {self.detail}{self.code.remedy} [{self.code.number}]"


def parse_host_port(text: object) -> At:
    """`192.0.2.7:7711`, `[2001:db8::7]:7711` or `node.finch.example`: DEFAULT_PORT then. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("not an address|Write HOST:PORT in double quotes")  # noqa: TRY004 - what pydantic takes
    wrong = "not HOST:PORT|Write an address and a port, such as 192.0.2.7:7711, [2001:db8::7]:7711 or node.example:7711"
    host, colon, port_text = text.strip().rpartition(":")
    if text.strip().endswith("]") or not colon:
        host, port_text = text.strip(), str(DEFAULT_PORT)
    if not port_text.isascii() or not port_text.isdigit() or not 0 <= int(port_text) <= 65_535:
        raise ValueError(wrong)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ip(host):
            raise ValueError(wrong)
    elif not _HOST.match(host):
        raise ValueError(wrong)
    return At(host, int(port_text))


def _listen(value: object) -> At:
    at = parse_host_port(value)
    if not _is_ip(at.host):
        raise ValueError(
            "not an IP address of this machine|Write 0.0.0.0 for all of IPv4, [::] for all of IPv6, or one address"
        )
    return at


def _endpoint(value: object) -> At:
    at = parse_host_port(value)
    if at.port == 0:
        raise ValueError("port 0 cannot be dialled|Write the port at which others reach the node")
    if _is_ip(at.host) and ipaddress.ip_address(at.host).is_unspecified:
        raise ValueError(
            "stands for any address and cannot be dialled|Write the address at which others reach the node"
        )
    return at


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _provider(value: str) -> Provider:
    try:
        return parse_provider(value)
    except LocalError:
        raise ValueError(
            "not a provider name|Write a DNS name such as finch.example, or one for a LAN, finch.local"
        ) from None


def _key(value: str) -> str:
    try:
        return key_text(parse_key(value))
    except LocalError:
        raise ValueError(
            "not a node key|Copy the 52 characters that `waypost status` shows on the other node"
        ) from None


def _interface(value: str) -> str:
    if not _is_ip(value):
        raise ValueError(
            "not an IP address of this machine|Write an address such as 192.168.1.5, or leave the list out"
        )
    return value


def parse_reach(value: object) -> ReachMode | tuple[Provider, ...]:
    """`"all"`, `"none"`, or a list of providers. Raises ValueError."""
    if value in (ReachMode.ALL, ReachMode.NONE):
        return ReachMode.ALL if value == ReachMode.ALL else ReachMode.NONE
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError('neither "all" nor "none" nor a list|Write "all", "none", or a list of providers in brackets')
    return tuple(_provider(name) for name in value)


ProviderName = Annotated[str, AfterValidator(_provider)]
Listen = Annotated[At, PlainValidator(_listen)]
Dialable = Annotated[At, PlainValidator(_endpoint)]
Key = Annotated[str, AfterValidator(_key)]


class Section(BaseModel):
    """Part of a file in which every key must be known and of the right type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PeerConfig(Section):
    """A peer that is dialled from the start. With a key, no other key is believed."""

    provider: ProviderName
    endpoint: Annotated[
        list[Dialable], BeforeValidator(_one_or_more), Field(min_length=1, max_length=RECORD_ENDPOINTS_MAX)
    ]
    key: Key | None = None


class MdnsConfig(Section):
    """`enabled` None: on for a `.local` name, off for any other."""

    enabled: bool | None = None
    interfaces: list[Annotated[str, AfterValidator(_interface)]] | None = Field(default=None, max_length=64)


if TYPE_CHECKING:

    class LimitsConfig(Section):
        """The keys of `LIMITS`."""

        def __getattr__(self, key: str) -> float: ...

else:

    def _keys(kinds: Iterable[type[Struct]]) -> Iterator[tuple[str, Any]]:
        for field in (field for kind in kinds for field in type_info(kind).fields):
            number = float if isinstance(field.type, FloatType) else int
            bounds = Field(ge=field.type.ge, le=field.type.le, allow_inf_nan=None if number is int else False)
            yield field.encode_name, (Annotated[number, bounds], field.default)

    LimitsConfig = create_model("LimitsConfig", __base__=Section, **dict(_keys(LIMITS)))


class LogConfig(Section):
    level: Annotated[Level, Field(strict=False)] = Level.INFO
    format: Annotated[Format, Field(strict=False)] = Format.PLAIN


class Config(Section):
    """The file as it stands; `None` means the default for the kind of name, see the properties."""

    name: ProviderName
    listen: list[Listen] | None = Field(default=None, min_length=1, max_length=16)
    announce: list[Dialable] = Field(default=[], max_length=RECORD_ENDPOINTS_MAX)
    policy: Policy | None = None
    reach: Annotated[ReachMode | tuple[Provider, ...] | None, PlainValidator(parse_reach)] = None
    #: Seconds that a busy thread keeps others waiting (`sys.setswitchinterval`).
    switch_interval: Annotated[float, Field(ge=0.000_05, le=0.1)] = 0.001
    peers: list[PeerConfig] = Field(default=[], max_length=PEERS_MAX)
    mdns: MdnsConfig = MdnsConfig()
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()

    @property
    def provider(self) -> Provider:
        return Provider(self.name)

    @property
    def peer_policy(self) -> Mode:
        return self.policy or (Mode.OPEN if is_lan(self.provider) else Mode.KNOWN)

    @property
    def default_reach(self) -> ReachMode:
        """Who may write to accounts that have not said; for `SOME`, `reach_providers`."""
        if isinstance(self.reach, tuple):
            return ReachMode.SOME
        return self.reach or (ReachMode.ALL if is_lan(self.provider) else ReachMode.NONE)

    @property
    def reach_providers(self) -> tuple[Provider, ...]:
        return self.reach if isinstance(self.reach, tuple) else ()

    @property
    def uses_mdns(self) -> bool:
        enabled = self.mdns.enabled
        return is_lan(self.provider) if enabled is None else enabled


def plan(config: Config) -> Plan:
    """The same with all defaults filled in, as the node's process takes it."""
    limits = config.limits.model_dump()
    return Plan(
        config.provider,
        tuple(config.listen) if config.listen else None,
        _endpoints(config.announce),
        config.peer_policy,
        Reach(config.default_reach, config.reach_providers),
        tuple(map(_configured, config.peers)),
        config.uses_mdns,
        _mdns_interfaces(config),
        msgspec.convert(limits, Rates),
        msgspec.convert(limits, Quotas),
        msgspec.convert(limits, StoreLimits),
        config.switch_interval,
        config.log.level,
        config.log.format,
    )


def _configured(peer: PeerConfig) -> ConfiguredPeer:
    key = parse_key(peer.key) if peer.key else None
    return ConfiguredPeer(Provider(peer.provider), _endpoints(peer.endpoint), key)


def _endpoints(places: Iterable[At]) -> tuple[RecordEndpoint, ...]:
    return tuple(RecordEndpoint(at.host, at.port) for at in places)


def _mdns_interfaces(config: Config) -> tuple[str, ...] | None:
    """Where nothing is said, those that the node listens at: elsewhere it would announce what nobody can dial."""
    if config.mdns.interfaces is not None:
        return tuple(config.mdns.interfaces)
    hosts = dict.fromkeys(at.host for at in config.listen or ())
    if any(ipaddress.ip_address(host).is_unspecified for host in hosts):
        return None
    # IPv6 multicast is not to be had on every interface, loopback for one; `None` means all of IPv4.
    return tuple(host for host in hosts if ":" not in host) or None


def load(path: Path) -> Config:
    """Read and check the file. Raises BadConfig with all faults, LocalError(STATE_MISSING) if there is no file."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise LocalError(Code.STATE_MISSING, str(path.parent)) from None
    return parse(text, path)


def read_text(path: Path) -> str:
    """What is in such a file. Raises FileNotFoundError, BadConfig if it cannot be read or is too long."""
    try:
        if path.stat().st_size > _FILE_MAX_BYTES:
            raise BadConfig(path, [Fault(path.name, "", "longer than 1 MiB", "This is no configuration: waypost init")])
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(path.name, "", f"cannot be read ({error})", "Mend the file or its permissions")
        raise BadConfig(path, [fault]) from None


def parse(text: str, path: Path) -> Config:
    """The configuration in that text; `path` is for the messages. Raises BadConfig with all faults."""
    config = parse_as(Config, text, path)
    if faults := _contradictions(config):
        raise BadConfig(path, faults)
    return config


def parse_as(kind: type[S], text: str, path: Path) -> S:
    """Another file of the same manner: TOML that is one `kind`. Raises BadConfig with all faults."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        fault = Fault(path.name, "", f"not TOML: {error}", "Mend that line; texts stand in double quotes")
        raise BadConfig(path, [fault]) from None
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise BadConfig(path, _faults(error)) from None


def _contradictions(config: Config) -> list[Fault]:
    """What is right in each line and wrong together."""
    names = [peer.provider for peer in config.peers]
    twice = sorted({name for name in names if names.count(name) > 1})
    remedy = "Put all of its addresses into the endpoint list of one entry"
    faults = [Fault("peers", name, "is listed twice", remedy) for name in twice]
    if config.name in names:
        faults.append(Fault("peers", config.name, "is this node itself", "Remove the entry"))
    if config.uses_mdns and not is_lan(config.provider):
        faults.append(
            Fault(
                "mdns.enabled", "true", f"mDNS speaks for .local names only, not for {config.name}", "Remove the line"
            )
        )
    return faults


_WORDS = {
    "extra_forbidden": ("no such key", "Check the spelling, or remove it"),
    "missing": ("is missing", "Add it"),
    "enum": ("not one of the choices", "Write {expected}"),
    "too_short": ("too few entries", "Give at least one, or remove the line"),
    "too_long": ("too many entries", "Give at most {max_length}"),
    "greater_than_equal": ("too small", "Write {ge:g} or more"),
    "less_than_equal": ("too large", "Write {le:g} or less"),
    "finite_number": ("not a finite number", "Write a number"),
    "string_type": ("not a text", "Write it in double quotes"),
    "int_type": ("not a whole number", "Write digits only, without quotes"),
    "float_type": ("not a number", "Write digits, without quotes"),
    "bool_type": ("not yes or no", "Write true or false, without quotes"),
    "list_type": ("not a list", 'Write it in brackets: ["first", "second"]'),
    "model_type": ("not a section", "Write it in brackets on a line of its own, and its keys below"),
}


def _faults(error: ValidationError) -> list[Fault]:
    faults = []
    for entry in error.errors(include_url=False):
        kind = entry["type"]
        path = _key_path(entry["loc"])
        value = "" if kind == "missing" else _shown(entry["input"])
        if kind == "value_error":
            problem, _, remedy = str(entry["ctx"]["error"]).partition("|")
        else:
            problem, remedy = _WORDS.get(kind, (entry["msg"], "Compare docs/operating.md"))
            remedy = remedy.format(**entry.get("ctx", {}))
        faults.append(Fault(path, value, problem, remedy))
    return faults


def _key_path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 80 else text[:77] + "…"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
