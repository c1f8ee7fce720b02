"""The ratchet tree: its nodes, hashes and update paths, and what makes leaves and whole trees valid."""
