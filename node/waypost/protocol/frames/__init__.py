"""What crosses a link: frames, messages, the handshake, a session."""
