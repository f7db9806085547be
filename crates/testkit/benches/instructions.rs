//! The steps of a frame above the codec, whose instructions `tools/instructions.py` counts: `make bench-instructions`.
//!
//! A step of the state machine is what happens between the sockets and the application, without either. It must not cost
//! more when more frames are in flight. Cases are told to the tool as in `crates/wire/benches/instructions.rs`.

#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark"
)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use nnrp_session::{Arrival, Machine, Transmit};
use nnrp_testkit::{Pair, packets};
use nnrp_transport::buffer::BufferPool;
use nnrp_wire::{EncodedPacket, Header, Packet, Revision};

/// Frames that are in flight besides the one that is counted.
const CROWDS: [u32; 3] = [0, 64, 1024];

/// The function whose instructions are counted, with what it calls.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// One case. It is done once before, since the first call of a function also pays for finding it; what it makes is dropped
/// outside the count.
fn case<T>(name: &str, mut work: impl FnMut() -> T) {
    println!("{name}");
    black_box(work());
    let mut made = None;
    measured(&mut || made = Some(black_box(work())));
}

/// The packet that a machine wants to send, and nothing else.
fn next_packet(machine: &mut Machine) -> EncodedPacket {
    match machine.poll_transmit() {
        Some(Transmit::Packet { packet, .. }) => packet,
        other => panic!("no packet to send: {other:?}"),
    }
}

/// A packet as a driver brings it: the header first, then the whole.
fn bring(machine: &mut Machine, now: Instant, packet: Packet) {
    let arrival = Arrival::Stream(4 * u64::from(packet.header.frame_id) + 3);
    let head: [u8; Header::LEN] = packet.header.encode();
    black_box(machine.handle_header(now, &head));
    machine.handle_packet(now, packet, arrival);
}

/// A submit on its way out, in, its result on its way out, and in.
fn steps(crowd: u32) {
    let mut pair = Pair::connected();
    for frame_id in 1..=crowd {
        pair.submit(frame_id);
    }
    pair.server.events.clear();
    let (now, session) = (pair.now, pair.client.machine.session_id());
    let (client, server) = (&mut pair.client.machine, &mut pair.server.machine);
    let ids = [crowd + 1, crowd + 2];

    let mut submits = ids.map(|id| packets::submit_packet(session, id).encode()).into_iter();
    let mut sent = Vec::with_capacity(ids.len());
    case(&format!("session/submit goes out, {crowd} in flight"), || {
        client.submit(now, submits.next().unwrap()).unwrap();
        sent.push(next_packet(client));
    });
    let mut arriving = sent.drain(..).map(|packet| packet.to_packet()).collect::<Vec<_>>().into_iter();
    case(&format!("session/submit comes in, {crowd} in flight"), || {
        bring(server, now, arriving.next().unwrap());
        server.poll_event().unwrap()
    });
    let results = ids.map(|id| packets::result(id).encode(session, Revision::Current).unwrap());
    let mut results = results.into_iter();
    let mut sent = Vec::with_capacity(ids.len());
    case(&format!("session/result goes out, {crowd} in flight"), || {
        server.push_result(now, results.next().unwrap()).unwrap();
        sent.push(next_packet(server));
    });
    let mut arriving = sent.drain(..).map(|packet| packet.to_packet()).collect::<Vec<_>>().into_iter();
    case(&format!("session/result comes in, {crowd} in flight"), || {
        bring(client, now, arriving.next().unwrap());
        client.poll_event().unwrap()
    });
}

/// A body's memory taken from the pool and given back, whatever else is on the shelf.
fn pool() {
    let head = Bytes::from_static(&[7; 64]);
    for (name, len) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("8 MiB", 8 << 20)] {
        for others in [0, 16] {
            let pool = BufferPool::default();
            let taken: Vec<_> = (1..=others).map(|step| filled(&pool, step * 100_000, &head)).collect();
            drop(taken);
            case(&format!("pool/take and return {name}, {others} others"), || {
                drop(filled(&pool, len, &head));
            });
        }
    }
    let pool = BufferPool::default();
    case("pool/take and return 64 B", || {
        drop(filled(&pool, 64, &head));
    });
}

/// A body of which only the beginning has arrived, so that no copying is counted.
fn filled(pool: &BufferPool, len: usize, head: &[u8]) -> Bytes {
    let mut buffer = pool.take(len);
    buffer.put(head);
    buffer.freeze()
}

fn main() {
    for crowd in CROWDS {
        steps(crowd);
    }
    pool();
}
