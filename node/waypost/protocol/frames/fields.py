"""The fields of messages: what each may hold, checked while it is decoded.

A message is a msgpack array `[type, field, …]`; the field order of its type is the order on the wire. Type and kind
numbers are never reused. Unknown trailing elements are ignored, so a field may be added at the end with a default.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from waypost.limits import (
    FRAME_MAX_BYTES,
    NOTICE_IDS_MAX,
    PACKAGE_MAX_BYTES,
    PROVIDER_MAX_CHARS,
    RECORD_MAX_BYTES,
    SUITE_MAX_CHARS,
    TEXT_MAX_CHARS,
    USER_MAX_CHARS,
)

ID_BYTES = 16
KEY_BYTES = 32
SIGNATURE_BYTES = 64
ADDRESS_MAX_CHARS = USER_MAX_CHARS + 1 + PROVIDER_MAX_CHARS

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U53 = Annotated[int, Meta(ge=0, le=2**53 - 1)]  #: fits a float64, so that every language can hold it
Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Id = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Ids = Annotated[bytes, Meta(max_length=ID_BYTES * NOTICE_IDS_MAX)]  #: whole ids, one after the other
Text = Annotated[str, Meta(max_length=TEXT_MAX_CHARS)]
Name = Annotated[str, Meta(max_length=ADDRESS_MAX_CHARS)]
Suite = Annotated[str, Meta(min_length=1, max_length=SUITE_MAX_CHARS)]
Blob = Annotated[bytes, Meta(max_length=FRAME_MAX_BYTES)]
RecordBytes = Annotated[bytes, Meta(max_length=RECORD_MAX_BYTES)]
PackageBytes = Annotated[bytes, Meta(max_length=PACKAGE_MAX_BYTES)]


class Positional(Struct, frozen=True, array_like=True, gc=False):
    """Base of all; holds the encoding options in one place."""
