"""MLS (RFC 9420) in pure Python, for cipher suites 0x0001, 0x0003 and X-Wing. Not audited.

Nothing here does I/O, reads a clock or draws randomness by itself: times and sources of random bytes are arguments.
The one exception to the last is HPKE's single-shot seal, for which `cryptography` draws the ephemeral key. From
bytes that others sent, only `MlsError` comes out.

What an app uses is handed out here: `Group` and the values that it takes and gives. Below it are five wings. A wing
knows only those that stand under it; `keys` and `tree` do not know each other.

| wing | what is in it |
|---|---|
| `external`, `reinit` | coming in from outside; a group that follows another |
| `group` | `Group`, and what a message turns out to be |
| `steps` | what moves a group on: making and reading commits, proposals, joining; the state, and the state as bytes |
| `keys` | from an epoch's secrets to the keys of each message |
| `tree` | the ratchet tree: hashes, update paths, what makes leaves and trees valid |
| `objects` | the structures that travel, one module for each |
| `base` | encoding, registries, bounds, errors, primitives |

Where the code of each section of the RFC is:

| RFC 9420 | what | module |
|---|---|---|
| §2.1 | presentation language, varints | `base.codec` |
| §4.1, §7.7, §7.8 | ratchet tree, resolutions, tree hashes | `tree.ratchet_tree` |
| App. C | node numbers | `base.tree_math` |
| §5.1 | cipher suites, HPKE, signatures | `base.suites`, `base.hpke`, `base.signing` |
| §5.2, §8 | RefHash, ExpandWithLabel, DeriveSecret | `base.kdf` |
| §5.3 | credentials | `objects.credentials` |
| §6 | message framing; signing, tagging, encrypting | `objects.framing`, `keys.protection` |
| §7.1, §7.2 | parent nodes, leaf nodes | `objects.parent_node`, `objects.leaf_node` |
| §7.3, §10.1 | validation of leaf nodes and key packages | `tree.leaf_validation` |
| §7.4–§7.6 | update paths: TreeKEM | `tree.treekem` |
| §7.9 | parent hashes, validation of whole trees | `tree.tree_validation` |
| §8, §8.1, §8.2 | key schedule, context, transcript | `keys.key_schedule`, `objects.group_context`, `keys.transcript` |
| §8.3 | external initialisation | `base.suites`, `base.hpke` |
| §8.4 | pre-shared keys | `objects.psk` |
| §9 | secret tree, ratchets, deletion schedule | `keys.secret_tree` |
| §10 | key packages | `objects.key_package` |
| §11 | creating a group | `steps.creating` |
| §11.2, §11.3 | reinitialisation, branching | `reinit` |
| §12.1 | proposals | `objects.proposals`, `steps.sending` |
| §12.1.8 | external proposals | `external` |
| §12.2, §12.3 | proposal lists: validity, application | `steps.proposal_list`, `steps.applying` |
| §12.4 | commits: structures, making, processing | `objects.commit`, `steps.committing`, `steps.processing` |
| §12.4.3 | GroupInfo, Welcome, joining by it | `objects.group_info`, `objects.welcome`, `steps.joining` |
| §12.4.3.2 | external commits | `external` |
| §13.4, §13.5 | extensions, GREASE | `objects.extensions`, `objects.grease` |
| §14 | staging: nothing changes until a commit is accepted | `group`, `steps.view`, `steps.changes`, `steps.epoch` |
| §15 | application messages, bounds | `steps.sending`, `base.bounds` |
| §17 | registries | `base.registry` |

`base.errors` has the numbered list of everything that is refused. `steps.state_format` stores a group as bytes.

The life of a group of two:

>>> from secrets import token_bytes
>>> from waypost.mls import Add, BasicCredential, CommitOptions, Group, GroupSpec, KeyPackageSpec, LeafNodeContent
>>> from waypost.mls import Lifetime, SignatureKey, X25519_AES128, make_key_package

Bob publishes a key package. Alice creates a group, adds him, and goes on when the hub has accepted her commit.

>>> now, lifetime = 1_700_000_000, Lifetime(1_699_990_000, 1_702_000_000)
>>> bob_content = LeafNodeContent(BasicCredential(b"bob"))
>>> bob_spec = KeyPackageSpec(X25519_AES128, bob_content, lifetime)
>>> bundle = make_key_package(bob_spec, SignatureKey(token_bytes(32)), token_bytes)
>>> alice_content = LeafNodeContent(BasicCredential(b"alice"))
>>> spec = GroupSpec(token_bytes(32), X25519_AES128, alice_content, lifetime)
>>> alice = Group.create(spec, SignatureKey(token_bytes(32)), token_bytes)
>>> alice, pending = alice.commit(token_bytes, now, CommitOptions((Add(bundle.key_package),)))
>>> stored = alice.state()  # before pending.message is sent
>>> alice = alice.merge_pending(now)  # the hub has accepted it; pending.welcomes may go out
>>> bob = Group.join(pending.welcomes[0].message, bundle)
>>> bob.epoch_authenticator == alice.epoch_authenticator
True

Every operation returns the next `Group`. Its state is stored before a message leaves, or before one is acknowledged.

>>> alice, message = alice.encrypt(b"hello", token_bytes)
>>> stored = alice.state()
>>> received = bob.process(message, now)
>>> bob, received.data, received.credential.identity
(<Group ... epoch 1, leaf 1 of 2>, b'hello', b'alice')
>>> bob = received.group

A commit comes staged: policy looks at `changes`, then applies it or drops it.

>>> bob, pending = bob.commit(token_bytes, now)
>>> staged = alice.process(pending.message, now)
>>> staged.changes.committer.credential, staged.changes.added
(BasicCredential(identity=b'bob'), ())
>>> alice, bob = staged.apply(now), bob.merge_pending(now)
>>> alice.epoch, bob.epoch
(2, 2)

In a large group most of the state is the tree. `state_parts()` gives it in two parts, of which a message changes only
the small one.

Where two commits race, the loser applies the winner's, which drops its own, and commits again. A `Group` that comes
back from `Group.load(stored)` is as it was when it was stored; what was sent since then is not known to it, which is
why storing comes first. A client restored from an old backup must not go on sending: it rejoins by
`external.join_by_external_commit` with `resync`.
"""

from waypost.mls.base.errors import MlsError
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import X25519_AES128
from waypost.mls.group import ApplicationMessage, Group, ProposalMessage, StagedCommit
from waypost.mls.objects.credentials import BasicCredential
from waypost.mls.objects.key_package import KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNodeContent, Lifetime
from waypost.mls.objects.proposals import Add, Remove
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.creating import GroupSpec

__all__ = [
    "X25519_AES128",
    "Add",
    "ApplicationMessage",
    "BasicCredential",
    "CommitOptions",
    "Group",
    "GroupSpec",
    "KeyPackageSpec",
    "LeafNodeContent",
    "Lifetime",
    "MlsError",
    "ProposalMessage",
    "Remove",
    "SignatureKey",
    "StagedCommit",
    "make_key_package",
]
