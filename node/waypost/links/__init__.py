"""How bytes travel: streams over TLS or in memory, and the pump that drives a session over either.

`stream` is the interface, `tls` and `memory` implement it, `tcp` dials and listens, `pump` runs the handshake and the
session. Written on anyio, so that it works under trio and asyncio alike. Whatever OpenSSL, anyio or the operating
system raise becomes `LinkBroken` here.
"""
