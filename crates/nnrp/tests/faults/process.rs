//! A server in a process of its own, for what can only happen to processes.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use nnrp::{Identity, Listener, ServerConfig, Trust, development_certificate};
use nnrp_testkit::campaign::{from_hex, to_hex};

/// Tells the process which transport to serve.
const SERVE: &str = "NNRP_TEST_SERVE";

/// Not a test: the server, in a process of its own. It takes frames and answers none.
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
pub(crate) struct Server {
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
    pub(crate) fn start(transport: &str) -> (Self, SocketAddr, Trust) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::process::server_process", "--nocapture"])
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

    /// Sends it a signal by the name that `kill` has for it.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {name}: {sent}");
    }

    /// What follows the next line that begins with `word`.
    pub(crate) fn says(&mut self, word: &str) -> Vec<String> {
        loop {
            let line = self.lines.next().expect("the server process ended").unwrap();
            let mut words = line.split_whitespace().map(str::to_owned);
            if words.next().as_deref() == Some(word) {
                return words.collect();
            }
        }
    }
}
