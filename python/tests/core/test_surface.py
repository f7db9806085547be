"""Every documented name is importable from every module that has it."""

import dataclasses
import enum
import importlib
import inspect
import json
from pathlib import Path

import pytest

SURFACE = json.loads(Path(__file__).with_name("surface.json").read_text())


@pytest.mark.parametrize("module", SURFACE)
def test_every_name_resolves_and_is_exported(module):
    names = SURFACE[module]
    loaded = importlib.import_module(module)
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert set(loaded.__all__) == set(names)
    assert len(loaded.__all__) == len(set(loaded.__all__))


@pytest.mark.parametrize(
    "module", ["nnrp.core.packet", "nnrp.core.messages.control", "nnrp.core.messages.data"]
)
def test_modules_export_what_they_list(module):
    loaded = importlib.import_module(module)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


def test_a_name_is_the_same_object_everywhere():
    core = importlib.import_module("nnrp.core")
    for module, names in SURFACE.items():
        loaded = importlib.import_module(module)
        for name in names:
            assert getattr(loaded, name) is getattr(core, name), (module, name)


def test_every_public_thing_says_what_it_is():
    core = importlib.import_module("nnrp.core")
    things = [getattr(core, name) for name in core.__all__]
    silent = [
        thing.__name__
        for thing in things
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing)
    ]
    assert silent == []
    # A docstring that dataclass() made up is only the signature.
    made_up = [
        thing.__name__
        for thing in things
        if dataclasses.is_dataclass(thing) and (thing.__doc__ or "").startswith(thing.__name__ + "(")
    ]
    assert made_up == []


def test_classes_are_real_dataclasses_with_slots():
    core = importlib.import_module("nnrp.core")
    for name in core.__all__:
        thing = getattr(core, name)
        if inspect.isclass(thing) and not issubclass(thing, enum.Enum):
            assert dataclasses.is_dataclass(thing), name
            assert "__slots__" in vars(thing), name
            assert "__dict__" not in dir(thing), name
