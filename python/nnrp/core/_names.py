"""Enumerations that show their names.

``str()`` of an `IntEnum` is the number: a log that says ``dropped: 3`` helps nobody. These say
``BUDGET_EXCEEDED``, and are the numbers everywhere else: in comparisons, arithmetic, ``%d``, ``:d`` and JSON.
"""

from enum import IntEnum, IntFlag

__all__ = ["Code", "Mask"]


class Code(IntEnum):
    """One of several values."""

    def __str__(self) -> str:
        return self.name


class Mask(IntFlag):
    """Bits; unknown ones are shown as a number."""

    def __str__(self) -> str:
        return str(self.value) if self.name is None else self.name
