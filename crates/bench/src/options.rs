//! What a server or a client is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// Whose protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// NNRP/1, by the `nnrp` crate.
    Ours,
    /// The least that could do the same work.
    Floor,
}

/// What it is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Plain TCP.
    Tcp,
    /// TCP with TLS.
    Tls,
    /// QUIC.
    Quic,
}

/// The options of a command; what a command has no use for keeps its default.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) transport: Transport,
    /// Where the server listens; 0 picks a free port.
    pub(crate) port: u16,
    /// Payload bytes of a frame, and of its result.
    pub(crate) size: usize,
    /// Frames without an answer, in each session.
    pub(crate) in_flight: usize,
    pub(crate) sessions: usize,
    /// Payload bytes of the frames that one more session moves meanwhile, without being measured; 0: there is none.
    pub(crate) background_size: usize,
    /// Frames a server of ours takes before it answers them all; 0 or 1: each is answered at once.
    pub(crate) hold: usize,
    /// How long to measure, after `warm_up`.
    pub(crate) seconds: Duration,
    pub(crate) warm_up: Duration,
    /// Where [`crate::certificates::write`] put its files.
    pub(crate) certificates: PathBuf,
    /// Threads that run tasks.
    pub(crate) threads: usize,
}

/// Frames in flight of the session in the background: always one on its way.
const BACKGROUND_IN_FLIGHT: usize = 2;

impl Options {
    /// Reads `--name value` and `--name=value`.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut options = Options {
            kind: Kind::Ours,
            transport: Transport::Tcp,
            port: 0,
            size: 64,
            in_flight: 1,
            sessions: 1,
            background_size: 0,
            hold: 1,
            seconds: Duration::from_secs(1),
            warm_up: Duration::from_millis(200),
            certificates: PathBuf::from("build/bench/certificates"),
            threads: 1,
        };
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
                    (argument, value)
                }
            };
            match name.as_str() {
                "--kind" => options.kind = kind(&value)?,
                "--transport" => options.transport = transport(&value)?,
                "--port" => options.port = value.parse()?,
                "--size" => options.size = value.parse()?,
                "--in-flight" => options.in_flight = value.parse::<usize>()?.max(1),
                "--sessions" => options.sessions = value.parse::<usize>()?.max(1),
                "--background-size" => options.background_size = value.parse()?,
                "--hold" => options.hold = value.parse()?,
                "--seconds" => options.seconds = Duration::try_from_secs_f64(value.parse()?)?,
                "--warm-up" => options.warm_up = Duration::try_from_secs_f64(value.parse()?)?,
                "--certificates" => options.certificates = value.into(),
                "--threads" => options.threads = value.parse()?,
                _ => return Err(format!("no such option: {name}").into()),
            }
        }
        Ok(options)
    }

    /// What the session in the background does; `None` when there is none.
    pub(crate) fn background(&self) -> Option<Options> {
        let frames = Options { size: self.background_size, in_flight: BACKGROUND_IN_FLIGHT, ..self.clone() };
        (self.background_size > 0).then_some(frames)
    }
}

fn kind(value: &str) -> Result<Kind, Error> {
    match value {
        "ours" => Ok(Kind::Ours),
        "floor" => Ok(Kind::Floor),
        _ => Err(format!("--kind is ours or floor, not {value:?}").into()),
    }
}

fn transport(value: &str) -> Result<Transport, Error> {
    match value {
        "tcp" => Ok(Transport::Tcp),
        "tls" => Ok(Transport::Tls),
        "quic" => Ok(Transport::Quic),
        _ => Err(format!("--transport is tcp, tls or quic, not {value:?}").into()),
    }
}
