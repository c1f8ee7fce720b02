"""Runs test vectors in the formats of mlswg/mls-implementations: `test-vectors/` and `interop/passive/`."""
