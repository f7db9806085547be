//! What a client may change while the session runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use nnrp_session::{Event, MAX_PATCHES_PER_SECOND};
use nnrp_testkit::{Pair, packets};
use nnrp_wire::{
    Header, MessageType, SessionPatch, SessionPatchAck, SessionPatchAckMetadata,
    SessionPatchAckStatus as Status, SessionPatchField as Field, SessionPatchMetadata,
    SessionPatchRejectReason as Reason, TensorProfilePatchBlock,
};

/// A session with four lanes and codecs 0 and 1.
fn session() -> Pair {
    let mut hello = packets::hello();
    hello.metadata.max_lane_count = 4;
    hello.metadata.supported_codec_bitmap = 0x3;
    hello.metadata.target_cadence_x100 = 6000;
    Pair::connected_as(&hello, nnrp_session::ServerSettings::default())
}

/// Sends a patch and returns its acknowledgement.
fn patch(
    pair: &mut Pair,
    metadata: SessionPatchMetadata,
    block: Option<TensorProfilePatchBlock>,
) -> SessionPatchAck {
    let mut header = Header::new(MessageType::SessionPatch);
    header.session_id = 1;
    let packet = SessionPatch { metadata, block }.encode(header).unwrap().to_packet();
    pair.tell_server(&packet);
    SessionPatchAck::decode(pair.server.sent.last().unwrap()).unwrap()
}

#[test]
fn what_can_be_applied_is_in_force() {
    let mut pair = session();
    let wish = SessionPatchMetadata {
        patch_mask: Field::TARGET_CADENCE | Field::QUALITY_TIER | Field::ACTIVE_LANE_MASK,
        target_cadence_x100: 3000,
        quality_tier: 7,
        active_lane_mask: 0b1010,
        ..SessionPatchMetadata::default()
    };
    let ack = patch(&mut pair, wish, None).metadata;
    assert_eq!((ack.ack_status, ack.reject_reason), (Status::Accepted, Reason::None));
    assert_eq!(ack.applied_patch_mask, wish.patch_mask);
    let now = pair.server.machine.parameters().unwrap();
    assert_eq!((now.target_cadence_x100, now.quality_tier, now.active_lane_mask), (3000, 7, 0b1010));
}

#[test]
fn fields_that_are_not_named_do_not_change() {
    let mut pair = session();
    let wish = SessionPatchMetadata {
        patch_mask: Field::QUALITY_TIER,
        quality_tier: 3,
        target_cadence_x100: 1,
        ..SessionPatchMetadata::default()
    };
    let ack = patch(&mut pair, wish, None).metadata;
    assert_eq!((ack.effective_quality_tier, ack.effective_target_cadence_x100), (3, 6000));
}

// Rules R-PATCH-1, R-PATCH-2, R-PATCH-3, R-PATCH-4, R-PATCH-6, R-PATCH-9
#[test]
fn each_field_has_its_own_refusal() {
    let field = |mask| SessionPatchMetadata { patch_mask: mask, ..SessionPatchMetadata::default() };
    for (wish, reason) in [
        (field(Field::TARGET_CADENCE), Reason::InvalidRange),
        (
            SessionPatchMetadata { target_cadence_x100: 70_000, ..field(Field::TARGET_CADENCE) },
            Reason::InvalidRange,
        ),
        (field(Field::ACTIVE_LANE_MASK), Reason::InvalidLaneMask),
        (
            SessionPatchMetadata { active_lane_mask: 0x10, ..field(Field::ACTIVE_LANE_MASK) },
            Reason::InvalidLaneMask,
        ),
        (
            SessionPatchMetadata { degrade_policy: 9.into(), ..field(Field::DEGRADE_POLICY) },
            Reason::UnsupportedStrategy,
        ),
        (
            SessionPatchMetadata { preferred_codec_bitmap: 0x80, ..field(Field::PREFERRED_CODEC) },
            Reason::UnsupportedStrategy,
        ),
        (field(Field::PROFILE_PATCH), Reason::InvalidRange),
        (field(Field::from_bits(0x80)), Reason::UnsupportedField),
        (SessionPatchMetadata { profile_id: 5, ..field(Field::QUALITY_TIER) }, Reason::UnsupportedField),
    ] {
        let ack = patch(&mut session(), wish, None).metadata;
        assert_eq!((ack.ack_status, ack.reject_reason), (Status::Rejected, reason), "{wish:?}");
        assert_eq!(ack.rejected_patch_mask, wish.patch_mask);
    }
}

#[test]
fn the_good_half_of_a_patch_is_applied() {
    let mut pair = session();
    let wish = SessionPatchMetadata {
        patch_mask: Field::QUALITY_TIER | Field::ACTIVE_LANE_MASK,
        quality_tier: 5,
        ..SessionPatchMetadata::default()
    };
    let ack = patch(&mut pair, wish, None).metadata;
    assert_eq!(ack.ack_status, Status::PartiallyApplied);
    assert_eq!(
        (ack.applied_patch_mask, ack.rejected_patch_mask),
        (Field::QUALITY_TIER, Field::ACTIVE_LANE_MASK)
    );
}

// Rules R-PACK-2
#[test]
fn what_is_said_to_be_applied_and_refused_counts_as_refused() {
    let mut pair = session();
    let both = SessionPatchAckMetadata {
        ack_status: Status::PartiallyApplied,
        applied_patch_mask: Field::QUALITY_TIER | Field::ACTIVE_LANE_MASK,
        rejected_patch_mask: Field::ACTIVE_LANE_MASK,
        ..SessionPatchAckMetadata::default()
    };
    let ack = packets::control(MessageType::SessionPatchAck, 1, &both.encode());
    pair.client.receive(pair.now, &ack.to_bytes());
    pair.drive();
    let Some(Event::Control(packet)) = pair.client.event() else { panic!("it was refused") };
    let ack = SessionPatchAck::decode(&packet).unwrap().metadata;
    assert_eq!(ack.applied(), Field::QUALITY_TIER);
    pair.echo(1);
}

// Rules R-PATCH-7
#[test]
fn a_size_clamp_has_to_make_sense() {
    let mut pair = session();
    let wish = SessionPatchMetadata { patch_mask: Field::PROFILE_PATCH, ..SessionPatchMetadata::default() };
    let inverted =
        TensorProfilePatchBlock { min_width: 10, max_width: 9, ..TensorProfilePatchBlock::default() };
    assert_eq!(patch(&mut pair, wish, Some(inverted)).metadata.reject_reason, Reason::InvalidRange);
    let open = TensorProfilePatchBlock { min_width: 10, max_width: 0, min_height: 1, max_height: 2 };
    let ack = patch(&mut pair, wish, Some(open));
    assert_eq!(ack.metadata.ack_status, Status::Accepted);
    assert_eq!(ack.block.unwrap().min_width, 10);
}

// Rules R-PATCH-8
#[test]
fn too_many_patches_are_asked_to_wait() {
    let mut pair = session();
    let wish = SessionPatchMetadata { patch_mask: Field::QUALITY_TIER, ..SessionPatchMetadata::default() };
    for _ in 0..MAX_PATCHES_PER_SECOND {
        assert_eq!(patch(&mut pair, wish, None).metadata.ack_status, Status::Accepted);
    }
    let ack = patch(&mut pair, wish, None).metadata;
    assert_eq!((ack.ack_status, ack.reject_reason), (Status::Rejected, Reason::RateLimited));
    assert!(ack.retry_after_ms > 0);
    pair.advance(Duration::from_secs(1));
    assert_eq!(patch(&mut pair, wish, None).metadata.ack_status, Status::Accepted);
}
