//! Every server and its client do their work, over every transport: nothing is said about how fast.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// More than any of these needs on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends with the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str], certificates: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nnrp-bench"));
    command.args(arguments).arg("--certificates").arg(certificates).stdout(Stdio::piped());
    command
}

/// Starts a server and returns its port.
fn serve(kind: &str, transport: &str, more: &[&str], certificates: &Path) -> (Server, String) {
    let arguments = [&["serve", "--kind", kind, "--transport", transport], more].concat();
    let mut server = program(&arguments, certificates).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Server(server), line.chars().filter(char::is_ascii_digit).collect())
}

/// Lets a client measure for a moment; what it printed.
fn load(kind: &str, transport: &str, port: &str, more: &[&str], certificates: &Path) -> String {
    let fixed = [
        "load",
        "--kind",
        kind,
        "--transport",
        transport,
        "--port",
        port,
        "--seconds=0.05",
        "--warm-up=0.02",
    ];
    let mut client = program(&[&fixed, more].concat(), certificates).spawn().unwrap();
    let (ended, end) = mpsc::channel();
    let mut output = client.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut said = String::new();
        let read = output.read_to_string(&mut said);
        let _ = ended.send(read.map(|_| said));
    });
    let said = end.recv_timeout(LIMIT);
    if said.is_err() {
        let _ = client.kill();
    }
    let status = client.wait().unwrap();
    assert!(said.is_ok(), "{kind} over {transport} {more:?}: no end after {LIMIT:?}");
    let said = said.unwrap().unwrap();
    assert!(status.success(), "{kind} over {transport}: {said}");
    said
}

fn certificates(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let made =
        Command::new(env!("CARGO_BIN_EXE_nnrp-bench")).arg("certificate").arg(&folder).status().unwrap();
    assert!(made.success());
    folder
}

#[test]
fn every_client_measures_its_server() {
    let certificates = certificates("measured");
    for kind in ["floor", "ours"] {
        for transport in ["tcp", "tls", "quic"] {
            let (_server, port) = serve(kind, transport, &[], &certificates);
            for more in [
                &["--size=64"][..],
                &["--size=65536", "--in-flight=8"],
                &["--size=64", "--in-flight=4", "--sessions=3"],
                &["--size=64", "--background-size=1000000"],
            ] {
                let said = load(kind, transport, &port, more, &certificates);
                let lines: Vec<&str> = said.lines().collect();
                assert_eq!(
                    lines[..2],
                    ["{\"mark\": \"begin\"}", "{\"mark\": \"end\"}"],
                    "{kind} over {transport}"
                );
                assert!(lines[2].starts_with("{\"frames\": ") && lines[2].contains("\"p99_us\": "), "{said}");
            }
        }
    }
}

#[test]
fn a_server_that_holds_frames_answers_them_together() {
    let certificates = certificates("held");
    let (_server, port) = serve("ours", "tcp", &["--hold=4"], &certificates);
    // The last frames are often fewer than four, and are not answered: whether they are is different from time to time.
    for _ in 0..8 {
        let said = load("ours", "tcp", &port, &["--size=64", "--in-flight=4"], &certificates);
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}
