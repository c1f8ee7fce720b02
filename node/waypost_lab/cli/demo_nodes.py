"""The nodes of the demonstration: as a new operator would configure them."""

from __future__ import annotations

from pathlib import Path

from waypost.ids import parse_provider
from waypost_lab.box.process import NodeProcess


class DemoNode(NodeProcess):
    """Its port is kept over restarts, since the apps' profiles name it."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        self._peers: tuple[DemoNode, ...] = ()
        self._mdns = True

    def introduce(self, *peers: DemoNode) -> None:
        """From the next start on, know these peers by configuration and do without mDNS."""
        self._peers, self._mdns = peers, False

    async def start(self, config: str = "") -> float:
        """See `NodeProcess`; the configuration is the demonstration's unless another is given."""
        return await super().start(config or self._config())

    def _config(self) -> str:
        provider = parse_provider(self.name)
        lines = [f'name = "{provider}"', f'listen = ["127.0.0.1:{self.port}"]']
        for peer in self._peers:
            lines += ["[[peers]]", f'provider = "{peer.name}"', f'endpoint = "127.0.0.1:{peer.port}"']
        lines += ["[mdns]", f"enabled = {str(self._mdns).lower()}", 'interfaces = ["127.0.0.1"]']
        return "\n".join(lines) + "\n"
