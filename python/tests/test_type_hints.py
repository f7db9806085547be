"""Annotations can be looked up at run time: dependency injection, documentation and validation tools do."""

import subprocess
import sys

import pytest

#: Prints what cannot be resolved in a module that nothing but itself has imported.
PROGRAM = """
import enum, importlib, inspect, sys, typing

def functions(kind):
    for base in kind.__mro__:
        for name, member in vars(base).items():
            if base.__module__.startswith("nnrp") and (not name.startswith("_") or name == "__init__"):
                member = member.fget if isinstance(member, property) else member
                member = getattr(member, "__func__", member)
                if inspect.isfunction(member):
                    yield f"{kind.__name__}.{name}", member

looked_up = 0
module = importlib.import_module(sys.argv[1])
for name in module.__all__:
    thing = getattr(module, name)
    if inspect.isclass(thing) and not issubclass(thing, enum.Enum):
        things = [(name, thing), *functions(thing)]
    else:
        things = [(name, thing)] if inspect.isfunction(thing) else []
    for where, what in things:
        looked_up += 1
        try:
            typing.get_type_hints(what)
        except Exception as error:
            print(f"{where}: {error!r}")
print(looked_up, "looked up")
"""


@pytest.mark.parametrize(
    "module",
    [
        "nnrp",
        "nnrp.adapters",
        "nnrp.arrays",
        "nnrp.client",
        "nnrp.core",
        "nnrp.observe",
        "nnrp.observe.opentelemetry",
        "nnrp.observe.prometheus",
        "nnrp.server",
    ],
)
def test_annotations_can_be_looked_up(module):
    command = [sys.executable, "-c", PROGRAM, module]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:-1] == []
    assert not said[-1].startswith("0 ")
