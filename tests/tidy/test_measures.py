"""What is counted is what is meant, on trees of a few lines."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from tests.tidy import delivery, measures
from tests.tidy.trees import Tree


def tree(root: Path, **files: str) -> Tree:
    """`relay__custody__intake="…"` is node/waypost/relay/custody/intake.py; packages above it come by themselves."""
    for name, text in files.items():
        path = root / "node" / "waypost" / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        for folder in path.relative_to(root / "node").parents:
            if folder.name:
                (root / "node" / folder / "__init__.py").touch()
    return Tree(root)


def ends(found: list[str]) -> list[str]:
    """Without the places."""
    return [each.partition(" ")[2] for each in found]


# ── delivery ────────────────────────────────────────────────────────────────────────────────────────────────────────

NEW = {
    "relay__custody__intake": """
        from typing import TYPE_CHECKING
        from waypost.errors import Code
        from waypost.protocol.custody import outbox
        from waypost.relay.link import Link
        from waypost.storage.operations import Accept
        if TYPE_CHECKING:
            from waypost.relay.node import Relay
        class Intake: ...
        """,
    "relay__link": "from waypost.routing import quota\nclass Link: ...\n",
    "relay__node": "class Relay: ...\n",
    "relay__door": "class Door: ...\n",
    "routing__quota": "class Bucket: ...\n",
    "routing__router": "class Route: ...\n",
    "protocol__custody__outbox": "def run():\n    from waypost.routing import router\nclass Outbox: ...\n",
    "storage__operations__mail": "class Accept: ...\n",
    "storage__operations__keys": "class Publish: ...\n",
    "storage__sqlite": "class Engine: ...\n",
    "errors": "class Code: ...\n",
}


def test_delivery_is_custody_and_what_it_imports(tmp_path: Path) -> None:
    made = tree(tmp_path, **NEW)
    (tmp_path / "node/waypost/storage/operations/__init__.py").write_text(
        "from waypost.storage.operations.keys import Publish\nfrom waypost.storage.operations.mail import Accept\n"
    )
    assert [module.name for module in delivery.delivery(made)] == [
        "waypost.protocol.custody.outbox",
        "waypost.relay.custody.intake",
        "waypost.relay.link",
        "waypost.routing.router",
        "waypost.storage.operations.mail",
    ]


OLD = {
    "relay__intake": "from waypost.storage.store import Store\nfrom waypost.protocol.messages import Offer\n",
    "relay__greeter": "class Greeter: ...\n",
    "protocol__outbox": "class Outbox: ...\n",
    "protocol__messages": "class Offer: ...\n",
    "storage__store": "class Store: ...\n",
}


def test_delivery_of_the_old_layout_is_what_custody_came_from(tmp_path: Path) -> None:
    wanted = ["waypost.protocol.messages", "waypost.protocol.outbox", "waypost.relay.intake", "waypost.storage.store"]
    assert [module.name for module in delivery.delivery(tree(tmp_path, **OLD))] == wanted


def test_the_table_of_modules_says_what_custody_came_from(tmp_path: Path) -> None:
    page = tmp_path / "changing.md"
    assert "waypost.relay.ledger" in delivery.moved(page)["waypost.relay.custody"]
    page.write_text(
        "| old | new |\n|---|---|\n| `waypost.relay.intake` | `waypost.relay.custody.intake` |\n"
        "| `protocol.messages` | `protocol.frames.messages`, `protocol.custody.offer` |\n"
        "| `relay.peer` | `relay.federation.peer` |\n"
    )
    assert delivery.moved(page) == {
        "waypost.relay.custody": {"waypost.relay.intake"},
        "waypost.protocol.custody": {"waypost.protocol.messages"},
    }


def test_types_are_classes_and_aliases(tmp_path: Path) -> None:
    text = """
        class Reach(Enum): ...
        Key = Annotated[bytes, 32]
        Ask: TypeAlias = Join | Claim
        Waits = Callable[[], None]
        LIMIT = LIMITS["a"]
        _TABLE = {1: 2}[1]
        waits = Waits | None
        def make():
            class Inner: ...
        """
    [module] = tree(tmp_path, one=text).within("waypost.one")
    assert sorted(delivery.types(module)) == ["Ask", "Inner", "Key", "Reach", "Waits"]


# ── circles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_circles_are_those_of_loading(tmp_path: Path) -> None:
    made = tree(
        tmp_path,
        a="from waypost.b import x\n",
        b="import waypost.c\n",
        c="from waypost import a\n",
        d="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from waypost import e\n",
        e="from waypost import d, f\n",
        f="def late():\n    from waypost import e\n",
    )
    assert made.circles == [["waypost.a", "waypost.b", "waypost.c"]]


# ── objects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("a: int\ndef __init__(self): pass", ["A.a"]),
        ("def __init__(self): self.a: int", ["A.a"]),
        ("def __init__(self): pass\ndef wire(self): self.a = 1", ["A.a"]),
        ("def __init__(self):\n    if 0: self.a, self.b = 1, 2\ndef wire(self): self.a = 1", []),
        ("a: int\ndef __init__(self): self._build()\ndef _build(self): self.a = 1", []),
        ("a: ClassVar[int]\nb: int = 2\ndef __init__(self): self.c = 3\ndef set(self): self.b = 1", []),
        ("def __init__(self): pass\n@a.setter\ndef a(self, to): ...\ndef set(self): self.a = 1", []),
        ("a: int", []),
    ],
)
def test_attributes_without_a_value_are_found(tmp_path: Path, body: str, missing: list[str]) -> None:
    text = "class A:\n" + "".join(f"    {line}\n" for line in body.splitlines())
    assert ends(measures.without_value(tree(tmp_path, one=text).product())) == missing


def test_values_and_what_a_base_gives_are_not(tmp_path: Path) -> None:
    text = """
        @dataclass
        class A:
            a: int
            def __init__(self): pass
        class B(msgspec.Struct):
            a: int
            def __init__(self): pass
        class C:
            def __init__(self): self.a = 1
        class D(C):
            def __init__(self): super().__init__()
            def set(self): self.a = 2
        """
    assert measures.without_value(tree(tmp_path, one=text).product()) == []


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_loose_dicts_are_found_in_three_rows(tmp_path: Path) -> None:
    text = "def f(a: dict[str, Any]) -> list[Mapping[str, Any]]:\n    b: dict[str, int]\n"
    assert len(measures.loose_dicts(tree(tmp_path, relay__a=text, cli__a=text))) == 2


def test_sets_of_words_that_are_listed_twice_are_found(tmp_path: Path) -> None:
    made = tree(
        tmp_path,
        a='class A(StrEnum):\n    X = "x"\n    Y = "y"\n__slots__ = ("p", "q")\n_ONE = ("u", "v")\n',
        b='B = Literal["y", "x"]\n__slots__ = ("p", "q")\n_LONE = ("x",)\n',
        c='if a in {"v", "u"}: pass\nif a in ("x", b): pass\n',
    )
    found = [each.partition(":")[0] for each in measures.listed_twice(made.product())]
    assert found == ["['x', 'y']", "['u', 'v']"]


def test_bare_words_are_found_outside_their_enum(tmp_path: Path) -> None:
    words = ("accepted", "queued", "deferred", "held", "delivered", "bounced", "expired")
    enum = "class State(StrEnum):\n" + "".join(f'    {word.upper()} = "{word}"\n' for word in words)
    made = tree(
        tmp_path,
        protocol__fate=enum,
        cli__send=enum,
        cli__words="""
            found["held"]; found.get("held", 0); {"held": 1, "bytes": 2}
            {"held": "Held.", "delivered": "There."}
            state == "bounced"
            "it is held"
            class Evidence(Enum):
                NONE = "none"
            """,
    )
    found = ends(measures.bare_words(made.product()))
    assert sorted(found) == sorted([*(f"fate: {w}" for w in words), "fate: held", "fate: delivered", "fate: bounced"])


def test_double_names_are_found(tmp_path: Path) -> None:
    made = tree(tmp_path, a="class A: ...\nclass _B: ...\n", b="class A: ...\nclass _B: ...\n", lab__c="class A: ...\n")
    assert measures.double_names(made.product()) == ["A: waypost.a, waypost.b"]


# ── size ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_are_of_the_product_or_of_the_lab(tmp_path: Path) -> None:
    made = tree(tmp_path, a="1\n2\n", lab__b="1\n", cli__lab__c="1\n", cli__demo_play="1\n")
    (tmp_path / "node/waypost_lab").mkdir()
    (tmp_path / "node/waypost_lab/page.css").write_text("1\n2\n3\n")
    assert (measures.lines(made, "node", lab=False), measures.lines(made, "node", lab=True)) == (2, 6)


def test_lines_of_code_are_those_that_do_something(tmp_path: Path) -> None:
    text = '''
        """Words.

        More."""

        # reason
        A = """text
        that counts"""  # why


        def f():
            """Words."""
            return (
                1
            )
        '''
    assert measures.code_lines(tree(tmp_path, one=text).within("waypost.one")) == 6
