"""Cryptography, bytes in and bytes out: keys, HPKE, seal.1, padding, fingerprints, the vault, link certificates.

Seeds, nonces, salts and content keys are arguments, so that results can be repeated. One exception: HPKE draws its own
encapsulation randomness inside the `cryptography` library, which offers no way to hand it in (see `kem.seal_to`).
"""
