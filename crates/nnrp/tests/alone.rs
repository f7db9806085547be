//! How answers leave a process whose one stream nobody else works on, and one that has others. Each test is the only one of this process
//! that runs: the others of the project have both ends of a session in one process, which then has two streams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use nnrp::wire::Header;
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

/// How many answers to eight frames reach the client with each that is made.
async fn leave(client: &mut Raw, session: &ServerSession, frame_ids: [u32; FRAMES as usize]) -> Vec<usize> {
    let mut left = Vec::new();
    for frame_id in frame_ids {
        let bytes = answer(session, frame_id).await;
        left.push(client.arrived() / bytes);
    }
    left
}

/// The same under a cork.
async fn leave_corked(client: &mut Raw, session: &ServerSession) -> Vec<usize> {
    for round in 0..ROUNDS {
        let frame_ids = ids(round);
        client.submit(&frame_ids);
        received(session, FRAMES).await;
        let cork = session.connection().cork();
        let left = leave(client, session, frame_ids).await;
        drop(cork);
        assert_eq!(client.arrived(), 0, "with the last answer nothing is left to wait for");
        // Where the thread that looks after corks is about it at just this moment, one more keeps nothing back.
        if left != [1; FRAMES as usize] {
            return left;
        }
    }
    panic!("a cork never keeps anything back");
}

#[test]
fn each_of_few_answers_leaves_in_the_call_that_makes_it() {
    alone(async {
        let listener = Listener::bind_tcp(anywhere(), ServerConfig::new()).await.unwrap();
        let (mut client, session) = Raw::admitted(&listener).await;
        let frame_ids = ids(0);
        client.submit(&frame_ids);
        received(&session, FRAMES).await;
        assert_eq!(leave(&mut client, &session, frame_ids).await, [1; FRAMES as usize]);
    });
}

#[test]
fn under_a_cork_few_answers_leave_a_third_at_a_time() {
    alone(async {
        let listener = Listener::bind_tcp(anywhere(), ServerConfig::new()).await.unwrap();
        let (mut client, session) = Raw::admitted(&listener).await;
        let expected = if has_cores() { [0, 0, 3, 0, 2, 0, 2, 1] } else { [0, 0, 0, 0, 0, 0, 0, 8] };
        assert_eq!(leave_corked(&mut client, &session).await, expected);
    });
}

#[test]
fn with_another_stream_they_leave_together() {
    alone(async {
        let listener = Listener::bind_tcp(anywhere(), ServerConfig::new()).await.unwrap();
        let (mut client, session) = Raw::admitted(&listener).await;
        let (_other, _also_here) = Raw::admitted(&listener).await;
        assert_eq!(leave_corked(&mut client, &session).await, [0, 0, 0, 0, 0, 0, 0, 8]);
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

#[test]
fn over_quic_whoever_answers_few_frames_lets_others_run() {
    alone(async {
        let made = development_certificate().unwrap();
        let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
        let listener = Listener::bind_quic(anywhere(), identity, ServerConfig::new()).await.unwrap();
        let endpoint = quinn::Endpoint::client(anywhere()).unwrap();
        let config = quic_peer::client_config(&made.certificate);
        let dialling = endpoint.connect_with(config, listener.local_addr(), "localhost").unwrap();
        let opening = async {
            let quic = dialling.await.unwrap();
            let (mut control, answers) = quic.open_bi().await.unwrap();
            let hello = packets::hello_packet(&packets::hello());
            control.write_all(&hello.to_bytes()).await.unwrap();
            (quic, control, answers)
        };
        let ((quic, _control, _answers), session) = tokio::join!(opening, listener.accept());
        let session = session.unwrap();
        for frame_id in 1..=FRAMES + 1 {
            let mut stream = quic.open_uni().await.unwrap();
            stream.write_all(&packets::submit_packet(SESSION, frame_id).to_bytes()).await.unwrap();
            stream.finish().unwrap();
        }
        let expected: &[u32] = if has_cores() { &[3, 2, 2, 1] } else { &[FRAMES] };
        assert_eq!(turns(&session).await, expected);
    });
}
