"""Values for every fixed layout, made from the tables of the native codec."""

from hypothesis import strategies as st

from nnrp import core
from nnrp._native import codec

TABLES = codec.tables()
LAYOUTS = {layout["name"]: layout for layout in TABLES["layouts"]}
KINDS = {
    table["name"]: (is_mask, [value for _, value, _ in table["members"]])
    for is_mask, tables in ((False, TABLES["enums"]), (True, TABLES["masks"]))
    for table in tables
}


def numbers(field):
    """Values that the field's own row of the table accepts."""
    if field["reserved"] == "mbz":
        return st.just(0)
    if field["kind"] is None:
        highest = (1 << 8 * field["size"]) - 1
        return st.one_of(st.integers(0, highest), st.sampled_from([0, 1, highest]))
    is_mask, values = KINDS[field["kind"]]
    if is_mask:
        return st.lists(st.sampled_from(values), unique=True).map(sum)
    return st.sampled_from(values)


@st.composite
def layouts(draw, name):
    """An object of the class called `name` that the rules between its fields accept, too."""
    values = {field["name"]: draw(numbers(field)) for field in LAYOUTS[name]["fields"]}
    if fix := FIXES.get(name):
        fix(values)
    renamed = {"flow_flags": "flags"} if name == "FlowUpdateMetadata" else {}
    unseen = {"reserved0", "reserved1"} if name == "FlowUpdateMetadata" else set()
    arguments = {renamed.get(key, key): value for key, value in values.items() if key not in unseen}
    return getattr(core, name)(**arguments)


def _submit(values):
    values["loss_tolerance_policy"] %= 4
    values["payload_kind_bitmap"] |= core.PayloadKind.TENSOR


def _result(values):
    values["payload_kind_bitmap"] |= core.PayloadKind.TENSOR


def _flow(values):
    scope = values["scope_kind"]
    for number, field in enumerate(("connection_credit", "session_credit", "operation_credit")):
        values[field] *= number == scope
    values["operation_id"] = (
        max(values["operation_id"], 1) if scope == core.FlowUpdateScopeKind.OPERATION else 0
    )
    values["flow_flags"] |= core.FlowUpdateFlags.RETRY_AFTER_VALID


def _migrate(values):
    for field in ("old_transport_id", "new_transport_id"):
        values[field] = max(values[field], 1)


def _prelude(values):
    for field in ("object_reference_bytes", "typed_payload_descriptor_bytes", "extension_descriptor_bytes"):
        values[field] &= ~15


def _typed(values):
    values["payload_kind"] = core.PayloadKind.TOKEN_CHUNK


FIXES = {
    "FrameSubmitMetadata": _submit,
    "ResultPushMetadata": _result,
    "FlowUpdateMetadata": _flow,
    "SessionMigrateMetadata": _migrate,
    "BodyRegionPrelude": _prelude,
    "TypedPayloadDescriptor": _typed,
}
