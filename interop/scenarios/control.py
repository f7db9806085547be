"""Messages beside frames and results."""

from __future__ import annotations

import struct

from interop.model import (
    RAW_U16,
    Control,
    Exchange,
    FromClient,
    FromServer,
    Prevented,
    Reference,
    Scenario,
    Submit,
)
from interop.scenarios.frames import (
    GEOMETRY,
    TILE_INDEX_OBJECT,
    TILE_INDEX_SLOT,
    section,
    tensor_result,
)
from interop.scenarios.handshake import echo
from interop.scenarios.load import prompt, token

CONNECTION_SCOPE, SESSION_SCOPE, OPERATION_SCOPE = range(3)
GRANT, CONGESTION = 0, 4
SOFT = 1
CREDIT_VALID, RETRY_AFTER_VALID = 1, 2
TARGET_CADENCE, QUALITY_TIER = 1, 2
TILE_IDS = (4, 2)
TILE_INDEX = struct.pack("<2H", *TILE_IDS)
CACHE_KEY = (("cache_namespace", 0), ("cache_key_hi", 0x01020304), ("cache_key_lo", 0x05060708))

NEVER_ANSWERS = (
    "rc2's server reads nothing but CLIENT_HELLO from the control stream and answers nothing (D-CTRLQ)"
)


def flow(reason: int, level: int, credit: int, epoch: int, scope: int = SESSION_SCOPE) -> Control:
    """A FLOW_UPDATE; only the credit of its own scope may be set."""
    return Control(
        "FLOW_UPDATE",
        (
            ("scope_kind", scope),
            ("update_reason", reason),
            ("backpressure_level", level),
            ("connection_credit", credit if scope == CONNECTION_SCOPE else 0),
            ("session_credit", credit if scope == SESSION_SCOPE else 0),
            ("operation_credit", credit if scope == OPERATION_SCOPE else 0),
            ("operation_id", 1 if scope == OPERATION_SCOPE else 0),
            ("retry_after_ms", 40),
            ("credit_epoch", epoch),
            ("flags", CREDIT_VALID | RETRY_AFTER_VALID),
        ),
        trace_id=epoch,
        connection_scope=scope == CONNECTION_SCOPE,
    )


HINT = Control(
    "RESULT_HINT",
    (("applied_budget_policy", 3), ("congestion_state", 3), ("reason", 3), ("retry_after_ms", 60)),
    frame_id=9,
)

CACHED_INDEX = Submit(
    2,
    tile_ids=TILE_IDS,
    tile_index_mode=RAW_U16,
    sections=(section("cached", len(TILE_IDS)),),
    submit_mode=2,
    object_ref_mask=TILE_INDEX_SLOT,
    tile_index_reference=Reference(TILE_INDEX_OBJECT, *(value for _, value in CACHE_KEY)),
    **GEOMETRY,
)

SCENARIOS = (
    Scenario(
        "flow-update-from-server",
        steps=(
            echo(1),
            FromServer(flow(CONGESTION, SOFT, 3, 1)),
            FromServer(flow(GRANT, 0, 8, 2)),
            FromServer(flow(GRANT, 0, 1, 1, OPERATION_SCOPE)),
            echo(2),
        ),
    ),
    Scenario(
        "flow-update-connection-scope",
        steps=(echo(1), FromServer(flow(GRANT, 0, 8, 1, CONNECTION_SCOPE)), echo(2)),
        prevented=(
            Prevented(
                "server",
                "rc2's server cannot send connection scope: it always fills in the session (D-CREDIT)",
            ),
        ),
    ),
    Scenario("flow-update-from-client", steps=(echo(1), FromClient(flow(GRANT, 0, 5, 1)), echo(2))),
    Scenario("result-hint", steps=(echo(1), FromServer(HINT), echo(2))),
    Scenario(
        "frame-cancel",
        # A cancel that overtakes its frame is ignored: wait for the first token.
        steps=(
            Exchange((prompt(1),), (token(1, 0),)),
            FromClient(Control("FRAME_CANCEL", frame_id=1)),
            echo(2),
        ),
    ),
    Scenario(
        "ping",
        steps=(
            echo(1),
            FromClient(Control("PING", trace_id=0xABCDEF), answer=Control("PONG", trace_id=0xABCDEF)),
            echo(2),
        ),
        prevented=(Prevented("server", "rc2's server never answers PING (D-PING)"),),
    ),
    Scenario(
        "session-patch",
        steps=(
            FromClient(
                Control(
                    "SESSION_PATCH",
                    (
                        ("profile_id", 0),
                        ("patch_mask", TARGET_CADENCE | QUALITY_TIER),
                        ("target_cadence_x100", 3000),
                        ("quality_tier", 2),
                        ("degrade_policy", 0),
                        ("active_lane_mask", 0xFF),
                        ("preferred_codec_bitmap", 0),
                        ("preferred_compression_bitmap", 0),
                        ("profile_patch_bytes", 0),
                    ),
                ),
                answer=Control(
                    "SESSION_PATCH_ACK",
                    (
                        ("ack_status", 0),
                        ("reject_reason", 0),
                        ("applied_patch_mask", TARGET_CADENCE | QUALITY_TIER),
                        ("rejected_patch_mask", 0),
                        ("effective_target_cadence_x100", 3000),
                        ("effective_quality_tier", 2),
                    ),
                ),
            ),
            echo(1),
        ),
        prevented=(Prevented("server", NEVER_ANSWERS),),
    ),
    Scenario(
        "cache-put-then-reference",
        steps=(
            FromClient(
                Control(
                    "CACHE_PUT",
                    (
                        *CACHE_KEY,
                        ("object_kind", TILE_INDEX_OBJECT),
                        ("ttl_ms", 60_000),
                        ("object_bytes", len(TILE_INDEX)),
                        ("codec_bitmap", 1),
                        ("flags", 2),
                    ),
                    body=TILE_INDEX,
                ),
                answer=Control("CACHE_ACK", (*CACHE_KEY, ("status", 0))),
            ),
            Exchange((CACHED_INDEX,), (tensor_result(2),)),
        ),
        resolves_references=True,
        prevented=(Prevented("server", NEVER_ANSWERS),),
    ),
)
