"""Docstrings of the package are reStructuredText where they have roles or tables; the site is Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|exc|py:\w+):`~?([^`]+)`")
RULER = re.compile(r"^(=+)( +=+)+$")


class Docstrings(Extension):
    """Turns what the package uses of reStructuredText into Markdown."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of everything that has one."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """Return a docstring with roles as code, double backquotes as single, and simple tables as Markdown's."""
    lines: list[str] = []
    columns: list[slice] = []
    for line in text.splitlines():
        if RULER.match(line):
            if not columns:
                columns = [slice(*match.span()) for match in re.finditer("=+", line)]
                columns[-1] = slice(columns[-1].start, None)
            elif lines[-1].startswith("|"):
                # The second ruler ends the heading, the third the table.
                ends_table = lines[-2].startswith("|")
                lines.append("" if ends_table else "| --- " * len(columns) + "|")
                columns = [] if ends_table else columns
        elif columns:
            lines.append("| " + " | ".join(line[column].strip() or " " for column in columns) + " |")
        elif line.endswith("::"):  # an indented block follows, which is code in Markdown, too
            lines.append(line[:-2] and line[:-1])
        else:
            lines.append(line)
    return ROLE.sub(r"`\1`", "\n".join(lines)).replace("``", "`")
