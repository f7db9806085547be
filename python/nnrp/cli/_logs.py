"""Logs for people, and for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["LEVELS", "configure"]

LEVELS: Final = ("debug", "info", "warning", "error")

#: What records of this package say beside their text; see docs/observability.md.
_CONTEXT: Final = ("session_id", "frame_id", "view_id", "trace_id", "peer")

#: What every record has: whatever else is there came with `extra`.
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record and line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON: when, how bad, who, what, what it is about, and what was raised."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {
            name: value
            for name, value in vars(record).items()
            if name not in _USUAL and value is not None and not name.startswith("_")
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One line per record, with what it is about at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # its name in `logging`
        """Return the line, without what was raised."""
        line = super().formatMessage(record)
        context = {name: getattr(record, name, None) for name in _CONTEXT}
        # What the native half logs says it in its text already.
        new = {name: value for name, value in context.items() if value and str(value) not in line}
        words = [f"{name.removesuffix('_id')}={value}" for name, value in new.items()]
        return f"{line}  [{' '.join(words)}]" if words else line


def configure(level: str, form: str) -> None:
    """Send all records to standard error, as ``text`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("nnrp").setLevel(level.upper())
