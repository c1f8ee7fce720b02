"""On the path of a node whose memory is measured: at SIGUSR2 it tidies up and writes down what its allocators hold.

Python loads this in every process that finds it on its path; beyond a signal's handler it changes nothing. The figures
go to WAYPOST_BENCH_TELL/PID.json, in bytes.
"""

import contextlib
import ctypes
import gc
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

_PYTHON = re.compile(r"# bytes in allocated blocks\s*=\s*([\d,]+)")


class _Mallinfo2(ctypes.Structure):
    """malloc.h: of all arenas of glibc together."""

    _fields_ = [
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),  # in use, mapped one by one
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),  # in use, of the arenas
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    ]


def _python_bytes() -> int | None:
    """What Python's own allocator has given out (objects up to 512 bytes; the greater ones are malloc's)."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            sys._debugmallocstats()  # noqa: SLF001 - the only way to these figures
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        found = _PYTHON.search(file.read().decode())
    return int(found[1].replace(",", "")) if found else None


def _tell(_signal: int, _frame: object) -> None:
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    libc.mallinfo2.restype = _Mallinfo2
    info = libc.mallinfo2()
    facts = {"malloc": info.uordblks + info.hblkhd, "python": _python_bytes()}
    target = Path(os.environ["WAYPOST_BENCH_TELL"]) / f"{os.getpid()}.json"
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(facts))
    partial.rename(target)


# A process that is not the node's may have it started outside of the main thread.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGUSR2, _tell)
