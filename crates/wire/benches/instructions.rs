//! Work whose instructions `tools/instructions.py` counts: `make bench-instructions`.
//!
//! Each case is one call of [`measured`]. Names go to standard output in the order of the calls, which is how counts find their
//! names; those that end in `@n` are points of a curve.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;

use bytes::Bytes;
use nnrp_wire::{
    CacheObjectKind, ControlExtension, ControlExtensions, ExtensionFrame, FrameBody, FrameSubmitMetadata,
    Header, InlineObject, MessageType, Packet, ResultFrame, ResultPushMetadata, Revision, Section,
    SubmitFrame, TensorDType, TileIndexMode, TypedPayload,
};

/// Sizes on a curve.
const CURVE: [u16; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// Sizes of extension blocks; a block has a limit.
const SHORT_CURVE: [u16; 6] = [1, 2, 4, 8, 16, 32];

/// The function whose instructions are counted, with what it calls.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// One case. What it makes is dropped outside the count, and made once before: the first call of a function also pays for
/// finding it.
fn case<T>(name: &str, work: impl Fn() -> T) {
    println!("{name}");
    black_box(work());
    let mut made = None;
    measured(&mut || made = Some(black_box(work())));
}

/// A frame of uint8 sections in which every tile has the same 64 bytes.
fn frame(sections: u16, tiles: u16) -> SubmitFrame {
    let tile = Bytes::from(vec![7; 64]);
    SubmitFrame {
        src_width: 1024,
        src_height: 1024,
        tile_width: 32,
        tile_height: 32,
        tile_ids: (0..tiles).collect(),
        sections: (0..sections)
            .map(|role| Section::new(role, TensorDType::Uint8).tiles(vec![tile.clone(); tiles.into()]))
            .collect(),
        ..SubmitFrame::new(1)
    }
}

fn tokens(count: u16) -> SubmitFrame {
    let typed_payloads = vec![TypedPayload::token_chunk("hello"); count.into()];
    SubmitFrame { typed_payloads, ..SubmitFrame::new(1) }
}

fn encode_submit(name: &str, frame: &SubmitFrame) {
    case(&format!("submit/encode {name}"), || black_box(frame).encode(7, Revision::Current).unwrap());
}

fn decode_submit(name: &str, frame: &SubmitFrame) {
    let packet = Packet::decode(frame.encode(7, Revision::Current).unwrap().to_bytes()).unwrap();
    let kinds = [0];
    let decode = || {
        let metadata = FrameSubmitMetadata::decode(black_box(&packet.metadata)).unwrap();
        FrameBody::decode_submit(&metadata, black_box(&packet.body), &kinds).unwrap()
    };
    case(&format!("submit/decode {name}"), decode);
    let body = decode();
    case(&format!("submit/read {name}"), || {
        let tiles = body.sections().flat_map(|section| section.tiles()).map(|tile| black_box(tile).len());
        let payloads = body.typed_payloads().map(|payload| black_box(payload).data.len());
        body.tile_ids().map(usize::from).sum::<usize>() + tiles.sum::<usize>() + payloads.sum::<usize>()
    });
}

fn headers() {
    let header = Header { session_id: 7, frame_id: 42, ..Header::new(MessageType::ResultDrop) };
    let raw = header.encode();
    case("header/decode", || Header::decode(black_box(&raw)).unwrap());
    case("header/encode", || black_box(&header).encode());
}

fn results() {
    let frame =
        ResultFrame { typed_payloads: vec![TypedPayload::token_chunk("hello")], ..ResultFrame::new(1) };
    case("result/encode token", || black_box(&frame).encode(7, Revision::Current).unwrap());
    let packet = Packet::decode(frame.encode(7, Revision::Current).unwrap().to_bytes()).unwrap();
    case("result/decode token", || {
        let metadata = ResultPushMetadata::decode(black_box(&packet.metadata)).unwrap();
        FrameBody::decode_result(&metadata, black_box(&packet.body), &[]).unwrap()
    });
}

fn curves() {
    for n in CURVE {
        for (name, frame) in [
            (format!("sections@{n}"), frame(n, 2)),
            (format!("tiles@{n}"), frame(1, n)),
            (format!("typed payloads@{n}"), tokens(n)),
            (format!("inline objects@{n}"), SubmitFrame { objects: objects(n), ..tokens(1) }),
            (
                format!("extension frames@{n}"),
                SubmitFrame { extension_frames: vec![ExtensionFrame::default(); n.into()], ..tokens(1) },
            ),
            (
                format!("bitset tiles@{n}"),
                SubmitFrame { tile_index_mode: TileIndexMode::Bitset, ..frame(1, n) },
            ),
        ] {
            encode_submit(&name, &frame);
            decode_submit(&name, &frame);
        }
    }
    for n in SHORT_CURVE {
        let entries = vec![
            ControlExtension {
                ext_type: 0x8000,
                payload: Bytes::from_static(b"8 bytes."),
                ..Default::default()
            };
            n.into()
        ];
        let block = ControlExtensions::encode(&entries).unwrap();
        case(&format!("control extensions/decode entries@{n}"), || {
            ControlExtensions::decode(black_box(&block), Some(&[0x0101]), MessageType::ClientHello).unwrap()
        });
    }
}

fn objects(count: u16) -> Vec<InlineObject> {
    let object = InlineObject {
        kind: CacheObjectKind::PromptSegment,
        data: Bytes::from_static(b"text"),
        ..InlineObject::default()
    };
    vec![object; count.into()]
}

fn main() {
    headers();
    for (name, frame) in [("small", frame(1, 1)), ("16x1024", frame(16, 1024)), ("token", tokens(1))] {
        encode_submit(name, &frame);
        decode_submit(name, &frame);
    }
    results();
    curves();
}
