"""Every `make …` that a page tells to type is a target, and `.ci/run` runs it or the reason stands here."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What `.ci/run` does not run, and what is run instead.
NOT_IN_CI = {
    "bench": "half an hour; bench/test_smoke.py runs the same program with small numbers",
    "bench-quick": "two minutes on a machine that has to be quiet; bench/test_smoke.py runs the same program",
    "release-check": "half an hour; before a release, by hand",
    "develop": "an editable build of what `make test` builds as a wheel",
    "differential": "minutes of comparing; the golden packets are compared in python/tests/core",
    "vectors": "writes files of the repository; tests compare what is in them",
    "docs-generated": "writes files of the repository; tests fail when they are outdated",
    "soak": "a minute at least; python/tests/test_soak.py runs it for seconds",
    "fuzz": "ten minutes a target; fuzz-smoke is the same for seconds",
    "miri": "needs nightly with miri",
    "help": "prints a list",
}
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`make ([a-z][a-z-]*)[^`\n]*`")


def pages():
    folders = ("docs", "examples", "interop", "bench")
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.md"))


def named():
    """Page and target, for every target a page names in a command or in a sentence."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        lines = "\n".join(BLOCK.findall(text))
        targets = re.findall(r"^make ([a-z][a-z-]*)", lines, re.MULTILINE) + INLINE.findall(text)
        for target in sorted(set(targets)):
            yield pytest.param(target, id=f"{page.relative_to(ROOT)}: make {target}")


def rules():
    """What each target of the Makefile needs, and what it has others make."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = {}
    for target, needs, recipe in re.findall(
        r"^([a-z][a-z-]*):(?!=)([^\n#]*)[^\n]*\n((?:\t[^\n]*\n)*)", text, re.MULTILINE
    ):
        found[target] = set(needs.split()) | set(re.findall(r"\$\(MAKE\).* ([a-z-]+)$", recipe, re.MULTILINE))
    return found


def run_by_ci():
    """Targets that `.ci/run` runs, with what they need."""
    text = (ROOT / ".ci/run").read_text(encoding="utf-8")
    made = set(re.findall(r"^\s*(?:exec )?make ([a-z-]+)", text, re.MULTILINE))
    if "scripts/site/try_serving.py" in text:
        made.add("docs-serve")
    needs, waiting = rules(), list(made)
    while waiting:
        for more in needs.get(waiting.pop(), set()) - made:
            made.add(more)
            waiting.append(more)
    return made


@pytest.mark.parametrize("target", list(named()))
def test_a_target_that_a_page_names_is_run(target):
    assert target in rules()
    assert target in run_by_ci() or target in NOT_IN_CI


def test_no_reason_is_out_of_date():
    assert set(NOT_IN_CI) <= set(rules())
    assert not set(NOT_IN_CI) & run_by_ci()
