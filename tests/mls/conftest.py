import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What counts the faults that the others have seen comes last."""
    items.sort(key=lambda item: item.name.startswith("test_every_fault"))
