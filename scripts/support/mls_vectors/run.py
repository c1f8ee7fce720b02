"""Finds what kind of vectors a file has, runs its cases and counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.support.mls_vectors import basics, messages, passive, trees
from scripts.support.mls_vectors.check import Case, unhexed

from waypost.mls.base.errors import MlsError
from waypost.mls.base.suites import SUITES

#: Keys that a kind of vector has and no other does, with what runs it.
KINDS: dict[frozenset[str], Callable[[Case], None]] = {
    frozenset({"n_leaves", "n_nodes", "root"}): basics.tree_math_case,
    frozenset({"vlbytes_header", "length"}): basics.deserialization_case,
    frozenset({"ref_hash", "expand_with_label"}): basics.crypto_basics_case,
    frozenset({"initial_init_secret", "epochs"}): basics.key_schedule_case,
    frozenset({"psks", "psk_secret"}): basics.psk_secret_case,
    frozenset({"interim_transcript_hash_before"}): basics.transcript_hashes_case,
    frozenset({"sender_data", "leaves"}): trees.secret_tree_case,
    frozenset({"tree_before", "proposal"}): trees.tree_operations_case,
    frozenset({"resolutions", "tree_hashes"}): trees.tree_validation_case,
    frozenset({"leaves_private", "update_paths"}): trees.treekem_case,
    frozenset({"proposal_pub", "commit_priv"}): messages.message_protection_case,
    frozenset({"mls_welcome", "private_message"}): messages.messages_case,
    frozenset({"signer_pub", "welcome"}): messages.welcome_case,
    frozenset({"initial_epoch_authenticator", "init_priv"}): passive.passive_case,
}


@dataclass
class Count:
    run: int = 0
    passed: int = 0
    failed: int = 0
    #: By cipher suite: those that are not implemented.
    skipped: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        self.run += other.run
        self.passed += other.passed
        self.failed += other.failed
        self.failures += other.failures
        for suite, number in other.skipped.items():
            self.skipped[suite] = self.skipped.get(suite, 0) + number

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": sum(self.skipped.values()),
            "skipped_by_suite": {str(suite): number for suite, number in sorted(self.skipped.items())},
            "failures": self.failures,
        }


def run_folder(folder: Path) -> Iterator[tuple[str, Count]]:
    """Every JSON file in the folder; if it has none, those where mlswg/mls-implementations has its vectors."""
    found = sorted(folder.glob("*.json"))
    if not found:
        found = sorted((*folder.glob("test-vectors/*.json"), *folder.glob("interop/passive/*.json")))
    for path in found:
        yield path.relative_to(folder).as_posix(), run_file(path)


def run_file(path: Path) -> Count:
    """Every case of one file. A file that is not a list of known vectors counts as one failure."""
    count = Count()
    try:
        cases = json.loads(path.read_bytes())
    except ValueError as error:
        return Count(run=1, failed=1, failures=[f"not JSON: {error}"])
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        return Count(run=1, failed=1, failures=["not a list of vectors"])
    for number, case in enumerate(cases):
        suite = case.get("cipher_suite")
        if suite is not None and suite not in SUITES:
            count.skipped[suite] = count.skipped.get(suite, 0) + 1
            continue
        count.run += 1
        reason = run_case(case)
        if reason is None:
            count.passed += 1
        else:
            count.failed += 1
            count.failures.append(f"case {number}: {reason}")
    return count


def run_case(case: Case) -> str | None:
    """None if the case comes out as it says, else why not."""
    kind = next((runs for keys, runs in KINDS.items() if keys <= case.keys()), None)
    if kind is None:
        return f"of no known kind: {', '.join(sorted(case))}"
    try:
        kind(unhexed(case))
    except MlsError as error:
        return str(error)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        return f"{type(error).__name__} {error}"
    return None
