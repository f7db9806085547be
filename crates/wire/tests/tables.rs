//! The tables that types, texts and generators are made from.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use nnrp_wire::{
    Channel, Direction, ENUMS, FieldKind, FrameSubmitMetadata, HeaderLayout, INHERIT, MASKS, METADATA,
    MessageType, Reserved, Revision, extension::LAYOUTS,
};

#[test]
fn every_message_type_has_a_row() {
    let messages = Revision::Current.messages();
    assert_eq!(messages.len(), MessageType::TABLE.len());
    for (name, value, doc) in MessageType::TABLE {
        let message = MessageType::from(*value);
        let spec = Revision::Current.message(message).unwrap();
        assert_eq!((spec.message.name(), spec.message.value()), (Some(*name), *value));
        assert_eq!(spec.metadata.map_or(0, |metadata| metadata.len), spec.meta_len);
        assert!(!doc.is_empty());
    }
    assert!(Revision::Current.message(MessageType::Unknown(0)).is_none());
}

#[test]
fn directions_and_channels() {
    let spec = |message| Revision::Current.message(message).unwrap();
    assert_eq!(spec(MessageType::FrameSubmit).channel, Channel::Submit);
    assert_eq!(spec(MessageType::ResultDrop).channel, Channel::Result);
    assert_eq!(spec(MessageType::ResultHint).channel, Channel::Control);
    assert_eq!(spec(MessageType::ResultHint).direction, Direction::ServerToClient);
    assert_eq!(spec(MessageType::CachePut).direction, Direction::Both);
    let datagrams: Vec<_> =
        Revision::Current.messages().iter().filter(|spec| spec.datagram).map(|spec| spec.message).collect();
    assert_eq!(datagrams, [MessageType::FrameCancel, MessageType::Ping, MessageType::Pong]);
}

#[test]
fn layouts_are_whole() {
    let names: BTreeSet<_> = METADATA.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), METADATA.len());
    for spec in METADATA.iter().chain(LAYOUTS).chain([&HeaderLayout::SPEC]) {
        let mut end = 0;
        for field in spec.fields {
            assert_eq!(field.offset, end, "{}.{}", spec.name, field.name);
            end += field.size;
            assert!(!field.doc.is_empty());
            let must_be_zero = field.reserved == Some(Reserved::MustBeZero);
            assert!(!must_be_zero || field.rule.is_some(), "{}.{} has no rule", spec.name, field.name);
        }
        assert_eq!(end, spec.len, "{}", spec.name);
    }
}

#[test]
fn fields_point_at_published_tables() {
    for field in METADATA.iter().flat_map(|spec| spec.fields) {
        match field.kind {
            FieldKind::Enum(table) => assert!(ENUMS.contains(&table), "{}", table.name),
            FieldKind::Mask(table) => assert!(MASKS.contains(&table), "{}", table.name),
            FieldKind::Number => {}
        }
    }
}

#[test]
fn values_are_listed_once_and_in_order() {
    for table in ENUMS.iter().chain(MASKS) {
        assert!(table.rows.is_sorted_by(|one, other| one.value < other.value), "{}", table.name);
        let names: BTreeSet<_> = table.rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), table.rows.len(), "{}", table.name);
        assert!(table.rows.iter().all(|row| !table.is_mask || row.value.is_power_of_two()), "{}", table.name);
        for (alias, value) in table.aliases {
            assert!(!names.contains(alias));
            assert!(table.rows.iter().any(|row| row.value == *value), "{}.{alias}", table.name);
        }
    }
}

#[test]
fn a_submit_inherits_the_loss_tolerance_of_its_session() {
    assert_eq!(FrameSubmitMetadata::default().loss_tolerance_policy, INHERIT);
    assert_eq!(FrameSubmitMetadata::default().encode().iter().filter(|byte| **byte != 0).count(), 1);
}
