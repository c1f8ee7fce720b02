"""What RFC 9420 tells a client to verify, clause by clause, and the fault that answers each; or why there is none.

`test_clauses` holds this against the list of faults, both ways, and each fault against the tests that see it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from waypost.mls.base.errors import MlsFault

F: Final = MlsFault


class Clause(NamedTuple):
    section: str
    #: What must hold, in short.
    rule: str
    faults: tuple[MlsFault, ...] = ()
    #: Where no fault answers it.
    reason: str = ""


_APPLICATION = "the application's: it sees the credentials in `members()` and `StagedCommit.changes`"

ENCODING: Final = (
    Clause("2.1", "fields end within their input", (F.TRUNCATED,)),
    Clause("2.1", "nothing follows the structure", (F.TRAILING_BYTES,)),
    Clause("2.1", "vectors hold whole elements", (F.VECTOR_NOT_WHOLE,)),
    Clause("2.1", "enumerations have a value that is defined", (F.UNKNOWN_ENUM,)),
    Clause("2.1.1", "presence is 0 or 1", (F.OPTIONAL_INVALID,)),
    Clause("2.1.2", "lengths are minimal and do not start with 11", (F.VARINT_NOT_MINIMAL, F.VARINT_INVALID)),
    Clause("2.1.2", "what is too large may be refused", (F.TOO_LARGE,)),
)

CRYPTOGRAPHY: Final = (
    Clause("5.1", "the cipher suite is one that is implemented", (F.UNKNOWN_SUITE,)),
    Clause("5.1.1", "keys are of their algorithm", (F.BAD_HPKE_KEY, F.BAD_SIGNATURE_KEY, F.BAD_SECRET_KEY)),
    Clause("5.1.3", "HPKE ciphertexts open", (F.HPKE_OPEN_FAILED,)),
    Clause("5.3", "credentials are of a known type", (F.UNKNOWN_CREDENTIAL,)),
    Clause("5.3.1", "credentials are true, and identifiers acceptable", reason=_APPLICATION),
    Clause("5.3.3", "a member presents the same identifiers over its life", reason=_APPLICATION),
)

FRAMING: Final = (
    Clause("6", "the version is mls10", (F.WRONG_VERSION,)),
    Clause("6", "the wire format is one that belongs here", (F.WRONG_WIRE_FORMAT,)),
    Clause("6", "the group is this one", (F.WRONG_GROUP,)),
    Clause("6", "application data is in a PrivateMessage", (F.APPLICATION_NOT_PRIVATE,)),
    Clause("6.1", "the signature verifies with the key of the sender", (F.MESSAGE_SIGNATURE,)),
    Clause("6.1", "a member's leaf is not blank", (F.SENDER_BLANK,)),
    Clause("6.1", "own messages do not come from others", (F.SENDER_SELF,)),
    Clause("6.1", "an external sender is in external_senders", (F.SENDER_UNKNOWN,)),
    Clause("6.1", "each sender type sends what it may", (F.SENDER_TYPE, F.NEW_MEMBER_PROPOSAL_TYPE)),
    Clause("6.2", "the membership tag of a member's PublicMessage is right", (F.MEMBERSHIP_TAG,)),
    Clause("6.3.1", "the content decrypts", (F.CONTENT_OPEN_FAILED,)),
    Clause("6.3.1", "padding is zero", (F.NON_ZERO_PADDING,)),
    Clause("6.3.2", "the sender data decrypts, and its leaf is not blank", (F.SENDER_DATA_OPEN_FAILED, F.SENDER_BLANK)),
)

LEAF_NODES: Final = (
    Clause("7.1", "unmerged leaves increase", (F.UNMERGED_NOT_SORTED,)),
    Clause("7.2", "the credential is of a type that the leaf's own capabilities list", (F.LEAF_CREDENTIAL_UNLISTED,)),
    Clause("7.2", "the lifetime is no longer than the application accepts", (F.LIFETIME_TOO_LONG,)),
    Clause("7.2", "GREASE and unknown values in capabilities are ignored", reason="tolerated: test_lists"),
    Clause("7.3", "the credential is valid", reason=_APPLICATION),
    Clause("7.3", "the signature verifies, for this group and leaf index", (F.LEAF_SIGNATURE,)),
    Clause("7.3", "it supports the group's version and suite", (F.LEAF_VERSION_UNLISTED, F.LEAF_SUITE_UNLISTED)),
    Clause("7.3", "it lists what required_capabilities asks for", (F.LEAF_LACKS_REQUIRED,)),
    Clause("7.3", "all support its credential type, and it supports those in use", (F.CREDENTIAL_NOT_SHARED,)),
    Clause("7.3", "now is within the lifetime, in what is sent", (F.LIFETIME_TOO_EARLY, F.LIFETIME_OVER)),
    Clause("7.3", "now is within the lifetime, in key packages received (recommended)", (F.LIFETIME_OVER,)),
    Clause(
        "7.3",
        "now is within the lifetime, in a tree that is joined (recommended)",
        reason="not checked: members stay when the lifetime of the key package that brought them is over",
    ),
    Clause("7.3", "its extensions are in its capabilities", (F.LEAF_EXTENSION_UNLISTED,)),
    Clause("7.3", "its source is key_package, update or commit where it must be", (F.LEAF_SOURCE,)),
    Clause("7.3", "an Update's encryption key is another than before", (F.ENCRYPTION_KEY_UNCHANGED,)),
    Clause("7.3", "signature keys are unique among members", (F.SIGNATURE_KEY_TWICE,)),
    Clause("7.3", "encryption keys are unique among members", (F.ENCRYPTION_KEY_TWICE,)),
    Clause("7.4", "nodes that are asked for are not blank", (F.LEAF_BLANK,)),
)

PATHS: Final = (
    Clause("7.5", "path secrets give the public keys that were sent", (F.PATH_KEY_MISMATCH,)),
    Clause("7.5", "one of the ciphertexts is for a key that is at hand", (F.PATH_NOT_FOR_US,)),
    Clause("7.6", "a node for each of the filtered direct path", (F.PATH_LENGTH,)),
    Clause("7.6", "a ciphertext for each node of the resolution, new leaves left out", (F.PATH_CIPHERTEXTS,)),
    Clause("7.9.2", "the leaf's parent hash is that of the path", (F.PATH_PARENT_HASH,)),
    Clause("7.9.2", "each parent is parent-hash valid", (F.PARENT_HASH_INVALID,)),
)

KEYS: Final = (
    Clause("8.1", "the epoch grows by one", (F.EPOCH_EXHAUSTED,)),
    Clause("8.4", "PSKs are counted in 16 bits", (F.TOO_MANY_PROPOSALS,)),
    Clause("8.5", "exporters give what HKDF can", (F.BAD_ARGUMENT,)),
    Clause("8.6", "resumption PSKs are of kept epochs", (F.PSK_NOT_FOUND,)),
    Clause("9.1", "each generation is used once", (F.GENERATION_CONSUMED, F.GENERATION_EXHAUSTED, F.STATE_SPENT)),
    Clause("9.2", "what has been used is deleted", (F.GENERATION_CONSUMED,)),
    Clause("15.2", "the AEAD is used as often as it may be", (F.AEAD_LIMIT,)),
    Clause("15.3", "steps ahead and skipped keys are bounded", (F.GENERATION_TOO_FAR, F.TOO_MANY_SKIPPED)),
)

KEY_PACKAGES: Final = (
    Clause("10", "private keys belong to the package", (F.PRIVATE_KEY_MISMATCH,)),
    Clause("10.1", "version and suite are the group's", (F.KEY_PACKAGE_VERSION, F.KEY_PACKAGE_SUITE)),
    Clause("10.1", "the leaf node is valid for a key package", (F.LEAF_SOURCE, F.LEAF_SIGNATURE)),
    Clause("10.1", "the signature verifies with the leaf's key", (F.KEY_PACKAGE_SIGNATURE,)),
    Clause("10.1", "init key and encryption key differ", (F.INIT_KEY_REUSED,)),
    Clause("11.1", "required capabilities are met by newcomers", (F.LEAF_LACKS_REQUIRED,)),
    Clause("11.2", "a successor is what the ReInit describes", (F.REINIT_MISMATCH, F.NOT_A_SUCCESSOR)),
    Clause("11.3", "a branch keeps version and suite, and has no strangers", (F.BRANCH_MISMATCH, F.BRANCH_MEMBERS)),
)

PROPOSALS: Final = (
    Clause("12.1", "a proposal's signature verifies and its epoch is current", (F.MESSAGE_SIGNATURE, F.WRONG_EPOCH)),
    Clause("12.1", "proposals are cached by hash, so many and no more", (F.PROPOSAL_REPLAYED, F.TOO_MANY_PROPOSALS)),
    Clause("12.1.1", "an Add has a valid key package", (F.KEY_PACKAGE_SIGNATURE, F.LIFETIME_OVER)),
    Clause("12.1.2", "an Update has a valid leaf node", (F.LEAF_SOURCE, F.ENCRYPTION_KEY_UNCHANGED)),
    Clause("12.1.3", "a Remove names a member", (F.REMOVE_OF_BLANK,)),
    Clause("12.1.4", "reinit and branch PSKs are for reinit and branch", (F.PSK_USAGE,)),
    Clause("12.1.4", "the nonce has the length of the hash", (F.PSK_NONCE_LENGTH,)),
    Clause("12.1.5", "a ReInit does not go back in version", (F.REINIT_DOWNGRADE,)),
    Clause("12.1.6", "an ExternalInit is in external commits only", (F.EXTERNAL_INIT_BY_MEMBER,)),
    Clause("12.1.7", "members support what new extensions require", (F.REQUIRED_NOT_SUPPORTED,)),
    Clause("12.1.8", "external senders propose what they may", (F.EXTERNAL_PROPOSAL_TYPE, F.SENDER_TYPE)),
    Clause("12.1.8", "external proposals are PublicMessages", (F.SENDER_DATA_OPEN_FAILED,)),
    Clause("12.1.8", "a new member's own Add is authorised", reason="the application's; unnamed, it is not committed"),
    Clause("12.1.8.1", "external senders are pre-provisioned", (F.SENDER_UNKNOWN,)),
)

LISTS: Final = (
    Clause("12.2", "each proposal is valid", (F.REMOVE_OF_BLANK, F.LEAF_SIGNATURE)),
    Clause("12.2", "no Update by the committer", (F.UPDATE_BY_COMMITTER,)),
    Clause("12.2", "no Remove of the committer", (F.REMOVE_OF_COMMITTER,)),
    Clause("12.2", "one Update or Remove for each leaf", (F.LEAF_CHANGED_TWICE,)),
    Clause("12.2", "no client is added twice", (F.ADD_TWICE,)),
    Clause("12.2", "no member is added, unless it is removed", (F.ADD_OF_MEMBER,)),
    Clause("12.2", "no PSK twice", (F.PSK_TWICE,)),
    Clause("12.2", "one GroupContextExtensions at most", (F.CONTEXT_EXTENSIONS_TWICE,)),
    Clause("12.2", "a ReInit is alone", (F.REINIT_NOT_ALONE,)),
    Clause("12.2", "no ExternalInit by a member", (F.EXTERNAL_INIT_BY_MEMBER,)),
    Clause("12.2", "no proposal of a type that is not supported by all", (F.UNKNOWN_PROPOSAL,)),
    Clause("12.2", "the tree is valid afterwards", (F.SIGNATURE_KEY_TWICE, F.ENCRYPTION_KEY_TWICE, F.TREE_TOO_LARGE)),
    Clause("12.2", "external: exactly one ExternalInit", (F.EXTERNAL_COMMIT_INIT,)),
    Clause("12.2", "external: one Remove at most", (F.EXTERNAL_COMMIT_REMOVES,)),
    Clause("12.2", "external: the Remove is of the joiner's own leaf", (F.RESYNC_OF_OTHER, F.RESYNC_KEY_UNCHANGED)),
    Clause("12.2", "external: nothing else but PSKs", (F.EXTERNAL_COMMIT_PROPOSAL,)),
    Clause("12.3", "new extensions come first", (F.LEAF_LACKS_REQUIRED, F.CONTEXT_EXTENSION_NOT_SUPPORTED)),
    Clause("12.3", "PSKs are looked up", (F.PSK_NOT_FOUND,)),
)

COMMITS: Final = (
    Clause("12.4", "pending proposals are committed before data is sent", (F.PROPOSALS_FIRST,)),
    Clause("12.4", "references are to proposals that were seen", (F.PROPOSAL_NOT_FOUND,)),
    Clause("12.4", "a path is there where it must be", (F.PATH_REQUIRED,)),
    Clause("12.4.2", "the epoch is the current one", (F.WRONG_EPOCH, F.EPOCH_AHEAD, F.EPOCH_FORGOTTEN)),
    Clause("12.4.2", "the message unprotects and its signature verifies", (F.MEMBERSHIP_TAG, F.MESSAGE_SIGNATURE)),
    Clause("12.4.2", "PSKs are available", (F.PSK_NOT_FOUND,)),
    Clause("12.4.2", "the path's leaf node is valid, of source commit", (F.LEAF_SOURCE, F.LEAF_SIGNATURE)),
    Clause("12.4.2", "its encryption key is another than before", (F.ENCRYPTION_KEY_UNCHANGED,)),
    Clause("12.4.2", "no public key of the path is in the tree", (F.PATH_KEY_IN_TREE,)),
    Clause("12.4.2", "path secrets decrypt", (F.HPKE_OPEN_FAILED, F.PATH_KEY_MISMATCH)),
    Clause("12.4.2", "the confirmation tag is right", (F.CONFIRMATION_TAG,)),
    Clause("12.4.2", "after a ReInit nothing is sent", (F.GROUP_REINITIALISED,)),
    Clause("12.4.2", "who is removed sends nothing more", (F.GROUP_CLOSED,)),
    Clause("14", "one commit for each epoch", (F.WRONG_EPOCH, F.COMMIT_CHANGED_UNDER, F.ALREADY_PENDING)),
    Clause("14", "a commit is applied when it has been accepted", (F.NOTHING_PENDING,)),
)

JOINING: Final = (
    Clause("12.4.3", "extensions of the group context are supported by the joiner", (F.EXTENSION_NOT_SUPPORTED,)),
    Clause("12.4.3", "unknown extensions of the GroupInfo are ignored", reason="tolerated: test_lists"),
    Clause("12.4.3", "the group id is new to this client", (F.GROUP_EXISTS,)),
    Clause("12.4.3", "the GroupInfo's signature verifies", (F.GROUP_INFO_SIGNATURE, F.GROUP_INFO_SIGNER)),
    Clause("12.4.3.1", "an entry is for one of the client's key packages", (F.NO_KEY_PACKAGE,)),
    Clause("12.4.3.1", "the Welcome's suite is the key package's", (F.WELCOME_SUITE,)),
    Clause("12.4.3.1", "the group secrets decrypt", (F.HPKE_OPEN_FAILED,)),
    Clause("12.4.3.1", "PSKs are at hand, one for reinit or branch at most", (F.PSK_NOT_FOUND, F.PSK_NOT_ALONE)),
    Clause("12.4.3.1", "the GroupInfo decrypts", (F.GROUP_INFO_OPEN_FAILED,)),
    Clause("12.4.3.1", "the tree hash is the context's", (F.TREE_HASH_MISMATCH,)),
    Clause("12.4.3.1", "parents are parent-hash valid", (F.PARENT_HASH_INVALID,)),
    Clause("12.4.3.1", "leaf nodes are valid", (F.LEAF_SIGNATURE, F.LEAF_LACKS_GROUP_EXTENSION)),
    Clause("12.4.3.1", "unmerged leaves are members below", (F.UNMERGED_NOT_BELOW, F.UNMERGED_NOT_CARRIED)),
    Clause("12.4.3.1", "parents' keys are nowhere else in the tree", (F.ENCRYPTION_KEY_TWICE,)),
    Clause("12.4.3.1", "the client's own leaf is in the tree", (F.NOT_IN_TREE,)),
    Clause("12.4.3.1", "the path secret gives the tree's keys", (F.PATH_SECRET_MISMATCH,)),
    Clause("12.4.3.1", "the confirmation tag is right", (F.GROUP_INFO_CONFIRMATION,)),
    Clause("12.4.3.1", "a successor is in epoch 1, its old group at hand", (F.SUCCESSOR_EPOCH, F.NO_PREDECESSOR)),
    Clause("12.4.3.1", "reinit: as described, with all members", (F.REINIT_MISMATCH, F.REINIT_MEMBERS)),
    Clause("12.4.3.1", "branch: same suite, no strangers", (F.BRANCH_MISMATCH, F.BRANCH_MEMBERS)),
    Clause("12.4.3.2", "external: the GroupInfo has external_pub", (F.NO_EXTERNAL_PUB,)),
    Clause("12.4.3.2", "external: there is a path", (F.PATH_REQUIRED,)),
    Clause("12.4.3.2", "external: nothing by reference", (F.EXTERNAL_COMMIT_REFERENCE,)),
    Clause("12.4.3.2", "external: signed by the key of the path's leaf", (F.MESSAGE_SIGNATURE,)),
    Clause("12.4.3.2", "external: the sender type is new_member_commit", (F.SENDER_TYPE, F.EXTERNAL_INIT_BY_MEMBER)),
    Clause("12.4.3.3", "the tree is at hand and has a shape", (F.NO_TREE, F.TREE_EMPTY, F.TREE_ENDS_BLANK)),
    Clause("12.4.3.3", "leaves and parents are in their places", (F.TREE_NODE_TYPE, F.TREE_TOO_LARGE)),
    Clause("13.4", "one extension of each type, and its data can be read", (F.DUPLICATE_EXTENSION, F.BAD_EXTENSION)),
    Clause("13.5", "GREASE is tolerated", reason="tolerated: test_lists"),
)

#: Not of the RFC: the stored state of this implementation.
STORAGE: Final = (Clause("–", "a stored state is whole and of a known version", (F.STATE_CORRUPT, F.STATE_VERSION)),)

CLAUSES: Final = (
    *ENCODING,
    *CRYPTOGRAPHY,
    *FRAMING,
    *LEAF_NODES,
    *PATHS,
    *KEYS,
    *KEY_PACKAGES,
    *PROPOSALS,
    *LISTS,
    *COMMITS,
    *JOINING,
    *STORAGE,
)
