//! A network between two machines in virtual time. What happens to the bytes on their way comes from a seed: they are
//! delayed, cut anywhere, repeated after a loss, they overtake each other where the transport allows it, and the
//! connection may break in the middle of a packet.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_session::{Side, TransportEnd};

use crate::random::Random;

/// Silence after which a transport gives a connection up that the network swallowed. Longer than the client's own
/// patience with a server, so that both ways of noticing are met.
pub const SILENCE_NOTICED: Duration = Duration::from_secs(60);

/// How often in a row the same segment may get lost: with it, how far apart the lanes of one connection can drift has
/// a bound.
const MAX_LOSSES: usize = 3;

/// What kind of transport the link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One ordered byte stream, as TCP.
    Stream,
    /// Independent ordered lanes, and datagrams that may be lost, as QUIC.
    Lanes,
}

/// Which way bytes travel inside a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    /// The control stream; on a [`LinkKind::Stream`] everything.
    Control,
    /// A unidirectional stream with this id.
    Frame(u64),
    /// Datagrams: unordered, and lost without repetition.
    Datagram,
}

/// The weather.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Time every byte needs.
    pub delay: Duration,
    /// Additional time, up to this much, at random for every segment.
    pub jitter: Duration,
    /// Segments lost, in percent. What is ordered is sent again after `repeat`.
    pub loss_percent: u64,
    /// When a loss is noticed and the segment sent again.
    pub repeat: Duration,
    /// Largest segment in bytes: what is sent is cut at random into segments up to this size.
    pub segment: usize,
    /// Bytes that may be under way in one direction before the sender has to wait.
    pub window: usize,
}

/// What reaches an end of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Bytes, in order within their path.
    Bytes(Path, Bytes),
    /// Nothing more comes on this path.
    End(Path),
    /// The peer's transport has everything that was sent on this path ([`LinkKind::Lanes`] only).
    Acknowledged(Path),
    /// The connection is over.
    Closed(TransportEnd),
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both ends are told at once; what is under way is lost.
    Reset,
    /// So many more bytes of one side get through, then both ends are told.
    After(Side, usize),
    /// Everything is swallowed from now on; the transports notice after [`SILENCE_NOTICED`].
    Silence,
}

#[derive(Debug, Default)]
struct Direction {
    in_flight: usize,
    /// When the last byte of each path arrives: the next may not be earlier.
    tails: HashMap<Path, Instant>,
    stalled_until: Option<Instant>,
    /// Bytes that still get through before the connection breaks.
    remaining: Option<usize>,
}

/// The link. Both ends give it bytes with [`SimulatedLink::send`]; whoever moves the clock asks [`SimulatedLink::next`]
/// and passes on what [`SimulatedLink::deliver`] returns.
#[derive(Debug)]
pub struct SimulatedLink {
    kind: LinkKind,
    conditions: Conditions,
    random: Random,
    from_client: Direction,
    from_server: Direction,
    /// What arrives when, and at which side.
    arrivals: BTreeMap<(Instant, u64), (Side, Delivery)>,
    number: u64,
    broken: bool,
    closed: bool,
}

impl SimulatedLink {
    /// A link whose every accident follows from `seed`.
    pub fn new(kind: LinkKind, conditions: Conditions, seed: u64) -> Self {
        SimulatedLink {
            kind,
            conditions,
            random: Random::new(seed),
            from_client: Direction::default(),
            from_server: Direction::default(),
            arrivals: BTreeMap::new(),
            number: 0,
            broken: false,
            closed: false,
        }
    }

    /// What it carries.
    pub fn kind(&self) -> LinkKind {
        self.kind
    }

    /// Whether it was broken; an end in order does not count.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether `from` may send at all: not too much is under way.
    pub fn has_room(&self, from: Side) -> bool {
        self.broken || self.direction(from).in_flight < self.conditions.window
    }

    /// Sends bytes on a path, and its end behind them when `end` is set.
    pub fn send(&mut self, now: Instant, from: Side, path: Path, bytes: &Bytes, end: bool) {
        if path == Path::Datagram {
            return self.send_datagram(now, from, bytes);
        }
        let allowed = match self.direction(from).remaining {
            Some(remaining) => remaining.min(bytes.len()),
            None => bytes.len(),
        };
        let mut rest = bytes.slice(..allowed);
        while !rest.is_empty() && !self.broken {
            let cut = 1 + self.random.below(self.conditions.segment as u64);
            let segment = rest.split_to(usize::try_from(cut).unwrap_or(usize::MAX).min(rest.len()));
            let at = self.in_order(now, from, path);
            self.direction_mut(from).in_flight += segment.len();
            self.schedule(at, peer_of(from), Delivery::Bytes(path, segment));
        }
        if let Some(remaining) = &mut self.direction_mut(from).remaining {
            *remaining -= allowed;
            if allowed < bytes.len() {
                let at = self.in_order(now, from, path);
                return self.break_at(at, "reset in the middle of a packet");
            }
        }
        if end && !self.broken {
            let at = self.in_order(now, from, path);
            self.schedule(at, peer_of(from), Delivery::End(path));
            if self.kind == LinkKind::Lanes {
                let back = at + self.travel(now, peer_of(from)).saturating_duration_since(now);
                self.schedule(back, from, Delivery::Acknowledged(path));
            }
        }
    }

    fn send_datagram(&mut self, now: Instant, from: Side, bytes: &Bytes) {
        let lost = self.random.chance(self.conditions.loss_percent);
        let at = self.travel(now, from);
        if !lost && !self.broken {
            self.direction_mut(from).in_flight += bytes.len();
            self.schedule(at, peer_of(from), Delivery::Bytes(Path::Datagram, bytes.clone()));
        }
    }

    /// Closes the connection in order: the peer hears of it, and nothing else reaches either end any more.
    pub fn close(&mut self, now: Instant, from: Side, code: u32) {
        if self.broken || self.closed {
            return;
        }
        self.closed = true;
        let at = self.travel(now, from);
        self.arrivals.retain(|(due, _), (side, _)| *side == peer_of(from) && *due <= at);
        let text = format!("closed by peer: {code}");
        self.schedule(at, peer_of(from), Delivery::Closed(TransportEnd { clean: code == 0, text }));
    }

    /// Nothing of what `from` sends arrives before `pause` is over; then everything does.
    pub fn stall(&mut self, now: Instant, from: Side, pause: Duration) {
        let stalled = &mut self.direction_mut(from).stalled_until;
        *stalled = Some(now + pause).max(*stalled);
    }

    /// Breaks the connection.
    pub fn break_off(&mut self, now: Instant, how: Break) {
        if self.broken {
            return;
        }
        match how {
            Break::Reset => {
                self.arrivals.clear();
                self.break_at(now + self.conditions.delay, "reset by the network");
            }
            Break::After(side, bytes) => {
                self.direction_mut(side).remaining.get_or_insert(bytes);
            }
            Break::Silence => {
                self.arrivals.clear();
                self.break_at(now + SILENCE_NOTICED, "timed out");
            }
        }
    }

    /// When the next delivery is due.
    pub fn next(&self) -> Option<Instant> {
        self.arrivals.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next delivery that is due, and the side it reaches.
    pub fn deliver(&mut self, now: Instant) -> Option<(Side, Delivery)> {
        if self.next()? > now {
            return None;
        }
        let (_, (side, delivery)) = self.arrivals.pop_first()?;
        if let Delivery::Bytes(_, bytes) = &delivery {
            self.direction_mut(peer_of(side)).in_flight -= bytes.len();
        }
        Some((side, delivery))
    }

    /// Both ends are told at `at`; until then, what is under way still arrives.
    fn break_at(&mut self, at: Instant, text: &str) {
        self.broken = true;
        self.arrivals.retain(|(due, _), _| *due <= at);
        let end = TransportEnd { clean: false, text: text.to_owned() };
        self.schedule(at, Side::Client, Delivery::Closed(end.clone()));
        self.schedule(at, Side::Server, Delivery::Closed(end));
    }

    /// When the next segment of an ordered path arrives.
    fn in_order(&mut self, now: Instant, from: Side, path: Path) -> Instant {
        let mut at = self.travel(now, from);
        for _ in 0..MAX_LOSSES {
            if !self.random.chance(self.conditions.loss_percent) {
                break;
            }
            at += self.conditions.repeat;
        }
        let tail = self.direction_mut(from).tails.entry(path).or_insert(at);
        *tail = at.max(*tail);
        *tail
    }

    fn travel(&mut self, now: Instant, from: Side) -> Instant {
        let jitter = u64::try_from(self.conditions.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(self.random.below(jitter));
        let at = now + self.conditions.delay + jitter;
        // A stall holds up everything, and then everything comes as it was spread before.
        self.direction(from).stalled_until.map_or(at, |until| at.max(until + jitter))
    }

    fn schedule(&mut self, at: Instant, to: Side, delivery: Delivery) {
        self.number += 1;
        self.arrivals.insert((at, self.number), (to, delivery));
    }

    fn direction(&self, from: Side) -> &Direction {
        match from {
            Side::Client => &self.from_client,
            Side::Server => &self.from_server,
        }
    }

    fn direction_mut(&mut self, from: Side) -> &mut Direction {
        match from {
            Side::Client => &mut self.from_client,
            Side::Server => &mut self.from_server,
        }
    }
}

/// The other end.
pub fn peer_of(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}
