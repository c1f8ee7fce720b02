from pathlib import Path

import pytest

from waypost.crypto.keys import SigningKey, key_text
from waypost.daemon.config import BadConfig, load, parse, parse_host_port, plan
from waypost.daemon.plan import decode, encode
from waypost.daemon.template import template
from waypost.errors import Code, LocalError
from waypost.ids import Provider

FILE = Path("waypost.toml")
KEY = key_text(SigningKey(bytes(32)).public)


def faults_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(BadConfig) as raised:
        parse(text, FILE)
    assert raised.value.code is Code.BAD_CONFIG
    assert all(fault.problem and fault.remedy for fault in raised.value.faults)
    for fault in raised.value.faults:
        assert str(fault) in str(raised.value)
    return [(fault.key, fault.value) for fault in raised.value.faults]


def test_lan_name_needs_no_more_configuration() -> None:
    config = parse('name = "birdy.local"', FILE)
    assert (config.peer_policy, config.default_reach, config.uses_mdns) == ("open", "all", True)


def test_dns_name_is_careful() -> None:
    config = parse('name = "Birdy.Example."', FILE)
    assert config.provider == "birdy.example"
    assert (config.peer_policy, config.default_reach, config.uses_mdns) == ("known", "none", False)


def test_everything_can_be_said() -> None:
    text = f"""
        name = "birdy.example"
        listen = ["127.0.0.1:0", "[::1]:7711"]
        announce = ["node.birdy.example:443", "[2001:db8::7]"]
        policy = "allowlist"
        reach = ["Finch.example"]
        switch_interval = 0.005
        [[peers]]
        provider = "finch.example"
        endpoint = "192.0.2.7:1"
        key = "{KEY.upper()}"
        [[peers]]
        provider = "wren.local"
        endpoint = ["192.0.2.8:1", "wren:2"]
        [mdns]
        enabled = false
        interfaces = ["127.0.0.1"]
        [limits]
        account_rate_per_s = 5
        storage_max_bytes = 1000000
        [log]
        level = "debug"
        format = "json"
    """
    config = parse(text, FILE)
    assert [str(at) for at in config.listen or []] == ["127.0.0.1:0", "[::1]:7711"]
    assert [str(at) for at in config.announce] == ["node.birdy.example:443", "[2001:db8::7]:7711"]
    assert (config.default_reach, config.reach_providers) == ("some", ("finch.example",))
    assert [peer.key for peer in config.peers] == [KEY, None]
    assert [str(at) for at in config.peers[1].endpoint] == ["192.0.2.8:1", "wren:2"]
    assert config.limits.account_rate_per_s == 5
    assert (config.log.level, config.log.format) == ("debug", "json")


def test_three_mistakes_are_three_reports() -> None:
    text = 'name = "birdy"\npolcy = "open"\nlisten = ["everywhere:7711"]'
    assert faults_of(text) == [("name", "'birdy'"), ("listen[0]", "'everywhere:7711'"), ("polcy", "'open'")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('listen = ["127.0.0.1:7711"]', "name"),
        ('name = "a.example"\nlisten = []', "listen"),
        ('name = "a.example"\nlisten = "127.0.0.1:1"', "listen"),
        ('name = "a.example"\nlisten = ["127.0.0.1:65536"]', "listen[0]"),
        ('name = "a.example"\nlisten = ["127.0.0.1:-1"]', "listen[0]"),
        ('name = "a.example"\nlisten = ["[fe80::zz]:1"]', "listen[0]"),
        ('name = "a.example"\nannounce = ["a.example:0"]', "announce[0]"),
        ('name = "a.example"\nannounce = ["0.0.0.0:7"]', "announce[0]"),
        ('name = "a.example"\nannounce = ["a b:7"]', "announce[0]"),
        ('name = "a.example"\npolicy = "anyone"', "policy"),
        ('name = "a.example"\nreach = "some"', "reach"),
        ('name = "a.example"\nreach = ["finch"]', "reach"),
        ('name = "a.example"\nreach = [3]', "reach"),
        ('name = "a.example"\nswitch_interval = 0', "switch_interval"),
        ('name = "a.example"\nswitch_interval = nan', "switch_interval"),
        ('name = "a.example"\npeers = ["finch.example"]', "peers[0]"),
        ('name = "a.example"\n[[peers]]\nprovider = "b.example"', "peers[0].endpoint"),
        ('name = "a.example"\n[[peers]]\nprovider = "b.example"\nendpoint = "b:1"\nkey = "short"', "peers[0].key"),
        ('name = "a.example"\n[[peers]]\nprovider = "a.example"\nendpoint = "b:1"', "peers"),
        ('name = "a.example"\n[mdns]\nenabled = true', "mdns.enabled"),
        ('name = "a.local"\n[mdns]\ninterfaces = ["eth0"]', "mdns.interfaces[0]"),
        ('name = "a.example"\nlimits = 5', "limits"),
        ('name = "a.example"\n[limits]\naccount_burst = inf', "limits.account_burst"),
        ('name = "a.example"\n[limits]\nmailbox_max_bytes = 12', "limits.mailbox_max_bytes"),
        ('name = "a.example"\n[log]\nlevel = "loud"', "log.level"),
        ("name = ", "waypost.toml"),
    ],
)
def test_one_mistake_is_one_report(text: str, key: str) -> None:
    assert [found for found, _ in faults_of(text)] == [key]


def test_peer_listed_twice() -> None:
    peer = '[[peers]]\nprovider = "b.example"\nendpoint = "b:1"\n'
    assert faults_of(f'name = "a.example"\n{peer}{peer}') == [("peers", "b.example")]


@pytest.mark.parametrize("name", ["birdy.local", "birdy.example"])
def test_template_shows_the_defaults_that_hold(name: str) -> None:
    text = template(Provider(name))
    config = parse(text, FILE)
    section, shown = "", {}
    for line in text.splitlines():
        if line.startswith(("[", "# [")):
            section = line.strip("# []") + "."
        key, equals, value = line.removeprefix("# ").partition(" = ")
        if line.startswith("# ") and equals and key.isidentifier():
            shown[section + key] = value.partition("  #")[0].strip()
    assert shown["policy"] == f'"{config.peer_policy}"'
    assert shown["reach"] == f'"{config.default_reach}"'
    assert shown["mdns.enabled"] == str(config.uses_mdns).lower()
    assert shown["switch_interval"] == str(config.switch_interval)
    for key, value in config.limits.model_dump().items():
        assert float(shown[f"limits.{key}"]) == value
    assert (shown["log.level"], shown["log.format"]) == ('"info"', '"plain"')


def test_template_with_addresses_to_listen_at() -> None:
    config = parse(template(Provider("birdy.local"), ["127.0.0.1:0"]), FILE)
    assert [str(at) for at in config.listen or []] == ["127.0.0.1:0"]


@pytest.mark.parametrize(
    ("lines", "interfaces"),
    [
        ("", None),
        ('listen = ["0.0.0.0:1", "[::]:1"]', None),
        ('listen = ["127.0.0.1:1", "0.0.0.0:2"]', None),
        ('listen = ["127.0.0.1:1", "127.0.0.1:2", "192.0.2.1:1"]', ("127.0.0.1", "192.0.2.1")),
        ('listen = ["[::1]:1", "192.0.2.1:1"]', ("192.0.2.1",)),
        ('listen = ["[::1]:1"]', None),
        ('listen = ["127.0.0.1:1"]\nmdns.interfaces = ["192.0.2.1"]', ("192.0.2.1",)),
    ],
)
def test_a_node_is_announced_where_it_listens(lines: str, interfaces: tuple[str, ...] | None) -> None:
    assert plan(parse(f'name = "birdy.local"\n{lines}', FILE)).mdns_interfaces == interfaces


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as raised:
        load(tmp_path / "waypost.toml")
    assert raised.value.code is Code.STATE_MISSING


def test_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "waypost.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig):
        load(path)


def test_file_that_is_endless(tmp_path: Path) -> None:
    path = tmp_path / "waypost.toml"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(BadConfig):
        load(path)


def test_host_and_port() -> None:
    assert (parse_host_port("[::1]:5").host, parse_host_port("[::1]:5").port) == ("::1", 5)
    assert parse_host_port("node.example").port == 7711
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_host_port("::1")


def test_the_plan_is_the_same_for_the_process_that_it_is_handed_to() -> None:
    text = f"""
        name = "birdy.example"
        listen = ["127.0.0.1:0"]
        announce = ["node.birdy.example:443"]
        reach = ["finch.example"]
        [[peers]]
        provider = "finch.example"
        endpoint = ["192.0.2.8:1", "wren:2"]
        key = "{KEY}"
        [limits]
        mailbox_max_bytes = 1000000
        outbox_max_bytes = 2000000
        storage_max_bytes = 3000000
    """
    planned = plan(parse(text, FILE))
    assert decode(encode(planned)) == planned
    assert (planned.quotas.mailbox_bytes, planned.quotas.outbox_bytes) == (1_000_000, 2_000_000)
    assert (planned.store.storage_max_bytes, planned.reach.admits(Provider("finch.example"))) == (3_000_000, True)
