"""Sentences of scenarios: what is understood, and what is said of what is not."""

import re
from pathlib import Path

import pytest

from waypost.errors import LocalError
from waypost_lab.scenario.parse import When, forms, parse
from waypost_lab.scenario.shipped import load, names
from waypost_lab.scenario.vocabulary import FormKind
from waypost_lab.scenario.words import SLOTS

HEAD = "# A title\n# About it.\n# Answers: a/b#1, c/d#22\n\nnodes birdy, finch\nusers alice at birdy, bob at finch\n"


def test_a_script_has_a_header_and_lines_with_their_time() -> None:
    script = parse(
        HEAD
        + 'alice writes "hi, bob" to bob\n'
        + "within 2 minutes: bob sees it  \n"
        + "# a remark\n"
        + "After 1 hour, Finch crashes\n".replace("Finch", "finch")
        + "for 1,000 ms bob sees nothing\n"
        + 'bob is told that "hi, bob" waits because "provider cannot be reached"\n',
        "x.txt",
    )
    assert (script.title, script.about, script.answers) == ("A title", "About it.", ("a/b#1", "c/d#22"))
    shown = [(line.number, line.when, line.seconds, line.form.template) for line in script.lines[2:]]
    assert shown == [
        (7, When.NOW, 0, "<user> writes <text> to <user>"),
        (8, When.WITHIN, 120, "<user> sees <message>"),
        (10, When.AFTER, 3_600, "<node> crashes"),
        (11, When.FOR, 1, "<user> sees nothing"),
        (12, When.NOW, 0, "<user> is told that <message> waits because <reason>"),
    ]
    assert script.lines[3].values == ("bob", "hi, bob")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bob seess it", "line 7: after “bob” comes “writes”, “goes”"),
        ("bob sees it", "the text of a message"),
        ("carl sees nothing", "here comes “nodes”, “users”, “light”"),
        ('alice writes "hi" to carl', 'after “alice writes "hi" to” comes a user (alice, bob); not “carl”'),
        ('alice writes "hi" to', "comes a user (alice, bob); the line ends there"),
        ('alice writes "hi" to bob now', "comes the end of the line or “,”; not “now”"),
        ("power of heron fails", "after “power of” comes a node (birdy, finch); not “heron”"),
        ("after 5 parsecs, finch crashes", "comes ms, seconds, minutes, hours or days; not “parsecs”"),
        ("within soon, bob sees nothing", "comes a time such as 10 minutes; not “soon”"),
        ("within 5 minutes, finch crashes", "no “within”"),
        ("for 5 minutes, finch crashes", "no “for”"),
        ("nodes heron", "nothing of that kind any more"),
        ('bob\'s app is told "provider cannot be raeched"', 'such as "provider cannot be reached"'),
        ("finch crashes!", "'!' is no a word"),
    ],
)
def test_a_fault_names_the_line_and_what_could_stand_there(line: str, said: str) -> None:
    begun = "power of birdy fails\n" if line.startswith("nodes") else ""
    with pytest.raises(LocalError) as caught:
        parse(HEAD + begun + line, "x.txt")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "# Only a title\n", "nodes birdy\n", "# Nobody\nfinch crashes\n", "# T\nnodes a, a\n"]
)
def test_what_is_no_scenario(text: str) -> None:
    with pytest.raises(LocalError):
        parse(text, "x.txt")


def test_a_scenario_is_found_by_name_or_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(HEAD + "finch crashes\n")
    assert load(str(tmp_path / "mine.txt")).title == "A title"
    assert load("tombstone").title == "A provider closes"
    with pytest.raises(LocalError, match="waypost lab scenario --list"):
        load("tombstoned")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(LocalError, match="cannot be read"):
        load(str(tmp_path / "binary"))


def test_every_form_can_be_said_and_is_explained() -> None:
    for form in forms():
        assert all(slot in SLOTS for slot, _ in form.parts if slot), form
        assert form.about.endswith("."), form
        # Nothing in a template is overlooked.
        assert len(" ".join(f"<{slot}>" if slot else word for slot, word in form.parts)) >= len(form.template), form
    assert len({form.template for form in forms()}) == len(forms())
    assert {form.kind for form in forms()} == set(FormKind)


def test_shipped_scenarios_say_whom_they_answer() -> None:
    for name in names():
        script = load(name)
        assert script.about, name
        assert script.answers, name
        assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", each) for each in script.answers), name
