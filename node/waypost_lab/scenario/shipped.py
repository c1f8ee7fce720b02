"""The scenarios that come with the package, and those in files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from waypost.errors import Code, LocalError
from waypost_lab.scenario.parse import Script, parse

_FOLDER = resources.files("waypost_lab") / "scenarios"
_SUFFIX = ".txt"


def names() -> list[str]:
    """Of those that come with the package."""
    return sorted(each.name.removesuffix(_SUFFIX) for each in _FOLDER.iterdir() if each.name.endswith(_SUFFIX))


def load(which: str) -> Script:
    """By its name, or from a file. Raises LocalError(BAD_CONFIG)."""
    if which in names():
        return parse((_FOLDER / f"{which}{_SUFFIX}").read_text(encoding="utf-8"), f"{which}{_SUFFIX}")
    try:
        text = Path(which).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LocalError(
            Code.BAD_CONFIG, f"there is no file {which}, and no scenario of that name: see waypost lab scenario --list"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(Code.BAD_CONFIG, f"{which} cannot be read: {error}") from error
    return parse(text, which)
