//! What a server or a client is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// Who decides how much may be under way on a QUIC connection of the floor: quinn's three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Congestion {
    /// What quinn takes without being told.
    Cubic,
    Bbr,
    NewReno,
}

/// The options of a command; what a command has no use for keeps its default.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) transport: Transport,
    /// Where the server listens; port 0 picks a free one.
    pub(crate) address: SocketAddr,
    /// Payload bytes of a frame, and of its result.
    pub(crate) size: usize,
    /// Frames without an answer, in each session.
    pub(crate) in_flight: usize,
    pub(crate) sessions: usize,
    /// Payload bytes of the frames that one more session moves meanwhile, without being measured; 0: there is none.
    pub(crate) background_size: usize,
    /// Payload bytes of the frames that the measured sessions of ours move besides, without those being measured; 0: none.
    pub(crate) beside_size: usize,
    /// Frames a server of ours takes before it answers them all; 0 or 1: each is answered at once.
    pub(crate) hold: usize,
    /// How long to measure, after `warm_up`.
    pub(crate) seconds: Duration,
    pub(crate) warm_up: Duration,
    /// Where [`crate::certificates::write`] put its files.
    pub(crate) certificates: PathBuf,
    pub(crate) congestion: Congestion,
    /// Threads that run tasks.
    pub(crate) threads: usize,
}

/// Frames in flight of what is not measured: always one on its way.
pub(crate) const BACKGROUND_IN_FLIGHT: usize = 2;

impl Options {
    /// Reads `--name value` and `--name=value`.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut options = Options {
            kind: Kind::Ours,
            transport: Transport::Tcp,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            size: 64,
            in_flight: 1,
            sessions: 1,
            background_size: 0,
            beside_size: 0,
            hold: 1,
            seconds: Duration::from_secs(1),
            warm_up: Duration::from_millis(200),
            certificates: PathBuf::from("build/bench/certificates"),
            congestion: Congestion::Cubic,
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
                "--host" => options.address.set_ip(value.parse::<IpAddr>()?),
                "--port" => options.address.set_port(value.parse()?),
                "--size" => options.size = value.parse()?,
                "--in-flight" => options.in_flight = value.parse::<usize>()?.max(1),
                "--sessions" => options.sessions = value.parse::<usize>()?.max(1),
                "--background-size" => options.background_size = value.parse()?,
                "--beside-size" => options.beside_size = value.parse()?,
                "--hold" => options.hold = value.parse()?,
                "--seconds" => options.seconds = Duration::try_from_secs_f64(value.parse()?)?,
                "--warm-up" => options.warm_up = Duration::try_from_secs_f64(value.parse()?)?,
                "--certificates" => options.certificates = value.into(),
                "--congestion" => options.congestion = congestion(&value)?,
                "--threads" => options.threads = value.parse()?,
                _ => return Err(format!("no such option: {name}").into()),
            }
        }
        Ok(options)
    }

    /// What the session in the background does; `None` when there is none.
    pub(crate) fn background(&self) -> Option<Options> {
        let frames = Options {
            size: self.background_size,
            in_flight: BACKGROUND_IN_FLIGHT,
            beside_size: 0,
            ..self.clone()
        };
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

fn congestion(value: &str) -> Result<Congestion, Error> {
    match value {
        "cubic" => Ok(Congestion::Cubic),
        "bbr" => Ok(Congestion::Bbr),
        "newreno" => Ok(Congestion::NewReno),
        _ => Err(format!("--congestion is cubic, bbr or newreno, not {value:?}").into()),
    }
}
