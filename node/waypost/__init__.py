"""Waypost: a federated store-and-forward relay node for end-to-end encrypted messages.

Packages are ordered in rows; a lower row never imports a higher one. The rows are the
``layers`` contract in ``pyproject.toml``.
"""

__version__ = "0.2.0"
