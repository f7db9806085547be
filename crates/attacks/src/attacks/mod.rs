//! What hostile peers do, one function each, and how much a victim may give for it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use quinn::TransportConfig;

use crate::raw::Dialer;
use crate::{Kind, Memory, Mode, Result, Victim, failed};

mod connections;
mod control;
mod frames;
mod handshake;
mod measure;
mod streams;

pub use measure::{Idle, idle, report};

/// How much of an attack is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As much as shows the effect: for tests.
    Small,
    /// Everything.
    Full,
}

impl Scale {
    /// `full`, or a tenth of it.
    pub fn of(self, full: usize) -> usize {
        match self {
            Scale::Small => full / 10,
            Scale::Full => full,
        }
    }
}

/// A future of an attack.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Something a hostile peer does.
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// What the victim's application does meanwhile.
    pub mode: Mode,
    /// Where it is possible.
    pub over: &'static [Kind],
    /// Bytes the victim may allocate because of it, at most.
    pub peak: usize,
    /// How long the victim gives a client for its hello.
    pub handshake: Duration,
    /// Does it.
    pub run: for<'a> fn(&'a Victim, Scale) -> Running<'a>,
}

const BOTH: &[Kind] = &[Kind::Tcp, Kind::Quic];
const TCP: &[Kind] = &[Kind::Tcp];
const QUIC: &[Kind] = &[Kind::Quic];
const MIB: usize = 1024 * 1024;

macro_rules! attacks {
    ($($module:ident::$name:ident: $mode:ident, $over:ident, $peak:expr, $handshake:literal ms;)*) => {
        /// Every attack.
        pub const ATTACKS: &[Attack] = &[$(Attack {
            name: stringify!($name),
            mode: Mode::$mode,
            over: $over,
            peak: $peak,
            handshake: Duration::from_millis($handshake),
            run: |victim, scale| Box::pin($module::$name(victim, scale)),
        }),*];
    };
}

// On QUIC a stream may be 8 MiB and a connection 32 MiB ahead of its reader, and quinn keeps what has arrived in pieces.
attacks! {
    handshake::hello_that_never_ends: Echo, BOTH, 24 * MIB, 1000 ms;
    handshake::hello_of_four_gigabytes: Echo, BOTH, 2 * MIB, 10000 ms;
    handshake::hello_with_too_many_extensions: Echo, BOTH, 2 * MIB, 10000 ms;
    handshake::frames_before_the_hello: Echo, BOTH, 4 * MIB, 10000 ms;
    handshake::everybody_silent: Echo, BOTH, 200 * MIB, 1000 ms;
    handshake::garbage_instead_of_a_hello: Echo, BOTH, 8 * MIB, 10000 ms;
    connections::churn: Echo, BOTH, 8 * MIB, 10000 ms;
    connections::half_open: Echo, BOTH, 64 * MIB, 1000 ms;
    connections::goodbye_first: Echo, QUIC, 24 * MIB, 10000 ms;
    connections::garbage_on_the_udp_port: Echo, QUIC, 4 * MIB, 10000 ms;
    control::bodies_of_four_gigabytes: Echo, BOTH, 16 * MIB, 10000 ms;
    control::a_million_pings: Echo, BOTH, 16 * MIB, 10000 ms;
    control::unknown_types: Echo, BOTH, 16 * MIB, 10000 ms;
    control::duplicate_hello: Echo, BOTH, 16 * MIB, 10000 ms;
    control::cache_flood: Echo, BOTH, 24 * MIB, 10000 ms;
    control::questions_without_reading_answers: Echo, BOTH, 24 * MIB, 10000 ms;
    control::control_nobody_reads: Deaf, BOTH, 24 * MIB, 10000 ms;
    control::packets_on_a_raw_connection: Raw, BOTH, 24 * MIB, 10000 ms;
    frames::session_id_spoofing: Echo, BOTH, 16 * MIB, 10000 ms;
    frames::flood_beyond_the_inbox: Deaf, BOTH, 16 * MIB, 10000 ms;
    frames::big_frames_beyond_the_inbox: Deaf, BOTH, 360 * MIB, 10000 ms;
    frames::results_nobody_reads: Lavish, BOTH, 80 * MIB, 10000 ms;
    frames::slow_reader_after_goodbye: Lavish, TCP, 80 * MIB, 10000 ms;
    frames::tiles_by_the_bit: Echo, BOTH, 24 * MIB, 10000 ms;
    frames::counts_of_65535: Echo, BOTH, 64 * MIB, 10000 ms;
    frames::one_byte_at_a_time: Echo, BOTH, 16 * MIB, 10000 ms;
    streams::ten_thousand_streams: Deaf, QUIC, 24 * MIB, 10000 ms;
    streams::streams_that_declare_and_send_nothing: Deaf, QUIC, 24 * MIB, 10000 ms;
    streams::resets_mid_body: Echo, QUIC, 12 * MIB, 10000 ms;
    streams::results_stopped: Echo, QUIC, 12 * MIB, 10000 ms;
    streams::second_control_streams: Echo, QUIC, 4 * MIB, 10000 ms;
    streams::garbage_datagrams: Echo, QUIC, 4 * MIB, 10000 ms;
    streams::control_stopped: Echo, QUIC, 4 * MIB, 10000 ms;
    streams::no_credit_for_results: Lavish, QUIC, 80 * MIB, 10000 ms;
    streams::goodbye_without_credit: Lavish, QUIC, 16 * MIB, 10000 ms;
    streams::no_credit_for_drops: Echo, QUIC, 12 * MIB, 10000 ms;
}

/// What an attack did to its victim.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Before.
    pub before: Memory,
    /// At the end of the attack.
    pub during: Memory,
    /// After the attacker had left.
    pub after: Memory,
}

impl Cost {
    /// Bytes allocated at most beyond those before.
    pub fn peak(&self) -> usize {
        self.during.peak.saturating_sub(self.before.held)
    }
}

/// Starts a victim, attacks it, and checks that it serves a good client, held no more than it may, and has forgotten its
/// attacker afterwards.
///
/// # Errors
///
/// What the victim did wrong.
pub async fn carry_out(program: &Path, attack: &Attack, kind: Kind, scale: Scale) -> Result<Cost> {
    let victim = Victim::start(program, kind, attack.mode, attack.handshake).await?;
    if attack.mode == Mode::Echo || attack.mode == Mode::Lavish {
        // What exists once only is there before anything is counted.
        victim.serves().await?;
        victim.until("the good client's end", |memory| memory.sessions == 0 && memory.tasks <= 6).await?;
    }
    let before = victim.reset_peak().await?;
    (attack.run)(&victim, scale).await?;
    let during = victim.memory().await?;
    let cost = Cost { before, during, after: during };
    if cost.peak() > attack.peak {
        return failed(format!("the victim allocated {} bytes, more than {}", cost.peak(), attack.peak));
    }
    victim.leave().await?;
    if attack.name == "goodbye_first" {
        // The transport keeps what is left of such connections for its idle timeout of two minutes.
        victim.serves().await?;
        return Ok(cost);
    }
    let after = victim
        .until("the attacker forgotten", |memory| {
            memory.sessions == 0 && memory.tasks <= before.tasks && memory.files <= before.files
        })
        .await?;
    if attack.mode == Mode::Echo || attack.mode == Mode::Lavish {
        victim.serves().await?;
    }
    Ok(Cost { after, ..cost })
}

/// A dialer with a client's usual settings.
fn dialer(victim: &Victim) -> Result<Dialer> {
    Dialer::new(victim, TransportConfig::default())
}
