"""tree-math, deserialization, crypto-basics, key-schedule, psk_secret and transcript-hashes."""

from __future__ import annotations

import hmac

from scripts.support.mls_vectors.check import Case, same

from waypost.mls.base import tree_math
from waypost.mls.base.codec import Reader, decode
from waypost.mls.base.kdf import derive_secret, derive_tree_secret, expand_with_label, mac, ref_hash
from waypost.mls.base.signing import SignatureKey, verify_with_label
from waypost.mls.base.suites import cipher_suite
from waypost.mls.keys.key_schedule import joiner_secret, schedule
from waypost.mls.keys.transcript import confirmed_transcript_hash, interim_transcript_hash
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.framing import AuthenticatedContent
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.psk import ExternalPskId, Psks, psk_secret


def tree_math_case(case: Case) -> None:
    leaves, nodes = case["n_leaves"], case["n_nodes"]
    same("n_nodes", tree_math.node_width(leaves), nodes)
    top = tree_math.root(leaves)
    same("root", top, case["root"])
    for node in range(nodes):
        inner = node % 2 == 1
        same(f"left of {node}", tree_math.left(node) if inner else None, case["left"][node])
        same(f"right of {node}", tree_math.right(node) if inner else None, case["right"][node])
        same(f"parent of {node}", None if node == top else tree_math.parent(node), case["parent"][node])
        same(f"sibling of {node}", None if node == top else tree_math.sibling(node), case["sibling"][node])


def deserialization_case(case: Case) -> None:
    same("length", Reader(case["vlbytes_header"]).varint(), case["length"])


def crypto_basics_case(case: Case) -> None:
    suite = cipher_suite(case["cipher_suite"])
    given = case["ref_hash"]
    same("RefHash", ref_hash(given["label"].encode(), given["value"]), given["out"])
    given = case["expand_with_label"]
    secret, context, label = given["secret"], given["context"], given["label"].encode()
    same("ExpandWithLabel", expand_with_label(secret, label, context, given["length"]), given["out"])
    given = case["derive_secret"]
    same("DeriveSecret", derive_secret(given["secret"], given["label"].encode()), given["out"])
    given = case["derive_tree_secret"]
    secret, label = given["secret"], given["label"].encode()
    found = derive_tree_secret(secret, label, given["generation"], given["length"])
    same("DeriveTreeSecret", found, given["out"])
    given = case["sign_with_label"]
    key, public = SignatureKey(given["priv"]), given["pub"]
    same("public key", key.public, public)
    content, label = given["content"], given["label"].encode()
    for signature in (given["signature"], key.sign_with_label(label, content)):
        same("VerifyWithLabel", verify_with_label(public, label, content, signature), True)
    given = case["encrypt_with_label"]
    private, public = suite.kem.private_key(given["priv"]), given["pub"]
    same("public key", private.public, public)
    context, plaintext, label = given["context"], given["plaintext"], given["label"].encode()
    sealed = given["kem_output"], given["ciphertext"]
    for each in (sealed, suite.encrypt_with_label(public, label, context, plaintext)):
        same("DecryptWithLabel", suite.decrypt_with_label(private, label, context, each), plaintext)


def key_schedule_case(case: Case) -> None:
    suite, init_secret = cipher_suite(case["cipher_suite"]), case["initial_init_secret"]
    for number, epoch in enumerate(case["epochs"]):
        tree_hash, confirmed = epoch["tree_hash"], epoch["confirmed_transcript_hash"]
        context = GroupContext(suite.value, case["group_id"], number, tree_hash, confirmed)
        same("group_context", context.encoded, epoch["group_context"])
        same("group_context, read", decode(context.encoded, GroupContext.read), context)
        joiner = joiner_secret(init_secret, epoch["commit_secret"], context.encoded)
        begun = schedule(joiner, epoch["psk_secret"], context.encoded)
        same("joiner_secret", joiner, epoch["joiner_secret"])
        same("welcome_secret", begun.welcome_secret, epoch["welcome_secret"])
        same("encryption_secret", begun.encryption_secret, epoch["encryption_secret"])
        for name, secret in vars(begun.secrets).items():
            same(name, secret, epoch[name])
        same("external_pub", begun.secrets.external_key_pair(suite).public, epoch["external_pub"])
        given = epoch["exporter"]
        exported = begun.secrets.export(given["label"].encode(), given["context"], given["length"])
        same("exporter", exported, given["secret"])
        init_secret = begun.secrets.init_secret


def psk_secret_case(case: Case) -> None:
    ids = [ExternalPskId(psk["psk_id"], psk["psk_nonce"]) for psk in case["psks"]]
    psks = Psks({psk["psk_id"]: psk["psk"] for psk in case["psks"]})
    same("psk_secret", psk_secret(ids, psks), case["psk_secret"])


def transcript_hashes_case(case: Case) -> None:
    content = decode(case["authenticated_content"], AuthenticatedContent.read)
    same("content type", isinstance(content.content.content, Commit), True)
    before = case["interim_transcript_hash_before"]
    confirmed = confirmed_transcript_hash(before, content.wire_format, content.content, content.auth.signature)
    same("confirmed_transcript_hash", confirmed, case["confirmed_transcript_hash_after"])
    tag = content.auth.confirmation_tag or b""
    same("confirmation_tag", hmac.compare_digest(mac(case["confirmation_key"], confirmed), tag), True)
    interim = interim_transcript_hash(confirmed, tag)
    same("interim_transcript_hash", interim, case["interim_transcript_hash_after"])
