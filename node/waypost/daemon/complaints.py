"""What people are told of a value in a file that pydantic has refused."""

from __future__ import annotations

from typing import Final

from pydantic_core import ErrorDetails

#: Kind of error -> what is wrong, and what to do.
_WORDS: Final = {
    "extra_forbidden": ("no such key", "Check the spelling, or remove it"),
    "missing": ("is missing", "Add it"),
    "literal_error": ("not one of the choices", "Write {expected}"),
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
    "model_type": ("not an address", "Write HOST:PORT in double quotes"),
}


def told(entry: ErrorDetails) -> tuple[str, str, str, str]:
    """The key, what stands there, what is wrong with it, and what to write instead.

    A ValueError of ours has the last two in its text, with `|` between.
    """
    kind = entry["type"]
    path = _key_path(entry["loc"])
    value = "" if kind == "missing" else _shown(entry["input"])
    if kind == "value_error":
        problem, _, remedy = str(entry["ctx"]["error"]).partition("|")
    elif kind == "model_type" and "." not in path:
        problem, remedy = "not a section", "Write it in brackets on a line of its own, and its keys below"
    else:
        problem, remedy = _WORDS.get(kind, (entry["msg"], "Compare docs/operating.md"))
        remedy = remedy.format(**entry.get("ctx", {}))
    return path, value, problem, remedy


def _key_path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 80 else text[:77] + "…"
