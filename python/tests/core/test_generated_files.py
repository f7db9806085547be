"""The generated half of `nnrp.core` is what the tables say."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[3] / "tools"


@pytest.fixture
def generate(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    yield importlib.import_module("generate_core")
    for name in ("generate_core", "core_overlay"):
        sys.modules.pop(name, None)


def test_files_are_up_to_date(generate):
    stale = [path.name for path, text in generate.render().items() if path.read_text() != text]
    assert stale == [], "run tools/generate_core.py"


def test_overlay_names_only_things_that_exist(generate):
    tables = generate.native_tables()
    layouts = {layout["name"]: {field["name"] for field in layout["fields"]} for layout in tables["layouts"]}
    assert set(generate.OVERLAYS) == set(layouts)
    for name, overlay in generate.OVERLAYS.items():
        python_names = {overlay.renamed.get(field, field) for field in layouts[name]}
        assert set(overlay.defaults) <= python_names, name
        assert overlay.plain | overlay.unseen | set(overlay.last) | set(overlay.renamed) <= layouts[name], (
            name
        )
    kinds = {table["name"] for table in tables["enums"] + tables["masks"]}
    assert kinds >= generate.HIDDEN
