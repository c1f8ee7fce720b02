"""`lab.toml`: what it may say, and all of its faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from waypost.daemon import config
from waypost.daemon.config import BadConfig
from waypost.errors import Code, LocalError
from waypost_lab.box.plan import NODES_MAX, LabPlan, find, load, parse, simple
from waypost_lab.ways import Way

FILE = Path("lab.toml")
WHOLE = """
title = "Two towns"
users = 2

[[nodes]]
name = "Birdy"
users = ["alice", "bob"]
policy = "allowlist"
reach = ["finch.local"]
[nodes.limits]
mailbox_max_envelopes = 10
[nodes.log]
level = "debug"

[[nodes]]
name = "finch.local"

[[nodes]]
name = "robin"
users = 0
runs = false

[[links]]
between = ["birdy", "finch"]
latency = "40ms"
jitter = "5ms"
loss = "1%"

[[links]]
between = ["finch", "robin"]
one_way = true
cut = true

[traffic]
rate = 5
for = "90s"
"""


def faults(text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        parse(text, FILE)
    assert caught.value.code is Code.BAD_CONFIG
    return str(caught.value)


def test_a_whole_file() -> None:
    plan = parse(WHOLE, FILE)
    assert plan.title == "Two towns"
    assert plan.names == ("birdy.local", "finch.local", "robin.local")
    assert [node.users for node in plan.nodes] == [("alice", "bob"), ("user1", "user2"), ()]
    assert [node.runs for node in plan.nodes] == [True, True, False]
    slow, cut = Way(0.04, 0.005, 0.01), Way(cut=True)
    assert plan.ways == (
        ("birdy.local", "finch.local", slow),
        ("finch.local", "birdy.local", slow),
        ("finch.local", "robin.local", cut),
    )
    assert (plan.traffic.rate, plan.traffic.seconds) == (5, 90)


def test_what_a_node_is_told_is_its_configuration() -> None:
    node = parse(WHOLE, FILE).nodes[0]
    told = config.parse(f'name = "{node.name}"\n{node.config}\n[mdns]\nenabled = false\n', Path("waypost.toml"))
    assert told.policy == "allowlist"
    assert told.reach == ("finch.local",)
    assert told.limits.mailbox_max_envelopes == 10
    assert told.limits.account_rate_per_s == config.LimitsConfig().account_rate_per_s
    assert told.log.level == "debug"


def test_little_need_be_said() -> None:
    plan = parse('[[nodes]]\nname = "birdy"\n', FILE)
    assert plan.nodes[0].users == ()
    assert plan.nodes[0].config == ""
    assert plan.ways == ()
    assert plan.title == "lab"
    assert (plan.traffic.rate, plan.traffic.seconds) == (20, 30)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nodes: is missing"),
        ("nodes = []", "nodes = []: too few entries"),
        ('[[nodes]]\nname = "birdy"\nnmae = 1', "nodes[0].nmae = 1: no such key. Check the spelling"),
        ('[[nodes]]\nname = "birdy.example"', "not a .local name"),
        ('[[nodes]]\nname = "a b"', "not a node's name. Write one such as birdy"),
        ('[[nodes]]\nname = "birdy"\n[[nodes]]\nname = "birdy.local"', "birdy.local: is listed twice"),
        ('[[nodes]]\nname = "birdy"\nusers = ["a b"]', "nodes[0].users[0] = 'a b': not a user's name"),
        ('[[nodes]]\nname = "birdy"\nusers = ["a", "a"]', "nodes[0].users = a: is listed twice"),
        ('[[nodes]]\nname = "birdy"\nusers = -1', "nodes[0].users = -1: not a list"),
        ('[[nodes]]\nname = "birdy"\n[nodes.limits]\nmailbox_max_bytes = 1', "limits.mailbox_max_bytes = 1: too small"),
        ('[[nodes]]\nname = "birdy"\n[[links]]\nbetween = ["birdy", "wren"]', "wren.local: is none of the nodes"),
        ('[[nodes]]\nname = "birdy"\n[[links]]\nbetween = ["birdy", "birdy"]', "is both ends"),
        ('[[nodes]]\nname = "birdy"\n[[links]]\nbetween = ["birdy"]', "links[0].between"),
        ("[traffic]\nrate = 0\n" + '[[nodes]]\nname = "birdy"', "traffic.rate = 0: "),
        ('[traffic]\nfor = "soon"\n[[nodes]]\nname = "birdy"', "Write a number and a unit"),
        ("title = birdy", "not TOML"),
    ],
)
def test_a_fault_is_named_with_its_key(text: str, told: str) -> None:
    assert told in faults(text)


def test_a_link_is_described_once() -> None:
    nodes = '[[nodes]]\nname = "birdy"\n[[nodes]]\nname = "finch"\n'
    both, back = (
        '[[links]]\nbetween = ["birdy", "finch"]\n',
        '[[links]]\nbetween = ["finch", "birdy"]\none_way = true\n',
    )
    assert "is described twice" in faults(nodes + both + back)
    one_way = both + "one_way = true\nlatency = '1ms'\n"
    assert len(parse(nodes + one_way + back, FILE).ways) == 2


def test_all_faults_are_told_at_once() -> None:
    told = faults(
        '[[nodes]]\nname = "birdy"\nruns = "yes"\n[[links]]\nbetween = ["birdy", "finch"]\nlatency = "40"\nloss = "2"\n'
    )
    assert "3 faults in lab.toml" in told
    for key in ("nodes[0].runs", "links[0].latency", "links[0].loss"):
        assert key in told


def test_the_simple_network_is_a_file_as_well() -> None:
    plan = parse(simple(30, 3), FILE)
    assert isinstance(plan, LabPlan)
    assert len(set(plan.names)) == 30
    assert {node.users for node in plan.nodes} == {("user1", "user2", "user3")}
    assert len(parse(simple(NODES_MAX, 0), FILE).nodes) == NODES_MAX


@pytest.mark.parametrize(("nodes", "users"), [(0, 1), (NODES_MAX + 1, 1), (1, -1), (1, 1000)])
def test_a_network_has_bounds(nodes: int, users: int) -> None:
    with pytest.raises(LocalError) as caught:
        simple(nodes, users)
    assert caught.value.code is Code.BAD_REQUEST


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as caught:
        load(tmp_path / "lab.toml")
    assert caught.value.code is Code.NO_LAB


def test_nodes_are_found_by_short_names() -> None:
    names = ("birdy.local", "finch.local")
    assert find(names, "birdy") == find(names, "BIRDY.local") == "birdy.local"
    with pytest.raises(LocalError, match=r"no node 'wren' in this lab; there are birdy\.local, finch\.local"):
        find(names, "wren")
