"""Lets links in: the handshake, who may come, and what each kind of link is served with."""
