//! What one packet costs: `cargo bench -p nnrp-wire`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nnrp_wire::{
    FrameBody, FrameSubmitMetadata, Header, MessageType, Packet, Revision, Section, SubmitFrame, TensorDType,
    TypedPayload,
};

/// A frame of uint8 sections in which every tile has the same bytes.
fn frame(sections: u16, tiles: u16, tile_bytes: usize) -> SubmitFrame {
    let tile = Bytes::from(vec![7; tile_bytes]);
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

/// One small tile; a token; all sections of a frame with many tiles; a frame with large tiles.
fn frames() -> [(&'static str, SubmitFrame); 4] {
    let token =
        SubmitFrame { typed_payloads: vec![TypedPayload::token_chunk("hello")], ..SubmitFrame::new(1) };
    [
        ("small", frame(1, 1, 64)),
        ("token", token),
        ("16x1024", frame(16, 1024, 64)),
        ("4x64 large", frame(4, 64, 16 * 1024)),
    ]
}

fn headers(criterion: &mut Criterion) {
    let raw = Header { session_id: 7, frame_id: 42, ..Header::new(MessageType::ResultDrop) }.encode();
    criterion.bench_function("header/decode", |bencher| bencher.iter(|| Header::decode(black_box(&raw))));
    let header = Header::decode(&raw).unwrap();
    criterion.bench_function("header/encode", |bencher| bencher.iter(|| black_box(&header).encode()));
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("submit/decode");
    for (name, frame) in frames() {
        let packet = Packet::decode(frame.encode(7, Revision::Current).unwrap().to_bytes()).unwrap();
        group.throughput(Throughput::Bytes(packet.header.packet_len()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let metadata = FrameSubmitMetadata::decode(black_box(&packet.metadata)).unwrap();
                FrameBody::decode_submit(&metadata, black_box(&packet.body), &[]).unwrap()
            });
        });
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("submit/read every tile");
    for (name, frame) in frames() {
        let packet = Packet::decode(frame.encode(7, Revision::Current).unwrap().to_bytes()).unwrap();
        let nnrp_wire::Message::FrameSubmit { body, .. } = packet.message().unwrap() else { panic!() };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let tiles: usize = body
                    .sections()
                    .flat_map(|section| section.tiles())
                    .map(|tile| black_box(tile).len())
                    .sum();
                tiles + body.typed_payloads().map(|payload| payload.data.len()).sum::<usize>()
            });
        });
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("submit/encode");
    for (name, frame) in frames() {
        let length = frame.encode(7, Revision::Current).unwrap().len();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&frame).encode(7, Revision::Current).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, headers, decoding, reading, encoding);
criterion_main!(benches);
