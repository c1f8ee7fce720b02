"""The stores there are, each as something that opens one in a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from waypost.storage.memory.engine import MemoryStore
from waypost.storage.pending import Report, to_stderr
from waypost.storage.sqlite.engine import open_store
from waypost.storage.store import Store


@asynccontextmanager
async def memory(path: Path, report: Report = to_stderr) -> AsyncIterator[Store]:
    store = MemoryStore(report=report)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def sqlite(path: Path, report: Report = to_stderr) -> AsyncIterator[Store]:
    async with open_store(path, report=report) as store:
        yield store
