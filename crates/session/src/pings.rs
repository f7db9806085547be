//! PINGs a side sends by itself: when the next one is due, and which answers are theirs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::{EncodedPacket, Header, MessageType, Packet};

/// `trace_id` of our own PINGs: "nnrp" and a counter, so that an answer is told from the answer to the
/// application's.
const KEEPALIVE_TRACE: u64 = 0x6e6e_7270_0000_0000;

/// Asks in an interval whether the peer is there.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    every: Option<Duration>,
    next: Option<Instant>,
    sent: u32,
}

impl Pings {
    /// Begins to ask; `None` never asks.
    pub(crate) fn start(&mut self, now: Instant, every: Option<Duration>) {
        self.every = every;
        self.next = every.map(|every| now + every);
    }

    /// Begins to ask at once: only a peer that has answered can be missed, and it may be gone before the first interval
    /// is over.
    pub(crate) fn start_now(&mut self, now: Instant, every: Option<Duration>) {
        self.every = every;
        self.next = every.map(|_| now);
    }

    /// When to ask next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// The PING that is due, if one is.
    pub(crate) fn due(&mut self, now: Instant, session_id: u32) -> Option<EncodedPacket> {
        let every = self.every.filter(|_| self.next.is_some_and(|at| at <= now))?;
        self.next = Some(now + every);
        self.sent = self.sent.wrapping_add(1);
        let mut header = Header::new(MessageType::Ping);
        header.session_id = session_id;
        header.trace_id = KEEPALIVE_TRACE | u64::from(self.sent);
        Some(Packet::build(header, Bytes::new(), Bytes::new()).encode())
    }

    /// Whether a PONG answers one of these PINGs, and is of no interest to the application.
    pub(crate) fn answered_by(&self, pong: &Header) -> bool {
        pong.trace_id & !0xFFFF_FFFF == KEEPALIVE_TRACE
    }
}
