"""Custody of envelopes: from a link into the store, and out again."""
