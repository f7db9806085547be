"""A small language model: which word follows the last two, counted in a text.

Real in every respect that matters to a server: it is trained, it samples, it makes one token at a time and
does not know beforehand how many there will be. It has no taste.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

WORD = re.compile(r"[A-Za-z'`_/-]+|[0-9.]+|[.,;:!?()]")
"""What counts as a token: a word, a number, or a punctuation mark."""

NO_SPACE_BEFORE = frozenset(".,;:!?)")
END = "."
"""The token after which the model may stop."""
MAX_TOKENS = 1000
"""A model that finds no end is stopped here."""

Context = tuple[str, ...]


class Generator:
    """Counts of which word follows which one or two words."""

    def __init__(self, text: str) -> None:
        """Count; a megabyte takes about a second."""
        words = WORD.findall(text)
        self._next: dict[Context, list[str]] = defaultdict(list)
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            self._next[first, second].append(third)
            self._next[second,].append(third)
        self._words = words

    @classmethod
    def of_markdown(cls, folder: Path) -> Generator:
        """Train on the prose of the Markdown files in a folder, without tables and code."""
        prose: list[str] = []
        for path in sorted(folder.rglob("*.md")):
            text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            prose += [line for line in text.splitlines() if line and line[0] not in "|#<"]
        return cls("\n".join(prose))

    def tokens(self, prompt: str, *, at_least: int, seed: int | None = None) -> Iterator[str]:
        """Continue `prompt` to a full stop after `at_least` tokens; each has the space before it."""
        choose = random.Random(seed).choice
        said = WORD.findall(prompt) or [choose(self._words)]
        count = 0
        while count < at_least or (said[-1] != END and count < MAX_TOKENS):
            follows = self._next.get(tuple(said[-2:])) or self._next.get((said[-1],)) or self._words
            word = choose(follows)
            said.append(word)
            count += 1
            yield word if word in NO_SPACE_BEFORE else f" {word}"
