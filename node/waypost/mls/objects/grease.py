"""GREASE (RFC 9420 §13.5): values that mean nothing, sent so that others keep ignoring what they do not know."""

from __future__ import annotations

from dataclasses import replace

from waypost.mls.base.hpke import Randomness
from waypost.mls.base.registry import GREASE
from waypost.mls.objects.extensions import Extension
from waypost.mls.objects.leaf_node import LeafNodeContent


def greased(content: LeafNodeContent, random: Randomness) -> LeafNodeContent:
    """The same with a random value in each list of its capabilities, and an extension that means nothing."""
    capabilities = content.capabilities
    extension = grease_extension(random)
    return replace(
        content,
        extensions=(*content.extensions, extension),
        capabilities=replace(
            capabilities,
            cipher_suites=(*capabilities.cipher_suites, _value(random)),
            extensions=(*capabilities.extensions, extension.type),
            proposals=(*capabilities.proposals, _value(random)),
            credentials=(*capabilities.credentials, _value(random)),
        ),
    )


def grease_extension(random: Randomness) -> Extension:
    """For `KeyPackage.extensions` and `GroupInfo.extensions`: a random type with a few random bytes."""
    return Extension(_value(random), random(random(1)[0] % 16))


def _value(random: Randomness) -> int:
    return GREASE[random(1)[0] % len(GREASE)]
