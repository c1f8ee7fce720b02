"""Links in and out: the handshake, who may come, and how each kind of link is served."""
