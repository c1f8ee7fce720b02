"""The one exception of this package, and the closed list of its reasons.

Every check that this implementation makes has its own number here, the clause of RFC 9420 that demands it, and one
sentence. A number is never given to another meaning.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class _Entry(NamedTuple):
    number: int
    clause: str
    sentence: str


class MlsFault(Enum):
    """Why something was refused: `.number`, `.clause` (of RFC 9420 unless another document is named), `.sentence`."""

    # 100–199: bytes that are not an encoding of what was expected.
    TRUNCATED = _Entry(100, "§2.1", "the input ends within a field")
    TRAILING_BYTES = _Entry(101, "§2.1", "bytes follow the end of the structure")
    VARINT_NOT_MINIMAL = _Entry(102, "§2.1.2", "a length is not in its shortest form")
    VARINT_INVALID = _Entry(103, "§2.1.2", "a length starts with the bits 11")
    OPTIONAL_INVALID = _Entry(104, "§2.1.1", "the presence octet is neither 0 nor 1")
    VECTOR_NOT_WHOLE = _Entry(105, "§2.1", "a vector's length is not a whole number of its elements")
    TOO_LARGE = _Entry(106, "§2.1.2", "the input is larger than this implementation accepts")
    UNKNOWN_ENUM = _Entry(107, "§2.1", "an enumerated field has a value that the RFC does not define")
    WRONG_VERSION = _Entry(108, "§6", "the protocol version is not mls10")
    WRONG_WIRE_FORMAT = _Entry(109, "§6", "the message is of another wire format than is wanted here")
    UNKNOWN_CREDENTIAL = _Entry(110, "§5.3", "the credential is of a type that this implementation does not know")
    UNKNOWN_PROPOSAL = _Entry(111, "§12.2", "the proposal is of a type that this implementation does not know")
    DUPLICATE_EXTENSION = _Entry(112, "§13.4", "a list of extensions has two of one type")
    UNMERGED_NOT_SORTED = _Entry(113, "§7.1", "unmerged leaves are not in increasing order")
    NON_ZERO_PADDING = _Entry(114, "§6.3.1", "the padding has bytes other than zero")

    # 200–299: cryptography.
    UNKNOWN_SUITE = _Entry(200, "§5.1", "the cipher suite is not implemented")
    BAD_SIGNATURE_KEY = _Entry(201, "§5.1.1", "a signature key is not a point of the prime-order group")
    BAD_HPKE_KEY = _Entry(202, "§5.1.1", "an HPKE key is not one of the cipher suite's KEM")
    HPKE_OPEN_FAILED = _Entry(203, "§5.1.3", "an HPKE ciphertext does not open")
    BAD_SECRET_KEY = _Entry(204, "§5.1.1", "a private key does not have the length of its algorithm")

    # 300–399: leaf nodes, key packages, extensions.
    LEAF_SIGNATURE = _Entry(300, "§7.3", "the leaf node's signature does not verify")
    LEAF_SOURCE = _Entry(301, "§7.3", "the leaf node's source is not the one for this place")
    LEAF_EXTENSION_UNLISTED = _Entry(302, "§7.3", "the leaf node has an extension that its capabilities do not list")
    LEAF_CREDENTIAL_UNLISTED = _Entry(303, "§7.2", "the leaf node's credential type is not in its own capabilities")
    LEAF_SUITE_UNLISTED = _Entry(304, "§11.1", "the leaf node's capabilities lack the group's cipher suite")
    LEAF_VERSION_UNLISTED = _Entry(305, "§11.1", "the leaf node's capabilities lack the group's version")
    LEAF_LACKS_REQUIRED = _Entry(306, "§7.3", "the leaf node's capabilities lack what the group requires")
    LEAF_LACKS_GROUP_EXTENSION = _Entry(307, "§13.4", "the leaf node does not support an extension of the group")
    CREDENTIAL_NOT_SHARED = _Entry(308, "§7.3", "a credential type in use is not supported by every member")
    LIFETIME_TOO_EARLY = _Entry(309, "§7.3", "the leaf node is not valid yet")
    LIFETIME_OVER = _Entry(310, "§7.3", "the leaf node is not valid any more")
    LIFETIME_TOO_LONG = _Entry(311, "§7.2", "the leaf node claims to be valid for longer than the application accepts")
    SIGNATURE_KEY_TWICE = _Entry(312, "§7.3", "two members have one signature key")
    ENCRYPTION_KEY_TWICE = _Entry(313, "§7.3", "two nodes of the tree have one encryption key")
    ENCRYPTION_KEY_UNCHANGED = _Entry(314, "§7.3", "the new leaf node keeps the old encryption key")
    KEY_PACKAGE_SIGNATURE = _Entry(320, "§10.1", "the key package's signature does not verify")
    KEY_PACKAGE_SUITE = _Entry(321, "§10.1", "the key package is for another cipher suite")
    KEY_PACKAGE_VERSION = _Entry(322, "§10.1", "the key package is for another version")
    INIT_KEY_REUSED = _Entry(323, "§10.1", "the key package's init key is its encryption key")
    BAD_EXTENSION = _Entry(325, "§13.4", "an extension's data is not what its type says")
    EXTENSION_NOT_SUPPORTED = _Entry(326, "§13.4", "the group has an extension that this member does not support")

    # 400–499: the ratchet tree.
    TREE_EMPTY = _Entry(400, "§12.4.3.3", "the tree has no nodes")
    TREE_ENDS_BLANK = _Entry(401, "§12.4.3.3", "the last node of the tree is blank")
    TREE_NODE_TYPE = _Entry(402, "§12.4.3.3", "a leaf stands where a parent belongs, or the reverse")
    TREE_TOO_LARGE = _Entry(403, "§12.4.3.3", "the tree has more leaves than this implementation accepts")
    TREE_HASH_MISMATCH = _Entry(404, "§12.4.3.1", "the tree's hash is not that of the group context")
    PARENT_HASH_INVALID = _Entry(405, "§7.9.2", "a parent node is not parent-hash valid")
    UNMERGED_NOT_BELOW = _Entry(406, "§12.4.3.1", "an unmerged leaf is not a member below its parent node")
    UNMERGED_NOT_CARRIED = _Entry(407, "§12.4.3.1", "a node between an unmerged leaf and its parent does not list it")
    LEAF_BLANK = _Entry(408, "§7.3", "the leaf is blank")
    PATH_LENGTH = _Entry(410, "§7.6", "the update path does not have one node for each of the filtered direct path")
    PATH_CIPHERTEXTS = _Entry(411, "§7.6", "a path node does not have one ciphertext for each node of the resolution")
    PATH_PARENT_HASH = _Entry(412, "§7.9.2", "the committer's leaf has another parent hash than its path gives")
    PATH_KEY_IN_TREE = _Entry(413, "§12.4.2", "a public key of the update path is in the tree already")
    PATH_KEY_MISMATCH = _Entry(414, "§7.5", "a path secret does not give the public key that was sent")
    PATH_NOT_FOR_US = _Entry(415, "§7.5", "no ciphertext of the update path is for a key that this member has")
    PATH_SECRET_MISMATCH = _Entry(416, "§12.4.3.1", "the welcome's path secret does not give the tree's public keys")

    # 500–599: framing and message protection.
    WRONG_GROUP = _Entry(500, "§6", "the message is for another group")
    WRONG_EPOCH = _Entry(501, "§12.4.2", "the message is for an epoch that is not the current one")
    EPOCH_FORGOTTEN = _Entry(502, "§14", "the message is for an epoch whose secrets are gone")
    EPOCH_AHEAD = _Entry(503, "§14", "the message is for an epoch that has not been reached")
    SENDER_BLANK = _Entry(504, "§6.3.2", "the sender's leaf is blank")
    SENDER_SELF = _Entry(505, "§6", "the message claims to be this member's own")
    SENDER_TYPE = _Entry(506, "§6.1", "a sender of this type may not send such content")
    SENDER_UNKNOWN = _Entry(507, "§12.1.8.1", "the group has no such external sender")
    MESSAGE_SIGNATURE = _Entry(508, "§6.1", "the message's signature does not verify")
    MEMBERSHIP_TAG = _Entry(509, "§6.2", "the membership tag is wrong")
    CONFIRMATION_TAG = _Entry(510, "§12.4.2", "the confirmation tag is wrong")
    APPLICATION_NOT_PRIVATE = _Entry(511, "§6", "an application message is not encrypted")
    SENDER_DATA_OPEN_FAILED = _Entry(512, "§6.3.2", "the sender data does not decrypt")
    CONTENT_OPEN_FAILED = _Entry(513, "§6.3.1", "the content does not decrypt")
    GENERATION_CONSUMED = _Entry(514, "§9.2", "the key of this generation has been used and deleted")
    GENERATION_TOO_FAR = _Entry(515, "§15.3", "the generation is too far ahead")
    TOO_MANY_SKIPPED = _Entry(516, "§15.3", "too many keys of this epoch are kept for messages that have not come")
    AEAD_LIMIT = _Entry(517, "§15.2", "the epoch has used its AEAD as often as it may; commit first")
    GENERATION_EXHAUSTED = _Entry(518, "§9.1", "the ratchet has no generations left; commit first")

    # 600–699: proposals and lists of them.
    PROPOSAL_NOT_FOUND = _Entry(600, "§12.4", "the commit refers to a proposal that this member has not seen")
    UPDATE_BY_COMMITTER = _Entry(601, "§12.2", "the commit has an Update of the committer")
    REMOVE_OF_COMMITTER = _Entry(602, "§12.2", "the commit removes the committer")
    REMOVE_OF_BLANK = _Entry(603, "§12.1.3", "a Remove names a leaf that is blank")
    LEAF_CHANGED_TWICE = _Entry(604, "§12.2", "two Updates or Removes are for one leaf")
    ADD_TWICE = _Entry(605, "§12.2", "two Adds are for one client")
    ADD_OF_MEMBER = _Entry(606, "§12.2", "an Add is for a client that is a member")
    PSK_TWICE = _Entry(607, "§12.2", "two PreSharedKey proposals have one id")
    CONTEXT_EXTENSIONS_TWICE = _Entry(608, "§12.2", "the commit has two GroupContextExtensions proposals")
    REINIT_NOT_ALONE = _Entry(609, "§12.2", "a ReInit stands beside other proposals")
    EXTERNAL_INIT_BY_MEMBER = _Entry(610, "§12.2", "a member's commit has an ExternalInit")
    PSK_USAGE = _Entry(611, "§12.1.4", "a resumption PSK for reinit or branch is proposed in a running group")
    PSK_NONCE_LENGTH = _Entry(612, "§12.1.4", "a PSK nonce does not have the length of the hash")
    PSK_NOT_FOUND = _Entry(613, "§12.4.2", "a pre-shared key is not available")
    REINIT_DOWNGRADE = _Entry(614, "§12.1.5", "a ReInit asks for an older version")
    REQUIRED_NOT_SUPPORTED = _Entry(615, "§12.1.7", "a member does not support what the new extensions require")
    EXTERNAL_COMMIT_INIT = _Entry(616, "§12.2", "an external commit does not have exactly one ExternalInit")
    EXTERNAL_COMMIT_REMOVES = _Entry(617, "§12.2", "an external commit removes more than one leaf")
    EXTERNAL_COMMIT_PROPOSAL = _Entry(618, "§12.2", "an external commit has a proposal that it may not have")
    EXTERNAL_COMMIT_REFERENCE = _Entry(619, "§12.4.3.2", "an external commit has a proposal by reference")
    EXTERNAL_PROPOSAL_TYPE = _Entry(620, "§12.1.8", "an external sender may not send such a proposal")
    NEW_MEMBER_PROPOSAL_TYPE = _Entry(621, "§6.1", "a new member may propose nothing but its own Add")
    RESYNC_OF_OTHER = _Entry(623, "§12.2", "an external commit removes a member with another credential")
    CONTEXT_EXTENSION_NOT_SUPPORTED = _Entry(624, "§13.4", "a member does not support a new extension of the group")
    TOO_MANY_PROPOSALS = _Entry(625, "§12.1", "more proposals at once than this implementation takes")
    RESYNC_KEY_UNCHANGED = _Entry(
        626, "§12.2", "an external commit keeps the encryption key of the leaf that it removes"
    )
    PROPOSAL_REPLAYED = _Entry(627, "§12.1", "the same proposal waits for a commit already")

    # 700–799: commits.
    PATH_REQUIRED = _Entry(700, "§12.4", "the commit has no path although its proposals require one")
    COMMIT_CHANGED_UNDER = _Entry(702, "§14", "the group has moved on since the commit was made or read")
    NOTHING_PENDING = _Entry(703, "§14", "no commit of this member is pending")
    ALREADY_PENDING = _Entry(704, "§14", "a commit of this member is pending; merge it or drop it first")
    EPOCH_EXHAUSTED = _Entry(706, "§8.1", "the group has no epochs left")
    PROPOSALS_FIRST = _Entry(705, "§12.4", "proposals are pending; commit before sending application data")

    # 800–899: joining.
    NO_KEY_PACKAGE = _Entry(800, "§12.4.3.1", "the welcome is for none of the given key packages")
    WELCOME_SUITE = _Entry(801, "§12.4.3.1", "the welcome is for another cipher suite than the key package")
    GROUP_INFO_OPEN_FAILED = _Entry(802, "§12.4.3.1", "the welcome's group info does not decrypt")
    GROUP_INFO_SIGNATURE = _Entry(803, "§12.4.3", "the group info's signature does not verify")
    GROUP_INFO_SIGNER = _Entry(804, "§12.4.3", "the group info's signer is not a member")
    GROUP_INFO_CONFIRMATION = _Entry(805, "§12.4.3.1", "the group info's confirmation tag is wrong")
    NO_TREE = _Entry(806, "§12.4.3.3", "the ratchet tree is neither in the group info nor given")
    NOT_IN_TREE = _Entry(807, "§12.4.3.1", "the key package's leaf is not in the tree")
    GROUP_EXISTS = _Entry(808, "§12.4.3", "this client is in a group of that id already")
    NO_EXTERNAL_PUB = _Entry(809, "§12.4.3.2", "the group info has no external_pub extension")
    PSK_NOT_ALONE = _Entry(810, "§12.4.3.1", "more than one PSK of the welcome is for reinit or branch")
    SUCCESSOR_EPOCH = _Entry(811, "§12.4.3.1", "a group made by reinit or branch does not start with epoch 1")
    REINIT_MISMATCH = _Entry(812, "§11.2", "the new group is not the one that the ReInit describes")
    REINIT_MEMBERS = _Entry(813, "§12.4.3.1", "a member of the old group is missing in the new one")
    BRANCH_MISMATCH = _Entry(814, "§11.3", "the new group differs from the old one in version or cipher suite")
    BRANCH_MEMBERS = _Entry(815, "§11.3", "a member of the new group is not one of the old group")
    NO_PREDECESSOR = _Entry(816, "§12.4.3.1", "the group that was reinitialised or branched is not at hand")
    PRIVATE_KEY_MISMATCH = _Entry(817, "§10", "a private key does not belong to the key package")
    NOT_A_SUCCESSOR = _Entry(818, "§11.2", "the welcome has no PSK that links the new group to the one that was named")

    # 900–999: use of this library.
    STATE_CORRUPT = _Entry(900, "–", "the stored state cannot be read")
    STATE_VERSION = _Entry(901, "–", "the stored state is of a version that this implementation does not read")
    STATE_SPENT = _Entry(902, "§9.1", "this value of the group is spent: go on with the one that was returned")
    GROUP_CLOSED = _Entry(903, "§12.4.2", "this client is not a member any more")
    GROUP_REINITIALISED = _Entry(904, "§12.4.2", "the group has been reinitialised and is closed for sending")
    BAD_ARGUMENT = _Entry(905, "–", "the caller's argument cannot be used")

    @property
    def number(self) -> int:
        return self.value.number

    @property
    def clause(self) -> str:
        return self.value.clause

    @property
    def sentence(self) -> str:
        return self.value.sentence


class MlsError(Exception):
    """Something was refused. `fault` says why; `detail` may say where. Nothing has changed."""

    def __init__(self, fault: MlsFault, detail: str = "") -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"MLS {self.fault.number}: {self.fault.sentence}{detail} (RFC 9420 {self.fault.clause})"
