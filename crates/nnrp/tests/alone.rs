//! How answers leave: of a process whose one stream nobody else works on, and of one that has others, and in which order. Each test is the
//! only one of this process that runs: the others of the project have both ends of a session in one process, which then has two streams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use nnrp::wire::{Header, ResultFrame, TypedPayload};
use nnrp::{FrameKey, Identity, Listener, Received, ServerConfig, ServerSession, development_certificate};
use nnrp_testkit::packets;

#[path = "api/quic_peer.rs"]
mod quic_peer;

const SESSION: u32 = 1;
const FRAMES: u32 = 8;
/// Tries to put a cork in.
const ROUNDS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// Pieces are more work only where nobody can do anything meanwhile.
fn has_cores() -> bool {
    std::thread::available_parallelism().unwrap().get() > 1
}

/// Runs a test by itself, on one thread: what leaves while it does not wait left in the calls it made.
fn alone(test: impl Future<Output = ()>) {
    static ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await }).unwrap();
}

fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A client of TCP that is bytes and a socket.
struct Raw(TcpStream);

impl Raw {
    async fn admitted(listener: &Listener) -> (Self, ServerSession) {
        let mut socket = TcpStream::connect(listener.local_addr()).unwrap();
        socket.write_all(&packets::hello_packet(&packets::hello()).to_bytes()).unwrap();
        let session = listener.accept().await.unwrap();
        let mut ack = [0; Header::LEN];
        socket.read_exact(&mut ack).unwrap();
        let rest = Header::decode(&ack).unwrap();
        let mut rest = vec![0; (rest.meta_len + rest.body_len) as usize];
        socket.read_exact(&mut rest).unwrap();
        socket.set_nonblocking(true).unwrap();
        (Raw(socket), session)
    }

    fn submit(&mut self, frame_ids: &[u32]) {
        let frames: Vec<u8> =
            frame_ids.iter().flat_map(|id| packets::submit_packet(SESSION, *id).to_bytes()).collect();
        self.0.write_all(&frames).unwrap();
    }

    /// Waits for what is still to come, so many bytes, and lets everybody run meanwhile.
    async fn rest(&mut self, mut bytes: usize) {
        while bytes > 0 {
            tokio::task::yield_now().await;
            bytes -= self.arrived();
        }
    }

    /// Bytes that have come by now.
    fn arrived(&mut self) -> usize {
        let mut bytes = [0; 64 * 1024];
        match self.0.read(&mut bytes) {
            Ok(read) => read,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                0
            }
        }
    }
}

/// Takes frames until so many are here.
async fn received(session: &ServerSession, frames: u32) {
    for _ in 0..frames {
        assert!(matches!(session.receive().await.unwrap(), Received::Submit(_)));
    }
}

async fn answer(session: &ServerSession, frame_id: u32) -> usize {
    session.send(FrameKey { frame_id, view_id: 0 }, packets::result(frame_id)).await.unwrap()
}

/// The frames of a round.
fn ids(round: u32) -> [u32; FRAMES as usize] {
    let mut next = round * FRAMES;
    [(); FRAMES as usize].map(|()| {
        next += 1;
        next
    })
}

/// How many answers to eight frames reach the client with each that is made, and how many bytes of them are still to come.
async fn leave(
    client: &mut Raw,
    session: &ServerSession,
    frame_ids: [u32; FRAMES as usize],
) -> (Vec<usize>, usize) {
    let (mut left, mut missing) = (Vec::new(), 0);
    for frame_id in frame_ids {
        let bytes = answer(session, frame_id).await;
        let arrived = client.arrived();
        missing = missing + bytes - arrived;
        left.push(arrived / bytes);
    }
    (left, missing)
}

/// Says how answers leave, each time for eight more frames, until they leave as `expected`: the thread that looks after corks may be about it
/// at the moment when one more is put in, which then keeps nothing back, and a busy kernel may deliver late.
async fn they_leave(
    client: &mut Raw,
    session: &ServerSession,
    corked: bool,
    expected: [usize; FRAMES as usize],
) {
    let mut left = Vec::new();
    for round in 0..ROUNDS {
        let frame_ids = ids(round);
        client.submit(&frame_ids);
        received(session, FRAMES).await;
        let cork = corked.then(|| session.connection().cork());
        let missing;
        (left, missing) = leave(client, session, frame_ids).await;
        drop(cork);
        client.rest(missing).await;
        if left == expected {
            return;
        }
    }
    panic!("{left:?} and not {expected:?}");
}

#[test]
fn each_of_few_answers_leaves_in_the_call_that_makes_it() {
    alone(async {
        let listener = Listener::bind_tcp(anywhere(), ServerConfig::new()).await.unwrap();
        let (mut client, session) = Raw::admitted(&listener).await;
        they_leave(&mut client, &session, false, [1; FRAMES as usize]).await;
    });
}

#[test]
fn under_a_cork_few_answers_leave_a_third_at_a_time() {
    alone(async {
        let listener = Listener::bind_tcp(anywhere(), ServerConfig::new()).await.unwrap();
        let (mut client, session) = Raw::admitted(&listener).await;
        let expected = if has_cores() { [0, 0, 3, 0, 2, 0, 2, 1] } else { [0, 0, 0, 0, 0, 0, 0, 8] };
        they_leave(&mut client, &session, true, expected).await;
    });
}

#[test]
fn with_another_stream_they_leave_together() {
    alone(async {
        let listener = Listener::bind_tcp(anywhere(), ServerConfig::new()).await.unwrap();
        let (mut client, session) = Raw::admitted(&listener).await;
        let (_other, _also_here) = Raw::admitted(&listener).await;
        they_leave(&mut client, &session, true, [0, 0, 0, 0, 0, 0, 0, 8]).await;
    });
}

/// How many of the answers to nine frames are made before the task that makes them lets others run, each time it does.
async fn turns(session: &ServerSession) -> Vec<u32> {
    received(session, FRAMES).await;
    while session.connection().stats().frames.frames_submitted <= u64::from(FRAMES) {
        tokio::task::yield_now().await;
    }
    let mut turns = vec![0];
    for frame_id in 1..=FRAMES {
        answer(session, frame_id).await;
        *turns.last_mut().unwrap() += 1;
        // One more frame is there, so that it is not for want of one.
        if session.connection().give_way().now_or_never().is_none() {
            turns.push(0);
        }
    }
    turns
}

/// A client of QUIC that is streams.
struct RawQuic {
    quic: quinn::Connection,
    _control: (quinn::SendStream, quinn::RecvStream),
    _endpoint: quinn::Endpoint,
    _listener: Listener,
}

impl RawQuic {
    async fn admitted(transport: quinn::TransportConfig) -> (Self, ServerSession) {
        let made = development_certificate().unwrap();
        let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
        let listener = Listener::bind_quic(anywhere(), identity, ServerConfig::new()).await.unwrap();
        let endpoint = quinn::Endpoint::client(anywhere()).unwrap();
        let mut config = quic_peer::client_config(&made.certificate);
        config.transport_config(Arc::new(transport));
        let dialling = endpoint.connect_with(config, listener.local_addr(), "localhost").unwrap();
        let opening = async {
            let quic = dialling.await.unwrap();
            let mut control = quic.open_bi().await.unwrap();
            let hello = packets::hello_packet(&packets::hello());
            control.0.write_all(&hello.to_bytes()).await.unwrap();
            (quic, control)
        };
        let ((quic, control), session) = tokio::join!(opening, listener.accept());
        (RawQuic { quic, _control: control, _endpoint: endpoint, _listener: listener }, session.unwrap())
    }

    async fn submit(&self, frame_id: u32) {
        let mut stream = self.quic.open_uni().await.unwrap();
        stream.write_all(&packets::submit_packet(SESSION, frame_id).to_bytes()).await.unwrap();
        stream.finish().unwrap();
    }
}

#[test]
fn over_quic_whoever_answers_few_frames_lets_others_run() {
    alone(async {
        let (client, session) = RawQuic::admitted(quinn::TransportConfig::default()).await;
        for frame_id in 1..=FRAMES + 1 {
            client.submit(frame_id).await;
        }
        let expected: &[u32] = if has_cores() { &[3, 2, 2, 1] } else { &[FRAMES] };
        assert_eq!(turns(&session).await, expected);
    });
}

/// A client hands out no later result while there is a stream of which it does not know the frame.
#[test]
fn over_quic_results_say_whose_they_are_before_those_in_front_of_them_are_through() {
    const BODY: usize = 1 << 20;
    alone(async {
        let mut transport = quinn::TransportConfig::default();
        // Of all streams together less than the first result, until somebody reads.
        transport.receive_window(quinn::VarInt::from_u32(256 * 1024));
        let (client, session) = RawQuic::admitted(transport).await;
        for frame_id in [1, 2] {
            client.submit(frame_id).await;
        }
        received(&session, 2).await;
        for frame_id in [1, 2] {
            let typed_payloads = vec![TypedPayload::opaque_bytes(vec![7; BODY])];
            let result = ResultFrame { frame_id, typed_payloads, ..ResultFrame::default() };
            session.send(FrameKey { frame_id, view_id: 0 }, result).await.unwrap();
        }
        let mut results = Vec::new();
        for frame_id in [1, 2] {
            let mut stream = client.quic.accept_uni().await.unwrap();
            let mut header = [0; Header::LEN];
            stream.read_exact(&mut header).await.unwrap();
            let header = Header::decode(&header).unwrap();
            assert_eq!(header.frame_id, frame_id);
            results.push(async move {
                let rest = stream.read_to_end(2 * BODY).await.unwrap();
                assert_eq!(rest.len(), (header.meta_len + header.body_len) as usize);
                assert!(rest.ends_with(&[7; BODY]));
            });
        }
        // Read one after the other, each might wait for the room that the other has.
        join_all(results).await;
    });
}
