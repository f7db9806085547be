//! The server under attack, as its attackers see it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nnrp::wire::{Section, SubmitFrame, TensorDType, TransportId};
use nnrp::{ClientConfig, ClientSession, Reply, Trust, clock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::{Result, failed};

/// Which binding is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain TCP.
    Tcp,
    /// TCP with TLS.
    Tls,
    /// QUIC.
    Quic,
}

impl Kind {
    /// Every one.
    pub const ALL: [Kind; 3] = [Kind::Tcp, Kind::Tls, Kind::Quic];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Tls => "tls",
            Kind::Quic => "quic",
        }
    }
}

/// What the application of the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers each frame with its own sections.
    Echo,
    /// Answers each frame with a megabyte.
    Lavish,
    /// Admits everybody and reads nothing.
    Deaf,
    /// Accepts connections without a session and reads nothing.
    Raw,
}

impl Mode {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Echo => "echo",
            Mode::Lavish => "lavish",
            Mode::Deaf => "deaf",
            Mode::Raw => "raw",
        }
    }
}

/// What a victim holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes allocated.
    pub held: usize,
    /// The most that ever was since the last reset.
    pub peak: usize,
    /// Bytes of physical memory.
    pub resident: usize,
    /// Open files.
    pub files: usize,
    /// Tasks of the runtime.
    pub tasks: usize,
    /// Sessions of the application.
    pub sessions: usize,
}

/// A server in a process of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Victim {
    /// Which binding it serves.
    pub kind: Kind,
    /// How long it gives a client for its hello.
    pub handshake: Duration,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, PEM.
    pub certificate: Vec<u8>,
    talk: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    _process: Child,
}

/// A good client gets its answer within this time, attack or not.
const PATIENCE: Duration = Duration::from_secs(20);

impl Victim {
    /// Starts `program serve KIND MODE MILLISECONDS`.
    ///
    /// # Errors
    ///
    /// When the process cannot be started or does not say where it listens.
    pub async fn start(program: &Path, kind: Kind, mode: Mode, handshake: Duration) -> Result<Victim> {
        let mut process = Command::new(program)
            .args(["serve", kind.name(), mode.name(), &handshake.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return failed("the victim has no pipes");
        };
        let mut lines = BufReader::new(output).lines();
        let first = lines.next_line().await?.unwrap_or_default();
        let Some((address, certificate)) = first.split_once(' ') else {
            return failed(format!("the victim said {first:?}"));
        };
        let certificate: Vec<u8> = (0..certificate.len() / 2)
            .filter_map(|at| u8::from_str_radix(certificate.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        let address = address.parse()?;
        Ok(Victim {
            kind,
            handshake,
            address,
            certificate,
            talk: Mutex::new((input, lines)),
            _process: process,
        })
    }

    async fn ask(&self, question: &str) -> Result<Memory> {
        let mut talk = self.talk.lock().await;
        talk.0.write_all(format!("{question}\n").as_bytes()).await?;
        let answer = talk.1.next_line().await?.ok_or("the victim has died")?;
        let numbers: Vec<usize> = answer.split(' ').filter_map(|number| number.parse().ok()).collect();
        match numbers.as_slice() {
            &[held, peak, resident, files, tasks, sessions] => {
                Ok(Memory { held, peak, resident, files, tasks, sessions })
            }
            _ => failed(format!("the victim said {answer:?}")),
        }
    }

    /// What it holds now.
    ///
    /// # Errors
    ///
    /// When it has died.
    pub async fn memory(&self) -> Result<Memory> {
        self.ask("memory").await
    }

    /// The same, and the peak starts again.
    ///
    /// # Errors
    ///
    /// When it has died.
    pub async fn reset_peak(&self) -> Result<Memory> {
        self.ask("reset").await
    }

    /// Its application lets go of every session that it does not read.
    ///
    /// # Errors
    ///
    /// When it has died.
    pub async fn leave(&self) -> Result<Memory> {
        self.ask("leave").await
    }

    /// Waits until `enough` is true of what it holds.
    ///
    /// # Errors
    ///
    /// When it never is.
    pub async fn until(&self, what: &str, enough: impl Fn(&Memory) -> bool) -> Result<Memory> {
        let until = clock::now() + PATIENCE;
        loop {
            let memory = self.memory().await?;
            if enough(&memory) {
                return Ok(memory);
            }
            if clock::now() > until {
                return failed(format!("{what}: not within {PATIENCE:?}: {memory:?}"));
            }
            clock::sleep_until(Some(clock::now() + Duration::from_millis(20))).await;
        }
    }

    /// A good client.
    ///
    /// # Errors
    ///
    /// When it is not admitted.
    pub async fn client(&self) -> Result<ClientSession> {
        let config = ClientConfig::new();
        let trust = Trust::Certificates(self.certificate.clone());
        Ok(match self.kind {
            Kind::Tcp => ClientSession::connect_tcp(self.address, config).await?,
            Kind::Tls => {
                let address = format!("nnrps://localhost:{}", self.address.port()).parse()?;
                ClientSession::connect(&address, TransportId::Tcp, &trust, config).await?
            }
            Kind::Quic => ClientSession::connect_quic(self.address, "localhost", &trust, config).await?,
        })
    }

    /// A good client comes, gets an answer to a frame, and leaves.
    ///
    /// # Errors
    ///
    /// When it does not get one in time.
    pub async fn serves(&self) -> Result<()> {
        let visit = async {
            let client = self.client().await?;
            let frame = SubmitFrame {
                tile_ids: vec![5],
                sections: vec![Section::new(1, TensorDType::Uint8).tiles(["witness"])],
                ..SubmitFrame::new(1)
            };
            let Reply::Result(_) = client.submit(&frame).await? else { return failed("the frame failed") };
            client.close("").await;
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, visit).await {
            Ok(visited) => visited,
            Err(_) => failed("a good client got no answer"),
        }
    }
}
