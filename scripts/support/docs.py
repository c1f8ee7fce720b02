"""Pages that are made from the code. `scripts/generate-docs` writes them; tests/docs holds them to it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.support.json_page import json_page

from waypost.errors import Code, Kind
from waypost.mls.base.errors import MlsFault
from waypost_lab.conformance.check import Check, Phase
from waypost_lab.conformance.checks import CHECKS
from waypost_lab.conformance.unobservable import UNOBSERVABLE

ROOT = Path(__file__).resolve().parents[2]

_KINDS = {
    Kind.FAULT: "the peer broke the protocol; the link ends with Goodbye",
    Kind.LATER: "refused for now; keep it and try again",
    Kind.NEVER: "refused for good; tell the sender, or whoever asked",
    Kind.LOCAL: "this side's own trouble; never sent to a peer",
}
_SECTIONS = (
    ("Faults of the peer", range(100, 150), "In Goodbye. The link ends."),
    ("Why a link is refused or ends", range(150, 200), "In Goodbye, although the protocol was kept."),
    ("Refused for now", range(200, 300), "In receipts, answers and notices. The holder keeps the envelope."),
    ("Refused for good", range(300, 400), "In receipts, outcomes and answers. The sender is told."),
    ("Answers to requests", range(400, 450), "In Answer."),
    ("Local", range(500, 600), "Shown to whoever runs the program; a peer never sees them."),
)
_HEAD = """# Errors

Generated from `node/waypost/errors.py` by `scripts/generate-docs`; do not edit.

Every error has one number, on the wire, in logs and on the command line. A number is never given to another meaning.
A peer is told the number alone; a number that is not in this list counts as refused for now.
"""


def errors_page() -> str:
    """docs/protocol/errors.md."""
    parts = [_HEAD, _table(("kind", "what to do"), [(kind.value, _KINDS[kind]) for kind in Kind])]
    for title, numbers, text in _SECTIONS:
        rows = [
            (str(code.number), f"`{code.label}`", code.kind.value, code.title, code.remedy)
            for code in sorted(Code, key=lambda code: code.number)
            if code.number in numbers
        ]
        parts.append(f"## {title}\n\n{text}\n")
        parts.append(_table(("number", "name", "kind", "title", "remedy"), rows))
    return "\n".join(parts)


_CLAUSES_HEAD = """# Conformance, clause by clause

Generated from `node/waypost_lab/conformance` by `scripts/generate-docs`; do not edit.

What `waypost lab conformance` checks, and what it cannot see. [conformance.md](conformance.md) says how to use it.
"""
_PARTS = {"WIRE": "wire.md", "LINK": "link.md", "CUST": "custody.md", "DIR": "directory.md"}


def clauses_page() -> str:
    """docs/conformance-clauses.md."""
    parts = [_CLAUSES_HEAD]
    for prefix, page in _PARTS.items():
        checks = [check for check in CHECKS if check.clauses[0].startswith(f"{prefix}-")]
        checks.sort(key=lambda check: int(check.clauses[0].partition("-")[2]))
        parts.append(f"## [{page}](protocol/{page})\n")
        rows = [(", ".join(check.clauses), check.expectation, _needs(check)) for check in checks]
        parts.append(_table(("clauses", "expectation", "needs"), rows))
    parts.append("## Not observable\n")
    rows = [(each.clause, f"{each.reason}.", _link(each.tested)) for each in UNOBSERVABLE]
    parts.append(_table(("clause", "why no check", "tested in"), rows))
    return "\n".join(parts)


def _link(tested: str) -> str:
    return f"[{tested}](../{tested})" if tested else "no test yet"


def _needs(check: Check) -> str:
    needs = sorted(need.name.lower() for need in check.needs)
    if check.takes_s > 20:
        needs.append(f"up to {check.takes_s:,.0f} s")
    if check.stage is Phase.ALONE:
        needs.append("runs alone")
    return ", ".join(needs)


_MLS_SECTIONS = (
    ("Encoding", range(100, 200)),
    ("Cryptography", range(200, 300)),
    ("Leaf nodes, key packages, extensions", range(300, 400)),
    ("The ratchet tree", range(400, 500)),
    ("Framing and message protection", range(500, 600)),
    ("Proposals", range(600, 700)),
    ("Commits", range(700, 800)),
    ("Joining", range(800, 900)),
    ("Use of the library", range(900, 1_000)),
)
_MLS_HEAD = """# Errors of MLS

Generated from `node/waypost/mls/base/errors.py` by `scripts/generate-docs`; do not edit.

From bytes that others sent nothing but `MlsError` comes out. Its `fault` is one of these; nothing has changed when it
is raised. A number is never given to another meaning. Clauses are of RFC 9420. See [mls.md](mls.md).
"""


def mls_errors_page() -> str:
    """docs/mls-errors.md."""
    parts = [_MLS_HEAD]
    for title, numbers in _MLS_SECTIONS:
        rows = [
            (str(fault.number), f"`{fault.name}`", fault.clause, fault.sentence)
            for fault in sorted(MlsFault, key=lambda fault: fault.number)
            if fault.number in numbers
        ]
        parts.append(f"## {title}\n")
        parts.append(_table(("number", "name", "clause", "why it is refused"), rows))
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    said = ["| " + " | ".join(row) + " |\n" for row in (head, *rows)]
    return "".join([said[0], "|---" * len(head) + "|\n", *said[1:]])


#: Path from the root -> what it must hold.
PAGES: dict[str, Callable[[], str]] = {
    "docs/protocol/errors.md": errors_page,
    "docs/conformance-clauses.md": clauses_page,
    "docs/mls-errors.md": mls_errors_page,
    "docs/json.md": json_page,
}


def main() -> None:
    """Write all of them."""
    for name, page in PAGES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
