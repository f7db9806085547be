//! kill -9 of the server: nobody waits for ever, and everybody learns why.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nnrp::{
    ClientConfig, ClientSession, DRAIN_TIME, EndedBy, Identity, Listener, ServerConfig, SessionError, Trust,
    clock, development_certificate,
};
use nnrp_testkit::campaign::{from_hex, to_hex};

use super::relayed::small;

/// Tells the process which transport to serve.
const SERVE: &str = "NNRP_TEST_SERVE";

/// What the client asks for, here: a PING that often, and patience for that long.
const INTERVAL: Duration = Duration::from_millis(250);
/// See [`INTERVAL`].
const PATIENCE: Duration = Duration::from_secs(2);

/// How much later than promised a busy machine may notice.
const SLACK: Duration = Duration::from_secs(5);

/// Frames that wait for an answer when the server dies.
const PENDING: u32 = 8;

/// Not a test: the server that is killed, in a process of its own. It takes frames and answers none.
#[tokio::test(flavor = "current_thread")]
async fn server_process() {
    #[expect(clippy::disallowed_methods, reason = "how the parent speaks to its child")]
    let Ok(transport) = std::env::var(SERVE) else { return };
    let made = development_certificate().unwrap();
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = ServerConfig::new();
    let bound = match transport.as_str() {
        "quic" => Listener::bind_quic(address, identity, config).await,
        _ => Listener::bind_tcp(address, config).await,
    };
    let listener = bound.unwrap();
    println!("\nready {} {}", listener.local_addr(), to_hex(made.certificate.as_bytes()));
    let session = listener.accept().await.unwrap();
    let mut taken = Vec::new();
    while let Ok(Some(submit)) = session.recv().await {
        taken.push(submit);
        println!("\ntaken {}", taken.len());
    }
}

/// A server process, killed at the latest when the test is over.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(transport: &str) -> (Self, SocketAddr, Trust) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::killed::server_process", "--nocapture"])
            .env(SERVE, transport)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Server { child, lines };
        let words = server.says("ready");
        let [address, certificate] = words.as_slice() else { panic!("{words:?}") };
        (server, address.parse().unwrap(), Trust::Certificates(from_hex(certificate)))
    }

    /// What follows the next line that begins with `word`.
    fn says(&mut self, word: &str) -> Vec<String> {
        loop {
            let line = self.lines.next().expect("the server process ended").unwrap();
            let mut words = line.split_whitespace().map(str::to_owned);
            if words.next().as_deref() == Some(word) {
                return words.collect();
            }
        }
    }
}

async fn every_wait_ends_when_the_server_is_killed(transport: &str) {
    let (mut server, address, trust) = tokio::task::block_in_place(|| Server::start(transport));
    let config = ClientConfig::new().keepalive(Some(INTERVAL), Some(PATIENCE));
    let client = match transport {
        "quic" => ClientSession::connect_quic(address, "localhost", &trust, config).await,
        _ => ClientSession::connect_tcp(address, config).await,
    }
    .unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for frame_id in 1..=PENDING {
        let client = client.clone();
        waiting.spawn(async move { client.submit(&small(frame_id)).await });
    }
    tokio::task::block_in_place(|| while server.says("taken") != [PENDING.to_string()] {});
    // It is alive, and has said so.
    client.ping(SLACK).await.unwrap();

    server.child.kill().unwrap();
    let killed = clock::now();
    while let Some(ended) = waiting.join_next().await {
        let error = ended.unwrap().unwrap_err();
        let text = error.to_string();
        let SessionError::Closed(closed) = error else { panic!("{error:?}") };
        assert_eq!(closed.0.by, EndedBy::Transport, "{text}");
        assert!(text.starts_with("connection lost") && text.contains(&address.to_string()), "{text}");
    }
    let noticed = clock::now().saturating_duration_since(killed);
    println!("{transport}: {PENDING} waits ended {noticed:?} after the kill: {}", client.closed().await);
    let bound = PATIENCE + INTERVAL;
    assert!(noticed < bound + SLACK, "noticed after {noticed:?}, promised {bound:?}");
    // What comes later fails at once, with the same reason.
    let late = client.send(&small(PENDING + 1)).await.unwrap_err();
    assert_eq!(late.to_string(), client.closed().await.to_string());
    // Nor does anything that is left of it wait for somebody who is gone.
    tokio::time::timeout(DRAIN_TIME / 2, client.connection().flush()).await.expect("flushing waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_ends_when_the_server_is_killed_over_tcp() {
    let test = every_wait_ends_when_the_server_is_killed("tcp");
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_ends_when_the_server_is_killed_over_quic() {
    let test = every_wait_ends_when_the_server_is_killed("quic");
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
}
