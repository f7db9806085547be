//! Each program does what its page says. Those that speak with Python are tried once more in `with_python.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nnrp::wire::{Section, SubmitFrame, TensorDType, TypedPayload};
use nnrp::{ClientConfig, ClientSession, Reply, Trust};

/// Reading what a program says blocks a thread; sessions go on in another.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs until the test is over.
struct Program {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Program {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Program { child, said }
    }

    /// The next line; empty at the end.
    fn says(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The address or number that the next line names last.
    fn last_word(&mut self) -> String {
        self.says().rsplit(' ').next().unwrap().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of this test alone.
fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tensors_come_back_over_quic_tls_and_tcp() {
    let certificate = scratch("echo.pem");
    let path = certificate.to_str().unwrap();
    let mut server = Program::start(env!("CARGO_BIN_EXE_echo_server"), &[path, "0"]);
    let line = server.says();
    let words: Vec<&str> = line.split(' ').collect();
    let ["quic", quic, "tls", tls, "tcp", tcp] = words.as_slice() else { panic!("{line}") };
    for (scheme, address, transport) in [("nnrps", quic, "quic"), ("nnrps", tls, "tcp"), ("nnrp", tcp, "tcp")]
    {
        let address = format!("{scheme}://{address}");
        let said = said_by(env!("CARGO_BIN_EXE_echo_client"), &[&address, transport, path]);
        assert_eq!(said, "tile 3: left\ntile 7: right\n", "{address}");
    }
}

#[test]
fn arguments_that_are_missing_or_wrong_are_answered_with_the_right_ones() {
    for (program, arguments, why, usage) in [
        (env!("CARGO_BIN_EXE_echo_client"), &[][..], "an argument is missing", "nnrps://HOST:PORT quic|tcp"),
        (
            env!("CARGO_BIN_EXE_echo_client"),
            &["localhost:4433", "quic"],
            "it has no scheme",
            "nnrps://HOST:PORT",
        ),
        (
            env!("CARGO_BIN_EXE_echo_client"),
            &["nnrps://h:1", "udp"],
            "neither quic nor tcp",
            "nnrps://HOST:PORT",
        ),
        (env!("CARGO_BIN_EXE_echo_server"), &[], "an argument is missing", "CERTIFICATE_OUT [FIRST_PORT]"),
        (env!("CARGO_BIN_EXE_graceful_server"), &["http"], "\"http\": invalid digit", "[PORT]"),
        (env!("CARGO_BIN_EXE_token_server"), &["70000"], "\"70000\": number too large", "[PORT]"),
        (env!("CARGO_BIN_EXE_proxy"), &["1"], "an argument is missing", "UPSTREAM_PORT CERTIFICATE_OUT"),
        (
            env!("CARGO_BIN_EXE_super_resolution_client"),
            &["localhost:1"],
            "invalid socket address",
            "SMALL.pgm",
        ),
    ] {
        let output = Command::new(program).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let (first, second) = said.split_once("\nusage: ").unwrap_or_else(|| panic!("{program}: {said}"));
        assert!(first.starts_with("Error: ") && first.contains(why), "{program}: {said}");
        assert!(second.contains(usage), "{program}: {said}");
        assert!(!output.status.success());
    }
}

async fn dial(port: &str) -> ClientSession {
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    ClientSession::connect_tcp(address, ClientConfig::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_come_one_by_one_until_their_reader_leaves() {
    let mut server = Program::start(env!("CARGO_BIN_EXE_token_server"), &["0", "5"]);
    let client = dial(&server.last_word()).await;
    let prompt = |id| SubmitFrame::new(id).payload(TypedPayload::token_chunk("Tell me"));
    let mut parts = client.submit_streaming(&prompt(1)).await.unwrap();
    let mut text = String::new();
    while let Some(part) = tokio::time::timeout(PATIENCE, parts.next()).await.unwrap() {
        for payload in part.unwrap().into_result().unwrap().payloads() {
            text.push_str(std::str::from_utf8(&payload.data).unwrap());
        }
    }
    assert!(text.starts_with(" that every frame") && text.ends_with("is heard."), "{text}");
    assert_eq!(server.says(), "frame 1: 19 words");

    let mut parts = client.submit_streaming(&prompt(2)).await.unwrap();
    tokio::time::timeout(PATIENCE, parts.next()).await.unwrap().unwrap().unwrap();
    drop(parts);
    let said = server.says();
    assert!(said.starts_with("frame 2: cancelled after"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_carries_frames_results_and_drops() {
    let mut behind = Program::start(env!("CARGO_BIN_EXE_token_server"), &["0", "5"]);
    let certificate = scratch("proxy.pem");
    let path = certificate.to_str().unwrap();
    let mut proxy = Program::start(env!("CARGO_BIN_EXE_proxy"), &[&behind.last_word(), path, "0"]);
    let line = proxy.says();
    let address: SocketAddr = line.split(' ').nth(1).unwrap().parse().unwrap();
    let trust = Trust::Certificates(std::fs::read(path).unwrap());
    let dialling = ClientSession::connect_quic(address, "localhost", &trust, ClientConfig::new());
    let client = tokio::time::timeout(PATIENCE, dialling).await.unwrap().unwrap();
    assert_eq!(client.ack().metadata.max_concurrent_frames, 16, "that of the server behind");
    let mut parts = client.submit_streaming(&SubmitFrame::new(1)).await.unwrap();
    let mut words = 0;
    while let Some(part) = tokio::time::timeout(PATIENCE, parts.next()).await.unwrap() {
        words += part.unwrap().into_result().unwrap().payloads().len();
    }
    assert_eq!(words, 20);
    // Who leaves here has left there.
    let mut parts = client.submit_streaming(&SubmitFrame::new(2)).await.unwrap();
    tokio::time::timeout(PATIENCE, parts.next()).await.unwrap().unwrap().unwrap();
    drop(parts);
    assert_eq!(behind.says(), "frame 1: 19 words");
    assert!(behind.says().starts_with("frame 2: cancelled after"));
}

/// Signals are sent with the system's own program.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_end_answers_what_it_has() {
    const FRAMES: u32 = 8;
    let mut server = Program::start(env!("CARGO_BIN_EXE_graceful_server"), &["0", "300"]);
    let client = dial(&server.last_word()).await;
    for id in 1..=FRAMES {
        let section = Section::new(1, TensorDType::Uint8).tiles(["tile"]);
        client.send(&SubmitFrame::new(id).tiles([0]).section(section)).await.unwrap();
    }
    // The server has them when it answers what came behind them.
    client.ping(PATIENCE).await.unwrap();
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(server.says(), "ending");
    for _ in 1..=FRAMES {
        let reply = tokio::time::timeout(PATIENCE, client.receive()).await.unwrap().unwrap();
        assert!(matches!(reply, Reply::Result(_)), "{reply:?}");
    }
    let closed = tokio::time::timeout(PATIENCE, client.closed()).await.unwrap();
    assert_eq!(closed.0.reason, "the server is being replaced");
    assert_eq!(server.says(), "answered 8 dropped 0 refused 0");
    assert!(server.child.wait().unwrap().success());
}
