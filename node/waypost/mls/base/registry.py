"""Numbers of RFC 9420 §17 and the enumerations of its structures, and what is default among them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeVar

from waypost.mls.base.errors import MlsError, MlsFault

E = TypeVar("E", bound=IntEnum)

MLS10: Final = 1


class WireFormat(IntEnum):
    PUBLIC_MESSAGE = 1
    PRIVATE_MESSAGE = 2
    WELCOME = 3
    GROUP_INFO = 4
    KEY_PACKAGE = 5


class ContentType(IntEnum):
    APPLICATION = 1
    PROPOSAL = 2
    COMMIT = 3


class SenderType(IntEnum):
    MEMBER = 1
    EXTERNAL = 2
    NEW_MEMBER_PROPOSAL = 3
    NEW_MEMBER_COMMIT = 4


class NodeType(IntEnum):
    LEAF = 1
    PARENT = 2


class LeafNodeSource(IntEnum):
    KEY_PACKAGE = 1
    UPDATE = 2
    COMMIT = 3


class CredentialType(IntEnum):
    BASIC = 1
    X509 = 2


class ExtensionType(IntEnum):
    APPLICATION_ID = 1
    RATCHET_TREE = 2
    REQUIRED_CAPABILITIES = 3
    EXTERNAL_PUB = 4
    EXTERNAL_SENDERS = 5


class ProposalType(IntEnum):
    ADD = 1
    UPDATE = 2
    REMOVE = 3
    PSK = 4
    REINIT = 5
    EXTERNAL_INIT = 6
    GROUP_CONTEXT_EXTENSIONS = 7


class ProposalOrRefType(IntEnum):
    PROPOSAL = 1
    REFERENCE = 2


class PskType(IntEnum):
    EXTERNAL = 1
    RESUMPTION = 2


class ResumptionPskUsage(IntEnum):
    APPLICATION = 1
    REINIT = 2
    BRANCH = 3


#: §7.2: supported by everyone, and never listed in capabilities.
DEFAULT_EXTENSIONS: Final = frozenset(ExtensionType)
DEFAULT_PROPOSALS: Final = frozenset(ProposalType)

#: §17.4, column Path Required.
PATH_REQUIRED: Final = frozenset(
    {
        ProposalType.UPDATE,
        ProposalType.REMOVE,
        ProposalType.EXTERNAL_INIT,
        ProposalType.GROUP_CONTEXT_EXTENSIONS,
    }
)

#: §17.4, column External: what an external sender may propose.
EXTERNAL_ALLOWED: Final = frozenset(
    {
        ProposalType.ADD,
        ProposalType.REMOVE,
        ProposalType.PSK,
        ProposalType.REINIT,
        ProposalType.GROUP_CONTEXT_EXTENSIONS,
    }
)

#: §13.5.
GREASE: Final = tuple(0x0A0A + 0x1010 * step for step in range(15))


def known(kind: type[E], value: int) -> E:
    """The member of that value. Raises MlsError(UNKNOWN_ENUM)."""
    try:
        return kind(value)
    except ValueError:
        raise MlsError(MlsFault.UNKNOWN_ENUM, f"{kind.__name__} {value}") from None
