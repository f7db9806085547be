"""The table at the end of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from interop.model import Package, Transport

Column = tuple[Package, Package, Transport]
"""Client, server, transport."""

PREVENTED, FAILED, NOT_RUN = "prevented", "FAILED", "-"
TOTAL_ROWS = 4


def title(column: Column) -> str:
    """A column in words."""
    client, server, transport = column
    names = {"rc2": "rc2", "ours": "our"}
    return f"{names[client]} client > {names[server]} server, {transport.upper()}"


@dataclass
class Matrix:
    """Outcome of every scenario in every column."""

    columns: list[Column]
    rows: list[str] = field(default_factory=list)
    cells: dict[tuple[str, Column], str] = field(default_factory=dict)
    facts: Counter[Column] = field(default_factory=Counter)
    reasons: dict[str, int] = field(default_factory=dict)

    def passed(self, row: str, column: Column, facts: int) -> None:
        """Record how many facts were verified."""
        self._set(row, column, f"ok {facts}")
        self.facts[column] += facts

    def prevented(self, row: str, column: Column, reason: str) -> None:
        """Record a defect of the peer, explained below the table."""
        number = self.reasons.setdefault(reason, len(self.reasons) + 1)
        self._set(row, column, f"{PREVENTED} [{number}]")

    def failed(self, row: str, column: Column) -> None:
        """Record a failure."""
        self._set(row, column, FAILED)

    def _set(self, row: str, column: Column, cell: str) -> None:
        if row not in self.rows:
            self.rows.append(row)
        self.cells[row, column] = cell

    def lines(self) -> list[str]:
        """The table, its totals and the reasons."""
        heads = ["scenario", *(title(column) for column in self.columns)]
        table = [
            [row, *(self.cells.get((row, column), NOT_RUN) for column in self.columns)] for row in self.rows
        ]
        table.append(["scenarios passed", *(str(self._count(column, "ok")) for column in self.columns)])
        table.append(["prevented by rc2", *(str(self._count(column, PREVENTED)) for column in self.columns)])
        table.append(["failed", *(str(self._count(column, FAILED)) for column in self.columns)])
        table.append(["facts verified", *(str(self.facts[column]) for column in self.columns)])
        widths = [max(len(row[index]) for row in (heads, *table)) for index in range(len(heads))]
        rule = "  ".join("-" * width for width in widths)
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        totals = [
            f"{self._total(kind)} {word}"
            for kind, word in (("ok", "passed"), (PREVENTED, "prevented"), (FAILED, "failed"))
        ]
        return [
            "  ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip(),
            rule,
            *shown[:-TOTAL_ROWS],
            rule,
            *shown[-TOTAL_ROWS:],
            "",
            *(f"[{number}] {reason}" for reason, number in self.reasons.items()),
            f"total: {', '.join(totals)}, {self.facts.total()} facts verified",
        ]

    def _count(self, column: Column, kind: str) -> int:
        return sum(cell.startswith(kind) for (_, owner), cell in self.cells.items() if owner == column)

    def _total(self, kind: str) -> int:
        return sum(self._count(column, kind) for column in self.columns)
