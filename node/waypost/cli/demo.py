"""`waypost demo`."""


def demo() -> None:
    """Placeholder."""
