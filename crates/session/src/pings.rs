//! PINGs a side sends by itself: when the next one is due, and which answers are theirs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::{EncodedPacket, Header, MessageType, Packet};

use crate::limits::WAITING_SHARE;

/// `trace_id` of our own PINGs: "nnrp" and a counter, so that an answer is told from the answer to the
/// application's.
const KEEPALIVE_TRACE: u64 = 0x6e6e_7270_0000_0000;

/// Asks in an interval whether the peer is there, and more often while somebody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    /// A share of the interval: how often it is looked whether anybody waits.
    every: Option<Duration>,
    next: Option<Instant>,
    /// Looks until the next PING that is due in any case.
    idle_looks: u32,
    /// The first look at which somebody waited, of all until now.
    waiting_since: Option<Instant>,
    sent: u32,
}

/// Time in which nobody looked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overslept {
    pub(crate) by: Duration,
    /// When a question that is asked now has been answered, by a peer that is there.
    pub(crate) answered_by: Instant,
}

impl Pings {
    /// Begins to ask; `None` never asks.
    pub(crate) fn start(&mut self, now: Instant, interval: Option<Duration>) {
        self.every = interval.map(|interval| interval / WAITING_SHARE);
        self.next = self.every.map(|every| now + every);
        self.idle_looks = WAITING_SHARE - 1;
    }

    /// Begins to ask at once: only a peer that has answered can be missed, and it may be gone before the first interval
    /// is over.
    pub(crate) fn start_now(&mut self, now: Instant, interval: Option<Duration>) {
        self.start(now, interval);
        self.start_again(now, |since| since);
    }

    /// When to look next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Since when somebody waits, as far as was looked.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// This process stood still, or its machine did: a look that was due has been left out.
    pub(crate) fn overslept(&self, now: Instant) -> Option<Overslept> {
        let (every, due) = self.every.zip(self.next)?;
        // An interval may be longer than any clock can tell.
        let by = now.saturating_duration_since(due);
        (by >= every).then(|| Overslept { by, answered_by: now + every })
    }

    /// Asks at once. Who waits has done so since another time.
    pub(crate) fn start_again(&mut self, now: Instant, since: impl FnOnce(Instant) -> Instant) {
        self.next = self.every.map(|_| now);
        self.idle_looks = 0;
        self.waiting_since = self.waiting_since.map(since);
    }

    /// The PING that is due, if one is: in each interval, and at each look at which somebody is `waiting`.
    pub(crate) fn due(&mut self, now: Instant, session_id: u32, waiting: bool) -> Option<EncodedPacket> {
        let every = self.every.filter(|_| self.next.is_some_and(|at| at <= now))?;
        self.next = Some(now + every);
        self.waiting_since = waiting.then(|| self.waiting_since.unwrap_or(now));
        if self.idle_looks > 0 && !waiting {
            self.idle_looks -= 1;
            return None;
        }
        self.idle_looks = WAITING_SHARE - 1;
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
