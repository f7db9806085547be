"""The fixed-layout classes agree with the tables of the native codec: fields, places, lengths and types."""

import dataclasses
import re
import struct
import typing

import pytest

from nnrp import core
from nnrp._native import codec

LAYOUTS = {layout["name"]: layout for layout in codec.tables()["layouts"]}
RENAMED = {"FlowUpdateMetadata": {"flow_flags": "flags"}}
UNSEEN = {"FlowUpdateMetadata": {"reserved0", "reserved1"}}
EXTRAS = {"FrameSubmitMetadata": {"frame_id", "deadline_ms"}}


@pytest.mark.parametrize("name", LAYOUTS)
def test_fields_are_those_of_the_table(name):
    wire = {field["name"] for field in LAYOUTS[name]["fields"]} - UNSEEN.get(name, set())
    expected = {RENAMED.get(name, {}).get(field, field) for field in wire} | EXTRAS.get(name, set())
    assert {field.name for field in dataclasses.fields(getattr(core, name))} == expected


@pytest.mark.parametrize("name", LAYOUTS)
def test_struct_has_every_field_at_its_place(name):
    layout = LAYOUTS[name]
    layout_struct = getattr(core, name).STRUCT
    assert layout_struct.size == layout["length"]
    offset = 0
    for code, field in zip(layout_struct.format[1:], layout["fields"], strict=True):
        assert field["offset"] == offset, field["name"]
        assert struct.calcsize(code) == field["size"], field["name"]
        offset += field["size"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_length_constant(name):
    constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper() + "_LENGTH"
    assert getattr(core, constant) == LAYOUTS[name]["length"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_enumerated_fields_have_the_type_of_the_table(name):
    kinds = {field["name"]: field["kind"] for field in LAYOUTS[name]["fields"]}
    cls = getattr(core, name)
    types = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if types[field.name] is not int:
            wire_name = {new: old for old, new in RENAMED.get(name, {}).items()}.get(field.name, field.name)
            assert types[field.name].__name__ == kinds[wire_name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_defaults_are_zero_or_what_the_protocol_means_by_nothing_said(name):
    exceptions = {
        ("FrameSubmitMetadata", "loss_tolerance_policy"): 0xFF,
        ("FrameSubmitMetadata", "payload_kind_bitmap"): core.PayloadKind.TENSOR,
        ("ResultPushMetadata", "payload_kind_bitmap"): core.PayloadKind.TENSOR,
        ("FlowUpdateMetadata", "scope_kind"): core.FlowUpdateScopeKind.SESSION,
    }
    for field in dataclasses.fields(getattr(core, name)):
        if field.default is not dataclasses.MISSING:
            assert field.default == exceptions.get((name, field.name), 0), field.name


def test_constructor_order_where_reserved_fields_come_last():
    for cls in (core.ServerHelloAckMetadata, core.SessionPatchMetadata, core.SessionPatchAckMetadata):
        assert dataclasses.fields(cls)[-1].name == "reserved0"


def test_message_lengths_are_those_of_the_message_table():
    lengths = codec.tables()["messages"]
    assert set(lengths) == set(core.MessageType.__members__)
    for layout in LAYOUTS.values():
        if layout["message"]:
            assert lengths[layout["message"]] == layout["length"]
