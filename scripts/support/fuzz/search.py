"""Hypothesis on the same decoders: it shrinks what it finds, and thinks of other things than byte-flipping does."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from scripts.support.fuzz.run import Failure
from scripts.support.fuzz.target import Target, reason_of

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(width=32)
    | st.text(max_size=40)
    | st.binary(max_size=80)
    | st.binary(min_size=16, max_size=16)
    | st.binary(min_size=32, max_size=32)
    | st.sampled_from(["finch.local", "bob@finch.local", "seal.1"])
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=30,
)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Noise, msgpack of any shape, and seeds with a piece replaced."""
    return (
        st.binary(max_size=300)
        | _TREES.map(_packed)
        | st.tuples(st.integers(1, 12), _TREES).map(lambda pair: _packed([pair[0], pair[1]]))
        | st.tuples(
            st.sampled_from(list(target.seeds)), st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40)
        ).map(lambda parts: _patched(*parts))
    )


def search(target: Target, examples: int, seed: int) -> Failure | None:
    """Let hypothesis look for an input that escapes; the smallest one if it does."""
    smallest: list[bytes] = []

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def hold(data: bytes) -> None:
        smallest[:] = [data]
        try:
            whole: Any = target.decode(data)
            if target.forged is not None and data not in target.seeds and target.forged(data):
                raise AssertionError("accepted, although it is none of the originals")
        except target.allowed as error:
            whole = reason_of(error)
        if target.stream is not None:
            try:
                cut = target.stream([data[at : at + 1] for at in range(len(data))])
                whole = target.stream([data])
            except target.allowed as error:
                cut = reason_of(error)
            if cut != whole:
                raise AssertionError("byte by byte it comes to another end")

    try:
        hold()
    except Exception as error:  # noqa: BLE001
        # reason: whatever comes out is what is looked for
        return Failure(type(error).__name__, str(error)[:400], smallest[0])
    return None


def _packed(tree: Any) -> bytes:
    packed: bytes = msgpack.packb(tree)
    return packed


def _patched(seed: bytes, place: float, length: int, patch: bytes) -> bytes:
    at = int(place * len(seed))
    return seed[:at] + patch + seed[at + length :]
