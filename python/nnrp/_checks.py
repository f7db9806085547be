"""Arguments checked when they are given, because what fails later does not say whose mistake it was."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["check_kind", "check_timeout"]

_T = TypeVar("_T")


def check_timeout(timeout: float | None, name: str = "timeout") -> None:
    """Raise ``TypeError`` unless ``timeout`` is a number of seconds or ``None``."""
    if timeout is not None and not hasattr(timeout, "__float__"):
        kind = type(timeout).__name__
        raise TypeError(f"{name} must be a number of seconds or None, not {kind!r}")


def check_kind(given: _T | None, kind: type[_T], name: str, example: str = "") -> None:
    """Raise ``TypeError`` unless ``given`` is a ``kind``, or ``None``; ``example`` says how to get one."""
    if given is not None and not isinstance(given, kind):
        hint = f"; write {example}" if example else ""
        raise TypeError(f"{name} must be a {kind.__name__}, not {type(given).__name__!r}{hint}")
