"""Spoils valid inputs: bytes, lengths, structure. One seed gives one sequence of inputs, on every machine."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

#: No mutation lets an input grow beyond this, so that a million of them take minutes.
INPUT_MAX_BYTES = 16 * 1024

_NUMBERS = (0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 511, 512, 513, 1024, 65535, 65536, 2**20, 2**20 + 1)
_EDGES = (*_NUMBERS, 2**31 - 1, 2**31, 2**32 - 1, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_LENGTHS = tuple(
    packed
    for number in _EDGES
    for size, form in ((1, ">B"), (2, ">H"), (4, ">I"), (8, ">Q"))
    if number < 256**size
    for packed in (struct.pack(form, number),)
)
#: msgpack heads: every family, with lengths that nothing backs up.
_HEADS = (
    *(bytes([head]) for head in (0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xC3, 0xE0, 0xFF)),
    *(bytes([head]) + length for head in (0xC4, 0xC7, 0xD9) for length in (b"\x00", b"\x10", b"\xff")),
    *(bytes([head]) + length for head in (0xC5, 0xC8, 0xDA, 0xDC, 0xDE) for length in (b"\x00\x01", b"\xff\xff")),
    *(bytes([head]) + length for head in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF) for length in (b"\0\1\0\0", b"\xff" * 4)),
    *(bytes([head]) + b"\xff" * size for head, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8), (0xD3, 8))),
    bytes([0xCA]) + b"\x7f\xc0\0\0",
    bytes([0xCB]) + b"\x7f\xf0\0\0\0\0\0\0",
    b"\x91" * 600,
    b"\x81\x00" * 300,
    b"\xd4\x01\x00",
    b"\xd6\xff\xff\xff\xff\xff",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    float("nan"),
    "",
    "\x00",
    "ü" * 40,
    "x" * 2000,
    b"",
    b"\xff" * 16,
    b"\x00" * 32,
    b"a" * 5000,
    [],
    [[[[]]]],
    [0] * 100,
    {},
    {"a": 1},
    {b"k": [1]},
    msgpack.ExtType(5, b"x"),
    msgpack.Timestamp(1, 2),
    *_EDGES,
)


class Mutator:
    """An endless supply of spoilt inputs. `structured`: the seeds are msgpack, and are spoilt as such, too."""

    def __init__(self, seeds: Sequence[bytes], rng: random.Random, *, structured: bool) -> None:
        if not seeds:
            raise ValueError("no seeds")
        self._seeds = tuple(seeds)
        self._random = rng.random
        self._bytes = rng.randbytes
        trees = [tree for seed in seeds if (tree := _tree(seed)) is not None] if structured else []
        self._trees = trees
        plain: list[Callable[[bytearray], None]] = [
            self._flip_bit,
            self._flip_bit,
            self._set_byte,
            self._set_byte,
            self._truncate,
            self._extend,
            self._splice,
            self._transplant,
            self._repeat,
            self._cut_out,
            self._number,
            self._head,
            self._insert_head,
        ]
        self._plain = plain

    def batch(self, count: int) -> list[bytes]:
        """The next `count` inputs."""
        return [self.one() for _ in range(count)]

    def one(self) -> bytes:
        """The next input: mostly a seed with one to four faults, sometimes a spoilt tree, seldom noise."""
        draw = self._random()
        if draw < 0.02:
            return self._bytes(self._below(64))
        if draw < 0.14 and self._trees:
            return self._bent()
        data = bytearray(self._pick(self._seeds))
        faults = 1 if draw < 0.7 else 1 + self._below(4)
        for _ in range(faults):
            self._pick(self._plain)(data)
        return bytes(data[:INPUT_MAX_BYTES])

    def _below(self, bound: int) -> int:
        return int(self._random() * bound)

    def _pick(self, values: Sequence[Any]) -> Any:
        return values[int(self._random() * len(values))]

    # ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _flip_bit(self, data: bytearray) -> None:
        if data:
            data[self._below(len(data))] ^= 1 << self._below(8)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self._below(len(data))] = self._below(256)

    def _truncate(self, data: bytearray) -> None:
        del data[self._below(len(data) + 1) :]

    def _extend(self, data: bytearray) -> None:
        data += self._bytes(1 + self._below(40))

    def _splice(self, data: bytearray) -> None:
        other = self._pick(self._seeds)
        start = self._below(len(other) + 1)
        at = self._below(len(data) + 1)
        data[at : at + self._below(64)] = other[start : start + self._below(200)]

    def _transplant(self, data: bytearray) -> None:
        """What stands in the same place of another seed: fields of messages of one kind line up."""
        other = self._pick(self._seeds)
        start = self._below(min(len(data), len(other)) + 1)
        size = 1 + self._below(130)
        data[start : start + size] = other[start : start + size]

    def _repeat(self, data: bytearray) -> None:
        at = self._below(len(data) + 1)
        data[at:at] = data[at : at + 1 + self._below(100)] * (1 + self._below(8))

    def _cut_out(self, data: bytearray) -> None:
        at = self._below(len(data) + 1)
        del data[at : at + 1 + self._below(32)]

    def _number(self, data: bytearray) -> None:
        number = self._pick(_LENGTHS)
        at = self._below(len(data) + 1)
        data[at : at + len(number)] = number

    def _head(self, data: bytearray) -> None:
        head = self._pick(_HEADS)
        at = self._below(len(data) + 1)
        data[at : at + len(head)] = head

    def _insert_head(self, data: bytearray) -> None:
        at = self._below(len(data) + 1)
        data[at:at] = self._pick(_HEADS)

    # ── msgpack ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _bent(self) -> bytes:
        tree = self._bend(self._pick(self._trees))
        packed: bytes = msgpack.packb(tree)
        return packed[:INPUT_MAX_BYTES]

    def _bend(self, tree: Any) -> Any:
        """The tree with one place changed."""
        if not isinstance(tree, list) or not tree:
            return self._other(tree)
        at = self._below(len(tree))
        draw = self._random()
        if draw < 0.7:
            return [*tree[:at], self._bend(tree[at]), *tree[at + 1 :]]
        if draw < 0.76:
            return tree[:at]
        if draw < 0.82:
            return [*tree[:at], *tree[at + 1 :]]
        if draw < 0.88:
            return [*tree[:at], self._pick(_VALUES), *tree[at:]]
        if draw < 0.94:
            return [*tree, tree[at]] * (1 + self._below(4))
        other = self._below(len(tree))
        swapped = list(tree)
        swapped[at], swapped[other] = swapped[other], swapped[at]
        return swapped

    def _other(self, leaf: Any) -> Any:
        if isinstance(leaf, bytes) and leaf and self._random() < 0.6:
            inner = _tree(leaf)
            if isinstance(inner, list) and self._random() < 0.7:
                return msgpack.packb(self._bend(inner))
            data = bytearray(leaf)
            self._pick(self._plain)(data)
            return bytes(data)
        if isinstance(leaf, str) and leaf and self._random() < 0.5:
            at = self._below(len(leaf) + 1)
            return (
                leaf[:at] + self._pick(("@", ".", "\x00", "Ü", "\u202e", "ß", "٣", "-", " ", "\U0001f600")) + leaf[at:]
            )
        if isinstance(leaf, int) and self._random() < 0.3:
            return max(0, int(leaf) + self._below(3) - 1)
        return self._pick(_VALUES)


def _tree(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
