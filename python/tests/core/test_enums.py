"""Enumerations are real ones and agree with the tables of the native codec in both directions."""

import enum
import inspect
import json
import pickle

import pytest

import nnrp.enums
from nnrp._native import codec
from nnrp.core import (
    BudgetPolicy,
    CacheInvalidateScope,
    CacheObjectKind,
    ErrorCode,
    HeaderFlags,
    MessageType,
    PayloadKind,
    SessionPatchField,
    SessionPatchRejectReason,
    TransportId,
)

TABLES = codec.tables()
# Coded fields that the reference package keeps as plain integers.
WITHOUT_CLASS = {"DegradePolicy", "ServerFlags", "ObjectRefMask"}
ROWS = [
    pytest.param(table, base, id=table["name"])
    for kind, base in (("enums", enum.IntEnum), ("masks", enum.IntFlag))
    for table in TABLES[kind]
    if table["name"] not in WITHOUT_CLASS
]


@pytest.mark.parametrize(("table", "base"), ROWS)
def test_members_are_those_of_the_table(table, base):
    cls = getattr(nnrp.enums, table["name"])
    assert issubclass(cls, base)
    expected = {name: value for name, value, _ in table["members"]} | dict(table["aliases"])
    if base is enum.IntFlag:
        expected["NONE"] = 0
    assert {name: int(member) for name, member in cls.__members__.items()} == expected


def test_every_class_has_a_table():
    names = {param.values[0]["name"] for param in ROWS}
    classes = {name for name, thing in vars(nnrp.enums).items() if inspect.isclass(thing)}
    assert classes == names


def test_extension_types_are_those_of_the_table():
    constants = {name: value for name, value in TABLES["constants"].items() if name.endswith("_EXTENSION")}
    assert {name: getattr(nnrp.enums, name) for name in constants} == constants
    assert {name for name in nnrp.enums.__all__ if name.isupper()} == set(constants)


def test_second_names_are_the_same_members():
    assert CacheObjectKind.TILE_INDEX_TEMPLATE is CacheObjectKind.TILE_INDEX_BLOCK
    assert CacheObjectKind.CODEC_AUX_BLOCK is CacheObjectKind.CODEC_TABLE
    assert CacheObjectKind.FALLBACK_RESOURCE is CacheObjectKind.REUSABLE_RESULT_OBJECT
    assert CacheInvalidateScope.ENTRY is CacheInvalidateScope.OBJECT_KEY
    assert CacheInvalidateScope.SESSION is CacheInvalidateScope.WHOLE_SESSION
    assert SessionPatchField.TARGET_FPS is SessionPatchField.TARGET_CADENCE
    assert SessionPatchField.ACTIVE_VIEW_MASK is SessionPatchField.ACTIVE_LANE_MASK
    assert SessionPatchRejectReason.INVALID_VIEW_MASK is SessionPatchRejectReason.INVALID_LANE_MASK


def test_later_generations_are_not_known():
    assert not {7, 8, 9, 10, 0x30} & set(MessageType)
    with pytest.raises(ValueError, match="3 is not a valid TransportId"):
        TransportId(3)


def test_flags_keep_bits_without_a_name():
    assert HeaderFlags(0x80000001) & 0x80000000
    assert HeaderFlags(0) is HeaderFlags.NONE
    assert PayloadKind(3) == PayloadKind.TENSOR | PayloadKind.TOKEN_CHUNK


def test_members_show_their_names_and_are_numbers_everywhere_else():
    code, mask = ErrorCode.AUTH_FAILED, BudgetPolicy.ALLOW_PARTIAL | BudgetPolicy.ALLOW_DEGRADED
    assert (
        f"{code} {mask} {BudgetPolicy(0)} {HeaderFlags(0x80)}"
        == "AUTH_FAILED ALLOW_PARTIAL|ALLOW_DEGRADED NONE 128"
    )
    assert ("%d" % code, f"{code:d}", json.dumps([code, mask])) == ("2", "2", f"[2, {mask.value}]")  # noqa: UP031
    assert pickle.loads(pickle.dumps(code)) is code
