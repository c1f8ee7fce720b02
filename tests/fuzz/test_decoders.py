"""A slice of scripts/fuzz: every decoder, some thousands of spoilt inputs. The script does a million each."""

from __future__ import annotations

import hmac
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts.support.fuzz.mls_world import again, worlds
from scripts.support.fuzz.run import fuzz
from scripts.support.fuzz.search import search
from scripts.support.fuzz.target import Target
from scripts.support.fuzz.targets import targets

from waypost.errors import Code, PeerFault
from waypost.protocol.frames.messages import decode

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {target.name: target for target in targets()}


def takes(target: Target, data: bytes) -> bool:
    try:
        target.decode(data)
    except target.allowed:
        return False
    return True


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_else_comes_out(name: str) -> None:
    report = fuzz(TARGETS[name], 2_000, seed=7)
    assert report.inputs == 2_000
    assert report.failures == []


@pytest.mark.parametrize("name", TARGETS)
def test_hypothesis_finds_nothing(name: str) -> None:
    assert search(TARGETS[name], 40, seed=7) is None


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_start_from_what_is_taken(name: str) -> None:
    assert any(takes(TARGETS[name], seed) for seed in TARGETS[name].seeds)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.repair])
def test_repaired_inputs_pass_the_outer_check(name: str) -> None:
    target = TARGETS[name]
    assert target.repair is not None
    assert any(takes(target, target.repair(seed)) for seed in target.seeds)


@pytest.mark.parametrize("name", [name for name in TARGETS if name.startswith("mls.")])
def test_every_seed_of_mls_is_taken(name: str) -> None:
    assert [seed.hex() for seed in TARGETS[name].seeds if not takes(TARGETS[name], seed)] == []


def test_what_is_refused_changes_nothing() -> None:
    groups = [group for world in worlds() for group in (world.alice, world.bob, world.carol)]
    before = [again(group).state() for group in groups]
    for name in ("mls.commit", "mls.inside.proposal", "mls.inside.commit"):
        fuzz(TARGETS[name], 500, seed=8)
    assert [again(group).state() for group in groups] == before


# ── the fuzzer itself ───────────────────────────────────────────────────────────────────────────────────────────────


def _brittle(data: bytes) -> object:
    message = decode(data)
    if data[:1] == b"\x95":
        raise KeyError(data[:1])
    return message


def _greedy(data: bytes) -> object:
    return len(bytes(64 * len(data) + 2**20))


def _forgetful(pieces: object) -> object:
    assert isinstance(pieces, list)
    return len(pieces)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"decode": _brittle}, "KeyError"),
        ({"decode": _greedy}, "memory"),
        ({"stream": _forgetful}, "pieces"),
        ({"allowed": ()}, "PeerFault"),
    ],
)
def test_a_faulty_decoder_is_found(change: dict[str, object], kind: str) -> None:
    target = replace(TARGETS["codec.decode"], **change)  # type: ignore[arg-type]
    report = fuzz(target, 3_000, seed=7)
    assert {failure.kind for failure in report.failures} == {kind}


@pytest.mark.parametrize(
    ("name", "module", "kind"),
    [
        ("mls.proposal", "keys.protection", "accepted"),
        ("mls.group_info", "objects.group_info", "accepted"),
        ("mls.key_package", "objects.key_package", "accepted"),
        ("mls.inside.application", "keys.protection", "AssertionError"),
    ],
)
def test_a_signature_that_is_not_checked_is_found(
    name: str, module: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"waypost.mls.{module}.verify_with_label", lambda *_: True)
    report = fuzz(TARGETS[name], 20_000, seed=7)
    assert {failure.kind for failure in report.failures} == {kind}


@pytest.mark.parametrize("module", ["keys.protection", "steps.processing"])
def test_a_tag_that_is_not_checked_is_found(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        f"waypost.mls.{module}.hmac", SimpleNamespace(compare_digest=lambda *_: True, digest=hmac.digest)
    )
    report = fuzz(TARGETS["mls.commit"], 20_000, seed=7)
    assert {failure.kind for failure in report.failures} == {"accepted"}


def test_hypothesis_shrinks_what_it_finds() -> None:
    def brittle(data: bytes) -> object:
        if b"\xff" in data:
            raise RuntimeError("odd")
        raise PeerFault(Code.FRAME_TOO_LARGE)

    found = search(replace(TARGETS["parse_key"], decode=brittle, allowed=(PeerFault,), stream=None), 500, seed=7)
    assert found is not None
    assert (found.kind, found.input) == ("RuntimeError", b"\xff")


def test_the_same_seed_gives_the_same_run() -> None:
    once, again, other = (fuzz(TARGETS["decode_envelope"], 2_000, seed) for seed in (1, 1, 2))
    assert once.codes == again.codes
    assert once.codes != other.codes


def test_the_script_prints_one_object() -> None:
    command = [
        str(ROOT / "scripts" / "fuzz"),
        "--count",
        "500",
        "--hypothesis",
        "5",
        "--only",
        "read.",
        "--jobs",
        "2",
        "--json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["failures"] == 0
    assert {each["name"] for each in found["decoders"]} == {name for name in TARGETS if "read." in name}
    assert all(each["inputs"] == 500 for each in found["decoders"])
