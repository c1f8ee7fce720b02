"""Hypothesis strategies for the wire's types, derived from their annotations, so that no field can be forgotten."""

from typing import Any, TypedDict

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from waypost.protocol.frames.messages import Message

#: Lists and strings longer than this say nothing more, and take long.
SIZE = 5


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that the type allows."""
    return _of(inspect.type_info(kind))


class _Sizes(TypedDict):
    min_size: int
    max_size: int


def _sized(of: inspect.StrType | inspect.BytesType | inspect.VarTupleType) -> _Sizes:
    low, high = of.min_length or 0, of.max_length
    assert high is not None, f"{of} has no bound"
    return {"min_size": low, "max_size": min(high, max(low, SIZE))}


def _of(of: inspect.Type) -> st.SearchStrategy[Any]:
    match of:
        case inspect.IntType():
            low = of.ge if of.ge is not None else None
            high = of.le if of.le is not None else (of.lt - 1 if of.lt is not None else None)
            assert low is not None, f"{of} has no lower bound"
            assert high is not None, f"{of} has no upper bound"
            return st.integers(low, high)
        case inspect.FloatType():
            return st.floats(allow_nan=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.StrType():
            return st.text(st.characters(codec="utf-8"), **_sized(of))
        case inspect.BytesType():
            return st.binary(**_sized(of))
        case inspect.VarTupleType():
            sizes = _sized(of)
            return st.lists(_of(of.item_type), min_size=sizes["min_size"], max_size=sizes["max_size"]).map(tuple)
        case inspect.EnumType():
            return st.sampled_from(list(of.cls))
        case inspect.StructType():
            return st.builds(of.cls, **{field.name: _of(field.type) for field in of.fields})
        case inspect.UnionType():
            return st.one_of(*map(_of, of.types))
        case _:
            raise TypeError(f"no strategy for {of}")


messages: st.SearchStrategy[Message] = values(Message)


def plain(value: Any) -> Any:
    """A message as JSON can say it: arrays, numbers, strings, bytes in hexadecimal after `0x`."""
    return _hex(msgspec.to_builtins(value, builtin_types=(bytes,)))


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [_hex(item) for item in value]
    return value
