//! Header and packet.

use bytes::Bytes;
use nnrp_wire::{MessageType, RuleId};

use crate::{
    Case,
    build::{packet, plain, submit, with_byte},
    case,
};

pub(crate) fn cases() -> Vec<Case> {
    let ping = packet(MessageType::Ping, &[], Bytes::new());
    let drop = packet(MessageType::ResultDrop, &[], Bytes::new());
    let frame = submit(plain(0, 0), Bytes::new());
    let too_long = [&frame[..], b"x"].concat().into();
    vec![
        case(RuleId::HDR_1, with_byte(&ping, 3, b'Q'), ping.clone()),
        case(RuleId::HDR_2, with_byte(&ping, 4, 2), ping.clone()),
        case(RuleId::HDR_3, with_byte(&ping, 5, 1), ping.clone()),
        case(RuleId::HDR_4, with_byte(&ping, 6, 0x22), with_byte(&ping, 6, 0x21)),
        case(RuleId::HDR_4, with_byte(&ping, 6, 0x07), with_byte(&ping, 6, 0x05)),
        case(RuleId::HDR_5, with_byte(&ping, 7, 41), ping.clone()),
        case(RuleId::PKT_1, packet(MessageType::Ping, &[0; 4], Bytes::new()), ping.clone()),
        case(RuleId::PKT_1, packet(MessageType::FrameSubmit, &[0; 71], Bytes::new()), frame.clone()),
        case(RuleId::PKT_2, packet(MessageType::ResultDrop, &[], &b"why"[..]), drop),
        case(RuleId::PKT_3, ping.slice(..39), ping.clone()),
        case(RuleId::PKT_3, frame.slice(..frame.len() - 1), frame.clone()),
        case(RuleId::PKT_3, too_long, frame),
        case(RuleId::PKT_3, [&ping[..], &ping[..]].concat().into(), ping),
    ]
}
