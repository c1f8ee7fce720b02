"""docs/mls.md and docs/mls-errors.md say what the package has; the example is true."""

import doctest
import re
from pathlib import Path

from waypost import mls
from waypost.mls.base import bounds
from waypost.mls.base.errors import MlsFault

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "node" / "waypost" / "mls"
PAGE = (ROOT / "docs" / "mls.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs" / "mls-errors.md").read_text(encoding="utf-8")


def test_the_life_of_a_group_goes_as_it_is_told() -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "docs/mls.md", None, 0)
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert result.attempted > 40
    assert result.failed == 0


def test_what_an_app_imports_is_told() -> None:
    table = PAGE.partition("From `waypost.mls` itself:")[2].partition("The rest is imported")[0]
    named = set(re.findall(r"`(\w+)`", table)) - {"commit", "process"}
    assert named == set(mls.__all__)


def test_the_table_leads_to_every_module() -> None:
    named = set(re.findall(r"\]\(\.\./node/waypost/mls/([\w/]+)\.py\)", PAGE))
    modules = {path for path in PACKAGE.rglob("*.py") if path.stem != "__init__"}
    assert named == {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in modules}


def test_numbers_in_brackets_are_errors() -> None:
    numbers = [number for found in re.findall(r"\(([1-9]\d\d(?:, \d\d\d)*)\)", PAGE) for number in found.split(", ")]
    assert len(numbers) > 8
    assert [number for number in numbers if f"| {number} | `" not in ERRORS] == []


def test_every_error_is_on_its_page() -> None:
    assert all(f"| {each.number} | `{each.name}` | {each.clause} | {each.sentence} |" in ERRORS for each in MlsFault)


def test_bounds_are_those_of_the_code() -> None:
    table = PAGE.partition("## Bounds")[2].partition("## ")[0]
    assert f"{bounds.MESSAGE_MAX_BYTES // 2**20} MiB" in table
    assert f"{bounds.ELEMENTS_MAX:,} elements" in table
    assert f"{bounds.LEAVES_MAX:,} leaves" in table
    assert f"{bounds.PROPOSALS_MAX:,} waiting, {bounds.COMMIT_PROPOSALS_MAX:,} in a commit" in table
    assert f"{bounds.SKIPPED_PER_RATCHET_MAX:,} generations ahead" in table
    assert f"{bounds.SKIPPED_PER_EPOCH_MAX:,} of an epoch" in table
    days = bounds.Rules().past_epoch_s // 86_400
    assert f"{bounds.PAST_EPOCHS_MAX} at the most, for {days} days" in table
    assert f"PSKs of {bounds.RESUMPTION_PSKS_MAX} epochs" in table
    assert bounds.MESSAGES_PER_EPOCH_MAX == 2**24
    assert "2^24 messages in an epoch" in table
