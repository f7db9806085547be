"""The public surface: every promised name, where it is, and how it is called.

`surface/` has one file for each module, in the form of a stub without types; `...` as a default stands for a
value made afresh. What is listed there must be there. More may be: parameters that can be left out and do not
move others, and members of classes. What a module exports is listed completely.
"""

import ast
import dataclasses
import enum
import importlib
import inspect
import re
import signal
import ssl
from inspect import Parameter
from pathlib import Path

import pytest

import nnrp
from nnrp.client import MigrationTriggerPolicy
from nnrp.server import ServerProfile

STUBS = {
    path.stem: ast.parse(path.read_text()).body for path in Path(__file__).with_name("surface").iterdir()
}
#: What defaults are written with.
NAMES = {
    **vars(nnrp.core),
    "MigrationTriggerPolicy": MigrationTriggerPolicy,
    "ServerProfile": ServerProfile,
    "signal": signal,
    "ssl": ssl,
}
DEFINITIONS = [
    pytest.param(module, node, id=f"{module}.{node.name}")
    for module, body in STUBS.items()
    for node in body
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
]
CLASSES = [case for case in DEFINITIONS if isinstance(case.values[1], ast.ClassDef)]
FUNCTIONS = [case for case in DEFINITIONS if not isinstance(case.values[1], ast.ClassDef)]


def value(node):
    return eval(compile(ast.Expression(node), "surface", "eval"), NAMES)  # noqa: S307  # our own list


def exported(module):
    """The names that the list has for a module, imported ones included."""
    for node in STUBS[module]:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from exported(node.module) if alias.name == "*" else [alias.name]
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets)
        else:
            yield node.name


@pytest.mark.parametrize("module", STUBS)
def test_a_module_exports_what_is_listed(module):
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) == set(exported(module))
    assert len(loaded.__all__) == len(set(loaded.__all__))
    for name in loaded.__all__:
        assert getattr(loaded, name, None) is not None, name
    assert set(loaded.__all__) <= set(dir(loaded))
    with pytest.raises(AttributeError, match="no_such_name"):
        loaded.no_such_name  # noqa: B018


def test_a_name_is_the_same_object_everywhere():
    seen = {}
    for module in STUBS:
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            assert seen.setdefault(name, getattr(loaded, name)) is getattr(loaded, name), (module, name)


def test_constants_have_their_values():
    for module, body in STUBS.items():
        for node in body:
            if isinstance(node, ast.Assign):
                assert getattr(importlib.import_module(module), node.targets[0].id) == value(node.value)


def parameters(arguments):
    """Name, kind and default (an expression, or `None`) of what a signature lists."""
    by_position = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(by_position) - len(arguments.defaults)) + arguments.defaults
    for argument, default in zip(by_position, defaults, strict=True):
        if argument.arg not in ("self", "cls"):
            yield argument.arg, Parameter.POSITIONAL_OR_KEYWORD, default
    if arguments.vararg:
        yield arguments.vararg.arg, Parameter.VAR_POSITIONAL, None
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, Parameter.KEYWORD_ONLY, default
    if arguments.kwarg:
        yield arguments.kwarg.arg, Parameter.VAR_KEYWORD, None


def check_call(function, arguments, where):
    """A call that the list allows means the same thing to the function."""
    actual = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    by_name = {parameter.name: parameter for parameter in actual}
    promised = list(parameters(arguments))
    for name, kind, default in promised:
        assert name in by_name, f"{where} has no parameter {name}"
        there = by_name[name]
        assert there.kind is kind, f"{where}: {name} is {there.kind.description}"
        if default is None:
            assert there.default is Parameter.empty, f"{where}: {name} has a default"
        elif isinstance(default, ast.Constant) and default.value is ...:
            assert there.default is not Parameter.empty, f"{where}: {name} is required"
        else:
            wanted = value(default)
            assert (there.default, type(there.default)) == (wanted, type(wanted)), f"{where}: {name}"
    by_position = [name for name, kind, _ in promised if kind is Parameter.POSITIONAL_OR_KEYWORD]
    in_order = [p.name for p in actual if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    assert in_order[: len(by_position)] == by_position, f"{where} takes other arguments by position"
    variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    for parameter in actual:
        if parameter.name not in {name for name, _, _ in promised} and parameter.kind not in variable:
            assert parameter.default is not Parameter.empty, f"{where} also requires {parameter.name}"


def check_function(function, node, where):
    assert inspect.iscoroutinefunction(function) == isinstance(node, ast.AsyncFunctionDef), where
    check_call(function, node.args, where)


@pytest.mark.parametrize(("module", "node"), FUNCTIONS)
def test_a_function_is_called_as_listed(module, node):
    check_function(getattr(importlib.import_module(module), node.name), node, node.name)


@pytest.mark.parametrize(("module", "node"), CLASSES)
def test_a_class_has_what_is_listed(module, node):
    kind = getattr(importlib.import_module(module), node.name)
    bases = [base.id for base in node.bases]
    if bases and issubclass(kind, enum.Enum):
        assert issubclass(kind, getattr(enum, bases[0]))
        members = {part.targets[0].id: ast.literal_eval(part.value) for part in node.body}
        assert {name: int(member) for name, member in kind.__members__.items()} == members
        return
    assert not bases or [base.__name__ for base in kind.__bases__] == bases
    if node.decorator_list:
        check_dataclass(kind, node)
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            check_method(kind, part)
        elif isinstance(part, ast.AnnAssign):
            name = part.target.id
            assert hasattr(kind, name) or name in kind.__dataclass_fields__, f"{node.name}.{name}"


def check_method(kind, part):
    where = f"{kind.__name__}.{part.name}"
    found = inspect.getattr_static(kind, part.name)
    decorators = [decorator.id for decorator in part.decorator_list]
    assert isinstance(found, property) == ("property" in decorators), where
    assert isinstance(found, classmethod) == ("classmethod" in decorators), where
    if part.name == "__init__":
        check_call(kind, part.args, where)
    elif "property" not in decorators:
        check_function(getattr(kind, part.name), part, where)


def check_dataclass(kind, node):
    """Fields in the listed order, with the listed defaults, and nothing between them."""
    [decorator] = node.decorator_list
    options = {word.arg for word in getattr(decorator, "keywords", ())}
    assert kind.__dataclass_params__.frozen == ("frozen" in options)
    assert ("__slots__" in vars(kind)) == ("slots" in options) == ("__dict__" not in dir(kind))
    fields = [field for field in dataclasses.fields(kind) if not field.name.startswith("_")]
    listed = [part for part in node.body if isinstance(part, ast.AnnAssign)][: len(fields)]
    assert [field.name for field in fields] == [part.target.id for part in listed]
    for field, part in zip(fields, listed, strict=True):
        where = f"{kind.__name__}.{field.name}"
        assert field.kw_only == (isinstance(part.annotation, ast.Name) and part.annotation.id == "KW_ONLY"), (
            where
        )
        made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        wanted = dataclasses.MISSING if part.value is None else value(part.value)
        assert (made, type(made)) == (wanted, type(wanted)), where


def test_everything_is_described():
    """Also methods and properties, and nothing by the signature that `dataclass` writes by itself."""
    silent = set()
    for module, body in STUBS.items():
        loaded = importlib.import_module(module)
        if not (loaded.__doc__ or "").strip():
            silent.add(module)
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            thing = getattr(loaded, node.name)
            words = inspect.getdoc(thing) or ""
            if not words or words.startswith(f"{node.name}("):
                silent.add(node.name)
            parts = [] if not inspect.isclass(thing) or issubclass(thing, enum.Enum) else node.body
            for part in parts:
                name = getattr(part, "name", "_")
                if not name.startswith("_") and not inspect.getdoc(inspect.getattr_static(thing, name)):
                    silent.add(f"{node.name}.{name}")
    assert silent == set()


def coroutines():
    for module, body in STUBS.items():
        loaded = importlib.import_module(module)
        for node in body:
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            for part in inside:
                if isinstance(part, ast.AsyncFunctionDef) and not part.name.startswith("_"):
                    owner = loaded if part is node else getattr(loaded, node.name)
                    yield f"{node.name}.{part.name}", inspect.getdoc(getattr(owner, part.name))


def test_every_coroutine_says_what_cancelling_does():
    """Or which other one it is like."""
    elsewhere = re.compile(r"\b(as|see|like) :meth:|\bDo the same as :meth:|; likewise", re.IGNORECASE)
    silent = {name for name, words in coroutines() if "ancel" not in words and not elsewhere.search(words)}
    assert silent == set()


def test_the_package_says_where_to_start():
    words = nnrp.__doc__
    for path in (
        "nnrp.adapters:create_quic_server_configuration serve_quic create_quic_client_configuration",
        "nnrp.server:accept_server_session ServerSession",
        "nnrp.client:dial_client ClientSession SubmitRequest TypedPayload",
        "nnrp.core:TensorSectionData",
    ):
        module, _, names = path.partition(":")
        assert f":mod:`{module}`" in words
        for name in names.split():
            assert f"``{name}``" in words
            assert hasattr(importlib.import_module(module), name)
