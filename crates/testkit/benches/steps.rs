//! What a frame costs above the codec: `cargo bench -p nnrp-testkit`.
//!
//! `instructions.rs` counts the same steps one by one; here they are timed together.

#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nnrp_session::{Arrival, Machine, Transmit};
use nnrp_testkit::{Pair, packets};
use nnrp_transport::buffer::BufferPool;
use nnrp_wire::{Header, Packet, Revision};

/// The packet that a machine wants to send.
fn next_packet(machine: &mut Machine) -> Packet {
    match machine.poll_transmit() {
        Some(Transmit::Packet { packet, .. }) => packet.to_packet(),
        other => panic!("no packet to send: {other:?}"),
    }
}

/// A packet as a driver brings it: the header first, then the whole.
fn bring(machine: &mut Machine, now: Instant, packet: Packet) {
    let head: [u8; Header::LEN] = packet.header.encode();
    black_box(machine.handle_header(now, &head));
    machine.handle_packet(now, packet, Arrival::Control);
}

/// A frame from the client's machine to the server's and its result back, while others are in flight.
fn there_and_back(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/frame there and back");
    for crowd in [0, 64, 1024] {
        let mut pair = Pair::connected();
        for frame_id in 1..=crowd {
            pair.submit(frame_id);
        }
        pair.server.events.clear();
        let (now, session) = (pair.now, pair.client.machine.session_id());
        let (client, server) = (&mut pair.client.machine, &mut pair.server.machine);
        let mut id = crowd;
        group.bench_function(BenchmarkId::new("others in flight", crowd), |bencher| {
            bencher.iter(|| {
                id += 1;
                client.submit(now, packets::submit_packet(session, id).encode()).unwrap();
                bring(server, now, next_packet(client));
                let submit = server.poll_event();
                let result = packets::result(id).encode(session, Revision::Current).unwrap();
                server.push_result(now, result).unwrap();
                bring(client, now, next_packet(server));
                (submit, client.poll_event())
            });
        });
    }
    group.finish();
}

/// A body's memory taken from the pool, filled, and given back.
fn pool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/take, fill, return");
    let pool = BufferPool::default();
    for (name, len) in [("64 B", 64), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("8 MiB", 8 << 20)] {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut buffer = pool.take(len);
                while buffer.missing() > 0 {
                    let spare = buffer.spare();
                    spare.fill(7);
                    let written = spare.len();
                    buffer.advance(written);
                }
                buffer.freeze()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, there_and_back, pool);
criterion_main!(benches);
