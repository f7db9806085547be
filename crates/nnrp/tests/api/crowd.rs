//! What a crowd of clients that say nothing, or say it slowly, costs the others.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nnrp::{ClientConfig, Connection, ServerConfig, clock};
use nnrp_testkit::packets;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::harness::{Kind, Server, soon};

/// Clients that connect and say nothing.
const SILENT: usize = 200;
/// Clients that send their hello a byte at a time.
const DRIPPING: usize = 20;
/// Sessions that are timed; the middle one counts.
const TIMED: usize = 9;
/// Most that the crowd may add. Measured, it is well below a tenth of that; a busy machine doubles anything.
const ALLOWED: Duration = Duration::from_millis(500);

/// The time from dialling to the server's session, in the middle of several.
async fn time_to_accept(server: &Server, kind: Kind, accepted: &mut mpsc::Receiver<Instant>) -> Duration {
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let start = clock::now();
        let client = soon("a session", server.dial(kind, ClientConfig::new())).await.unwrap();
        let at = soon("its acceptance", accepted.recv()).await.unwrap();
        times.push(at.saturating_duration_since(start));
        client.close("").await;
    }
    times.sort_unstable();
    times[TIMED / 2]
}

async fn silent(server: &Server, kind: Kind) -> Vec<Connection> {
    let mut crowd = Vec::new();
    while crowd.len() < SILENT {
        // A few at a time, for the handshakes of the transport take turns on the processor.
        let four = async {
            tokio::join!(
                server.dial_raw(kind),
                server.dial_raw(kind),
                server.dial_raw(kind),
                server.dial_raw(kind)
            )
        };
        let (one, two, three, four) = four.await;
        crowd.extend([one, two, three, four]);
    }
    crowd
}

/// Starts sending hellos, a byte a second each. On TLS they are no record either, just as slowly.
fn dripping(address: SocketAddr, crowd: &mut JoinSet<()>) {
    let hello = packets::hello_packet(&packets::hello()).to_bytes();
    for _ in 0..DRIPPING {
        let mut stream = TcpStream::connect(address).unwrap();
        let hello = hello.clone();
        crowd.spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            for byte in hello {
                every.tick().await;
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
        });
    }
}

pub(crate) async fn a_silent_crowd_delays_nobody(kind: Kind) {
    let config = ServerConfig::new().authenticate(|_| async { true });
    let server = Server::start(kind, config).await;
    let listener = server.listener.clone();
    let (tell, mut accepted) = mpsc::channel(TIMED);
    let accepting = tokio::spawn(async move {
        let mut sessions = Vec::new();
        while let Some(session) = listener.accept().await {
            let _ = tell.send(clock::now()).await;
            sessions.push(session);
        }
    });
    let alone = time_to_accept(&server, kind, &mut accepted).await;
    let silent = silent(&server, kind).await;
    let mut drips = JoinSet::new();
    if !kind.is_quic() {
        dripping(server.listener.local_addr(), &mut drips);
    }
    let crowded = time_to_accept(&server, kind, &mut accepted).await;
    eprintln!("{kind:?}: {alone:?} alone, {crowded:?} beside {} others", silent.len() + drips.len());
    assert!(crowded < alone + ALLOWED, "{crowded:?} beside the crowd, {alone:?} without");
    server.listener.close();
    accepting.await.unwrap();
}
