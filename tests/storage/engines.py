"""The stores there are, each as something that opens one in a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from waypost.storage.memory.engine import MemoryStore
from waypost.storage.sqlite.engine import open_store
from waypost.storage.store import Store


@asynccontextmanager
async def memory(path: Path) -> AsyncIterator[Store]:
    store = MemoryStore()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def sqlite(path: Path) -> AsyncIterator[Store]:
    async with open_store(path) as store:
        yield store
