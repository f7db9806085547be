//! What hostile peers do, one function each, and how much a victim may give for it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use quinn::TransportConfig;

use crate::{Dialer, Kind, Memory, Mode, Result, Victim, failed};

mod connections;
mod control;
mod frames;
mod handshake;
mod measure;
mod streams;
mod tls;

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
    bounds: [Option<usize>; 3],
    /// How long the victim of a small attack gives a client for its hello; that of a full one, [`HELLO_TIME`].
    small_handshake: Duration,
    /// Does it.
    pub run: for<'a> fn(&'a Victim, Scale) -> Running<'a>,
}

impl Attack {
    /// Bytes the victim may allocate because of it over this transport, at most; `None` where it is not possible.
    pub fn bound(&self, kind: Kind) -> Option<usize> {
        let [tcp, tls, quic] = self.bounds;
        match kind {
            Kind::Tcp => tcp,
            Kind::Tls => tls,
            Kind::Quic => quic,
        }
    }

    fn handshake(&self, scale: Scale) -> Duration {
        match scale {
            Scale::Small => self.small_handshake,
            Scale::Full => HELLO_TIME,
        }
    }
}

/// The time a server gives a client for its hello unless it is told otherwise.
pub const HELLO_TIME: Duration = Duration::from_secs(10);

const MIB: usize = 1024 * 1024;

macro_rules! bound {
    (-) => {
        None
    };
    ($mib:literal) => {
        Some($mib * MIB)
    };
}

macro_rules! attacks {
    ($($module:ident::$name:ident: $mode:ident, [$tcp:tt $tls:tt $quic:tt], $seconds:literal;)*) => {
        /// Every attack.
        pub const ATTACKS: &[Attack] = &[$(Attack {
            name: stringify!($name),
            mode: Mode::$mode,
            bounds: [bound!($tcp), bound!($tls), bound!($quic)],
            small_handshake: Duration::from_secs($seconds),
            run: |victim, scale| Box::pin($module::$name(victim, scale)),
        }),*];
    };
}

// The application; MiB over TCP, TLS, QUIC; seconds for the hello in a small attack.
//
// Each bound is what a full attack costs on that transport (docs/limits.md) and about a third more, a MiB at least: allocators
// and timing differ a little from machine to machine. Where it is large:
// - 1000 clients that say nothing are 1000 sockets; with TLS each has the buffers of its handshake, on QUIC a connection.
// - On QUIC a control stream may be 8 MiB ahead of its reader, which quinn keeps in pieces at half as much again.
// - What nobody takes is 4 MiB of control packets, or eight bodies of 32 MiB in buffers a quarter larger than 1 MiB; a QUIC
//   connection holds its window of 32 MiB beside them.
// - Frames that come faster than they are refused or answered fill that window, in pieces likewise.
// - Results nobody reads are 4 MiB, and what QUIC has sent and not had acknowledged.
attacks! {
    handshake::hello_that_never_ends: Echo, [18 26 54], 1;
    handshake::hello_of_four_gigabytes: Echo, [1 1 1], 10;
    handshake::hello_with_too_many_extensions: Echo, [1 1 2], 10;
    handshake::frames_before_the_hello: Echo, [1 1 1], 10;
    handshake::everybody_silent: Echo, [20 26 54], 1;
    handshake::garbage_instead_of_a_hello: Echo, [1 1 4], 10;
    tls::tls_hello_that_never_ends: Echo, [- 26 -], 1;
    tls::tls_hello_of_sixteen_megabytes: Echo, [- 1 -], 10;
    tls::garbage_instead_of_tls: Echo, [- 1 -], 10;
    tls::new_keys_without_end: Echo, [- 1 -], 10;
    connections::churn: Echo, [1 1 9], 10;
    connections::half_open: Echo, [18 26 7], 1;
    connections::goodbye_first: Echo, [- - 7], 10;
    connections::garbage_on_the_udp_port: Echo, [- - 1], 10;
    control::bodies_of_four_gigabytes: Echo, [1 1 18], 10;
    control::a_million_pings: Echo, [1 1 18], 10;
    control::unknown_types: Echo, [1 1 18], 10;
    control::duplicate_hello: Echo, [1 1 18], 10;
    control::cache_flood: Echo, [9 9 9], 10;
    control::questions_without_reading_answers: Echo, [1 1 18], 10;
    control::control_nobody_reads: Deaf, [7 7 23], 10;
    control::packets_on_a_raw_connection: Raw, [7 7 23], 10;
    frames::session_id_spoofing: Echo, [1 1 4], 10;
    frames::flood_beyond_the_inbox: Deaf, [2 2 4], 10;
    frames::big_frames_beyond_the_inbox: Deaf, [350 350 392], 10;
    frames::results_nobody_reads: Lavish, [7 7 34], 10;
    frames::slow_reader_after_goodbye: Lavish, [6 6 -], 10;
    frames::tiles_by_the_bit: Echo, [19 19 24], 10;
    frames::counts_of_65535: Echo, [14 14 66], 10;
    frames::one_byte_at_a_time: Echo, [5 7 27], 10;
    streams::ten_thousand_streams: Deaf, [- - 4], 10;
    streams::streams_that_declare_and_send_nothing: Deaf, [- - 7], 10;
    streams::resets_mid_body: Echo, [- - 2], 10;
    streams::results_stopped: Echo, [- - 3], 10;
    streams::second_control_streams: Echo, [- - 1], 10;
    streams::garbage_datagrams: Echo, [- - 2], 10;
    streams::control_stopped: Echo, [- - 6], 10;
    streams::no_credit_for_results: Lavish, [- - 8], 10;
    streams::goodbye_without_credit: Lavish, [- - 3], 10;
    streams::no_credit_for_drops: Echo, [- - 2], 10;
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
    let Some(bound) = attack.bound(kind) else {
        return failed(format!("{} is not possible over {}", attack.name, kind.name()));
    };
    let victim = Victim::start(program, kind, attack.mode, attack.handshake(scale)).await?;
    if attack.mode == Mode::Echo || attack.mode == Mode::Lavish {
        // What exists once only is there before anything is counted.
        victim.serves().await?;
        victim.until("the good client's end", |memory| memory.sessions == 0 && memory.tasks <= 6).await?;
    }
    let before = victim.reset_peak().await?;
    (attack.run)(&victim, scale).await?;
    let during = victim.memory().await?;
    let cost = Cost { before, during, after: during };
    if cost.peak() > bound {
        return failed(format!("the victim allocated {} bytes, more than {bound}", cost.peak()));
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
