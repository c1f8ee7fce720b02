"""The log: structured lines on the standard error stream. Never messages, tokens or secret keys."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from waypost.daemon.plan import Format, Level

_WITHHELD: Final = "(withheld)"
#: Fields that could hold what must not be in a log, whoever puts them there.
_SECRET_FIELDS: Final = frozenset(
    {"body", "content", "envelope", "invite", "passphrase", "password", "plaintext", "secret", "seed", "token"}
)
_INVITE_PREFIX: Final = "waypost:"
_LEVELS: Final = {level: logging.getLevelNamesMapping()[level.name] for level in Level}


def withhold(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: secrets become a word, bytes their length."""
    for name, value in event.items():
        if name in _SECRET_FIELDS or (isinstance(value, str) and value.startswith(_INVITE_PREFIX)):
            event[name] = _WITHHELD
        elif isinstance(value, bytes | bytearray | memoryview):
            event[name] = f"({len(value)} bytes)"
    return event


def configure(level: Level, form: Format) -> None:
    """Set up this process's log: ours, and what libraries say by the standard `logging` (warnings and above)."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        withhold,
    ]
    renderer: Any
    if form is Format.JSON:
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(default=str)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
