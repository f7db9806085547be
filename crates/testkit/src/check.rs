//! What holds for every sequence of operations on a session, as functions over arbitrary bytes: property tests, the
//! replay test and the fuzz targets call the same ones. Each fails by panicking.

use std::time::Duration;

use bytes::Bytes;
use nnrp_session::Side;
use nnrp_session::{
    Admission, DRAIN_TIME, DropFrame, Event, Fault, FrameKey, MAX_QUEUED_REPLIES, ServerSettings,
};
use nnrp_transport::{Filter, Item, memory};
use nnrp_wire::{
    ErrorCode, Header, MessageType, ResultClass, ResultFrame, ResultHintMetadata, ResultHintReason, Revision,
    TransportId,
};

use crate::packets;
use crate::pair::{End, Pair};

/// Operations in one script at most: enough to reach every state many times over.
const MAX_STEPS: usize = 256;

/// Frames a script talks about: few, so that operations meet.
const FRAME_IDS: u32 = 5;

/// Reads a script byte by byte; zeros when it is at its end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, len: usize) -> Bytes {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }

    fn frame(&mut self) -> u32 {
        u32::from(self.next()) % FRAME_IDS
    }
}

/// A session between two machines survives any order of commands, any lapse of time and any bytes: nothing panics,
/// nothing is said after the end, queues stay bounded, every frame's fate is told at most once, and closing ends
/// everything within the drain time.
pub fn session_survives(data: &[u8]) {
    let mut script = Script(data);
    let transport = if script.next().is_multiple_of(2) { TransportId::Quic } else { TransportId::Tcp };
    let mut pair = Pair::serving(transport, ServerSettings::default());
    let _ = pair.client.machine.open(pair.now, &packets::hello(), nnrp_session::ClientSettings::default());
    pair.drive();
    for _ in 0..MAX_STEPS {
        if script.0.is_empty() {
            break;
        }
        step(&mut pair, &mut script);
        pair.drive();
        check_end(&pair.client);
        check_end(&pair.server);
    }
    pair.client.machine.close(pair.now, "");
    pair.server.machine.close(pair.now, "");
    pair.drive();
    pair.advance(DRAIN_TIME);
    for end in [&pair.client, &pair.server] {
        assert!(end.machine.is_ended(), "closing did not end {:?}", end.machine.side());
        assert!(end.shut_down.is_some(), "the transport of {:?} stays open", end.machine.side());
        assert_eq!(end.machine.poll_timeout(), None, "a timer survives the end");
    }
    assert_eq!(pair.client.machine.live_frames(), 0);
}

fn step(pair: &mut Pair, script: &mut Script<'_>) {
    let now = pair.now;
    match script.next() % 20 {
        0 => {
            let _ =
                pair.server.machine.admit(now, &Admission { fallback_session_id: 1, ..Admission::default() });
        }
        1 => pair.server.machine.refuse_client(now, Fault::refusal(ErrorCode::AuthFailed, "no")),
        2 | 3 => {
            let packet = packets::submit_packet(pair.client.machine.session_id(), script.frame());
            let _ = pair.client.machine.submit(pair.now, packet.encode());
        }
        4 | 5 => result(pair, script),
        6 => {
            let reason = Some(ResultHintReason::from(u32::from(script.next() % 6)));
            let drop = DropFrame { frame_id: script.frame(), reason, ..DropFrame::default() };
            let _ = pair.server.machine.push_drop(&drop);
        }
        7 => {
            let _ = pair.client.machine.cancel(FrameKey::new(script.frame()));
        }
        8 => pair.client.machine.ignore_results(FrameKey::new(script.frame())),
        9 => {
            let hint =
                ResultHintMetadata { reason: ResultHintReason::ServerBusy, ..ResultHintMetadata::default() };
            let mut header = Header::new(MessageType::ResultHint);
            header.frame_id = script.frame();
            let _ = pair.server.machine.push_hint(header, &hint);
        }
        10 => pair.advance(Duration::from_millis(u64::from(script.next()) * 100)),
        11 => damaged(pair, script),
        12 => {
            // Arbitrary bytes behind a header that says how many there are.
            let message = MessageType::from(script.next());
            let len = usize::from(script.next());
            let metadata = script.take(len);
            let len = usize::from(script.next());
            let mut header = Header::new(message);
            header.session_id = pair.server.machine.session_id();
            header.frame_id = script.frame();
            let packet = nnrp_wire::Packet::build(header, metadata, script.take(len)).to_bytes();
            if script.next().is_multiple_of(2) {
                pair.server.receive(now, &packet);
            } else {
                pair.client.receive(now, &packet);
            }
        }
        13 => {
            let ping = packets::bare(MessageType::Ping, 0);
            for _ in 0..=script.next() {
                pair.server.receive(now, &ping.to_bytes());
            }
        }
        14 if script.next() > 200 => pair.client.machine.close(now, "script"),
        15 if script.next() > 200 => pair.server.machine.close(now, "script"),
        16 => {
            let _ =
                pair.client.machine.send_packet(pair.now, packets::bare(MessageType::from(script.next()), 1));
        }
        17 => {
            let _ =
                pair.server.machine.send_packet(pair.now, packets::bare(MessageType::from(script.next()), 1));
        }
        18 => {
            let header = Header { frame_id: script.frame(), ..Header::new(MessageType::FrameSubmit) };
            pair.server.machine.handle_truncated(now, &header);
        }
        _ => {}
    }
}

fn result(pair: &mut Pair, script: &mut Script<'_>) {
    let class = ResultClass::from(script.next() % 4);
    let result = ResultFrame {
        result_class: class,
        dropped_tile_count: u16::from(class == ResultClass::Partial),
        flags: nnrp_wire::HeaderFlags::from_bits(u32::from(script.next() & 0x8)),
        ..packets::result(script.frame())
    };
    if let Ok(packet) = result.encode(pair.server.machine.session_id(), Revision::Current) {
        let _ = pair.server.machine.push_result(pair.now, packet);
    }
}

/// A good packet with up to four bytes overwritten.
fn damaged(pair: &mut Pair, script: &mut Script<'_>) {
    let session_id = pair.server.machine.session_id();
    let packet = match script.next() % 4 {
        0 => packets::hello_packet(&packets::hello()),
        1 => packets::submit_packet(session_id, script.frame()),
        2 => packets::control(MessageType::FlowUpdate, session_id, &[0; 32]),
        _ => packets::control(MessageType::SessionPatch, session_id, &[0; 36]),
    };
    let offset = usize::from(script.next());
    let len = usize::from(script.next() % 4) + 1;
    let bytes = packets::damaged(&packet, offset, &script.take(len));
    pair.server.receive(pair.now, &bytes);
}

/// Ended is the last event, and what is queued stays bounded.
fn check_end(end: &End) {
    let last = end.events.iter().rposition(|event| matches!(event, Event::Ended(_)));
    if let Some(position) = last {
        let after = end.events.iter().skip(position + 1).count();
        assert_eq!(after, 0, "{:?} said something after its end", end.machine.side());
    }
    assert!(end.events.iter().filter(|event| matches!(event, Event::Ended(_))).count() <= 1);
    assert!(end.sent.len() <= MAX_STEPS * 2 * MAX_QUEUED_REPLIES);
}

/// Two applications doing anything in any order over any network keep every promise of [`crate::story`].
pub fn scripts_keep_every_promise(data: &[u8]) {
    let outcome = crate::script::play(data);
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// Bytes on their way through one pipe: less than a large body, so that bodies arrive in pieces.
const PIPE_BYTES: usize = 1 << 16;

/// Framing does not depend on how the stream is cut: packets written in arbitrary pieces arrive whole, in order and
/// unchanged, and bytes that are no packet end the connection without a panic or a hang.
pub fn framing_survives_splits(data: &[u8]) {
    let mut script = Script(data);
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for number in 0..u32::from(script.next() % 8) {
        let packet = match script.next() % 4 {
            0 => packets::bare(MessageType::Ping, number),
            1 => packets::bulky_packet(1, number, usize::from(script.next()) * 100),
            2 => packets::submit_packet(1, number),
            _ => packets::control(MessageType::FlowUpdate, 1, &[0; 32]),
        };
        stream.extend_from_slice(&packet.to_bytes());
        expected.push(packet);
    }
    let garbage = usize::from(script.next());
    stream.extend_from_slice(&script.take(garbage));
    let cuts: Vec<usize> = script.0.iter().map(|byte| usize::from(*byte) * 7 + 1).collect();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    runtime.block_on(async {
        let finished = tokio::time::timeout(Duration::from_secs(20), deliver(stream, cuts, expected)).await;
        assert!(finished.is_ok(), "framing hangs");
    });
}

async fn deliver(stream: Vec<u8>, cuts: Vec<usize>, expected: Vec<nnrp_wire::Packet>) {
    use tokio::io::AsyncWriteExt;
    let (mut ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let connection = memory::over(theirs, Side::Server);
    connection.claim();
    let writing = async {
        let mut rest = stream.as_slice();
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(cuts.next().unwrap_or(rest.len()).min(rest.len()));
            // The reader hangs up when it meets garbage.
            if ours.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
            rest = behind;
        }
        let _ = ours.shutdown().await;
    };
    let reading = async {
        for packet in &expected {
            match connection.receive(Filter::Any).await {
                Ok(Item::Packet(received)) => assert_eq!(&*received, packet),
                other => assert!(matches!(other, Ok(Item::Packet(_))), "{other:?} instead of {packet:?}"),
            }
        }
        // Whatever the garbage was, it comes to an end.
        while connection.receive(Filter::Any).await.is_ok() {}
    };
    tokio::join!(writing, reading);
}
