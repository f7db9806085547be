//! Reads the golden packets.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by the tests; each binary uses a part of it"
)]

use std::{fs, path::Path};

use bytes::Bytes;
use nnrp_wire::{ErrorMetadata, Message, MessageType, Packet, WireError};
use serde_json::Value;

/// The vectors of one file.
pub(crate) fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    let vectors = file["vectors"].as_array().unwrap().clone();
    assert_eq!(file["count"].as_u64().unwrap(), vectors.len() as u64);
    vectors
}

/// Bytes written as hex; white space is skipped.
pub(crate) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

pub(crate) fn packet_of(vector: &Value) -> Bytes {
    hex(vector["hex"].as_str().unwrap())
}

pub(crate) fn known_kinds(vector: &Value) -> Vec<u16> {
    vector["known"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|kind| kind.as_u64().unwrap().try_into().unwrap())
        .collect()
}

/// Everything the codec checks in one packet. Receivers read ERROR leniently; here its metadata counts like any other.
pub(crate) fn read(raw: Bytes, known: &[u16]) -> Result<(Packet, Message), WireError> {
    let packet = Packet::decode(raw)?;
    let message = packet.message_knowing(known)?;
    if packet.header.msg_type == MessageType::Error {
        ErrorMetadata::decode(&packet.metadata)?;
    }
    Ok((packet, message))
}
