//! Congestion control: Cubic that tells packets which got lost from packets for which there was no room.
//!
//! Cubic takes every loss for a full queue and sends less. On paths that lose packets anyway (radio, long ways) it ends with a
//! dozen packets under way, whatever the path could carry. A full queue shows in the round trip: packets wait in it. So a loss is
//! left out of account when the round trip says that nothing waits, as in TCP Veno, and as long as few packets are lost, as in BBR 2.
//! A path with so small a queue that its round trip says nothing loses more than that, and Cubic does what it always did.
//!
//! A full window must not keep acknowledgements back. quinn sends none, not even by itself, while data waits for congestion control
//! (RFC 9002, section 7, exempts them). When both sides have sent as much as they may, each has everything of the other and does not say so,
//! until a probe timer rings: a tenth of a second in which neither does anything, and half of one early in a connection. So a side that has been
//! silent for as long as an acknowledgement may wait can send a packet beyond its window, and what there is to acknowledge leaves with it.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

use crate::clock;

/// Queues are empty while the round trip is at most this part longer than the shortest: what a queue of a quarter of what the path
/// holds would add.
const QUEUE_SHARE: u32 = 4;

/// What tasks and timers add to a round trip. On paths as short as that nothing is told from a queue, and every loss counts.
const JITTER: Duration = Duration::from_millis(1);

/// Of the bytes that arrive, one in so many may be lost: 2 %, BBR 2's bound.
const TOLERATED: u64 = 50;

/// Packets that may be lost beyond that, so that the first few are no verdict.
const TOLERATED_PACKETS: u64 = 3;

/// Losses are counted over about this many bytes (some 700 packets); then what was counted counts half.
const COUNTED_BYTES: u64 = 1 << 20;

/// So many packets leave beyond a window until it has room again: the first may leave before an acknowledgement is due. On a path so slow
/// that acknowledgements come one by one, with silence in between, this is all that is on its way beyond the window; eight were felt there.
const BEYOND_PACKETS: u32 = 2;

/// How long an acknowledgement may wait for company, instead of QUIC's 25 ms: a sender waits that much longer until it takes the
/// last packet of what it had to send for lost. And how long a full window keeps everything silent.
pub(crate) const MAX_ACK_DELAY: Duration = Duration::from_millis(5);

/// The shortest round trip of a connection's path, once there was one.
pub(crate) fn shortest_round_trip(quic: &quinn::Connection) -> Option<Duration> {
    quic.congestion_state().into_any().downcast::<Tolerant>().ok()?.shortest
}

/// Makes the controller of each connection.
#[derive(Debug)]
pub(crate) struct TolerantConfig(Arc<CubicConfig>);

impl TolerantConfig {
    /// Connections begin with so many bytes on their way.
    pub(crate) fn new(initial_window: u64) -> Self {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(initial_window);
        TolerantConfig(Arc::new(cubic))
    }
}

impl ControllerFactory for TolerantConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Tolerant {
            cubic: self.0.clone().build(now, mtu),
            losses: Losses::new(mtu),
            shortest: None,
            flight: Flight::new(now),
        })
    }
}

/// What tells a loss that means something from others.
#[derive(Clone, Copy, Debug)]
struct Losses {
    mtu: u64,
    /// By the smoothed round trip, as of the acknowledgement before the last, packets wait in a queue. The peer's word on how long it
    /// held its acknowledgements is in it, so a greedy peer can hide a few milliseconds of queue, and win what 2 % of loss would cost.
    waits: bool,
    /// Bytes of the last while that arrived, and that did not.
    arrived: u64,
    lost: u64,
}

impl Losses {
    fn new(mtu: u16) -> Self {
        Losses { mtu: mtu.into(), waits: true, arrived: 0, lost: 0 }
    }

    /// So many bytes arrived; the round trip takes so long now, and was once as short as `shortest`.
    fn arrived(&mut self, bytes: u64, round_trip: Duration, shortest: Duration) {
        self.waits = shortest < JITTER || round_trip > shortest + shortest / QUEUE_SHARE;
        self.arrived += bytes;
        if self.arrived > COUNTED_BYTES {
            self.arrived /= 2;
            self.lost /= 2;
        }
    }

    /// So many bytes were lost; whether that is for Cubic to hear.
    fn tell(&mut self, bytes: u64) -> bool {
        self.lost += bytes;
        self.waits || self.lost > self.arrived / TOLERATED + TOLERATED_PACKETS * self.mtu
    }
}

/// What is on its way, and since when nothing more happens.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// Bytes, nearly: quinn does not tell controllers of probes for larger packets, which are on their way for it, and tells them of packets that
    /// only acknowledge, which are not. Each acknowledgement sets this right.
    bytes: u64,
    /// When something was sent or acknowledged last.
    silent_since: Instant,
    /// Packets that left beyond the window since it had room.
    beyond: u32,
}

impl Flight {
    fn new(now: Instant) -> Self {
        Flight { bytes: 0, silent_since: now, beyond: 0 }
    }

    /// Whether quinn says that no other packet fits.
    fn is_full(&self, window: u64, mtu: u64) -> bool {
        self.bytes + mtu >= window
    }

    fn sent(&mut self, now: Instant, bytes: u64, window: u64, mtu: u64) {
        self.beyond = self.beyond.saturating_add(self.is_full(window, mtu).into());
        self.bytes += bytes;
        self.silent_since = now;
    }

    /// So many bytes are still on their way.
    fn acknowledged(&mut self, now: Instant, in_flight: u64, window: u64, mtu: u64) {
        self.bytes = in_flight;
        self.silent_since = now;
        if !self.is_full(window, mtu) {
            self.beyond = 0;
        }
    }

    fn lost(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The window; where a full one has kept all silent for too long, one that another packet fits. When that has left this is not silent
    /// any more.
    fn window(&self, now: impl FnOnce() -> Instant, window: u64, mtu: u64) -> u64 {
        let may_go_beyond = self.is_full(window, mtu)
            && self.beyond < BEYOND_PACKETS
            && now().saturating_duration_since(self.silent_since) >= MAX_ACK_DELAY;
        if may_go_beyond { self.bytes + mtu + 1 } else { window }
    }
}

/// See the module.
struct Tolerant {
    cubic: Box<dyn Controller>,
    losses: Losses,
    shortest: Option<Duration>,
    flight: Flight,
}

impl Controller for Tolerant {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.flight.sent(now, bytes, self.cubic.window(), self.losses.mtu);
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.shortest = Some(rtt.min());
        self.losses.arrived(bytes, rtt.get(), rtt.min());
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
        self.flight.acknowledged(now, in_flight, self.cubic.window(), self.losses.mtu);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.flight.lost(lost_bytes);
        // Without lost bytes it is a router that says it: congestion, no doubt.
        if self.losses.tell(lost_bytes) || lost_bytes == 0 || is_persistent {
            self.cubic.on_congestion_event(now, sent, is_persistent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.losses.mtu = mtu.into();
        self.cubic.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        self.flight.window(clock::now, self.cubic.window(), self.losses.mtu)
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        // For another path, on which nothing is on its way.
        let flight = Flight { bytes: 0, ..self.flight };
        Box::new(Tolerant {
            cubic: self.cubic.clone_box(),
            losses: self.losses,
            shortest: self.shortest,
            flight,
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1_200;
    const SHORTEST: Duration = Duration::from_millis(20);

    /// One packet of `every` is lost, of a thousand; how many of the losses Cubic hears of.
    fn heard(every: u64, round_trip: Duration, shortest: Duration) -> usize {
        let mut losses = Losses::new(1_200);
        let lost = |number: &u64| number % every == every - 1;
        (0..1_000)
            .filter(|number| {
                losses.arrived(PACKET, round_trip, shortest);
                lost(number) && losses.tell(PACKET)
            })
            .count()
    }

    #[test]
    fn a_rare_loss_without_a_queue_says_nothing() {
        assert_eq!(heard(100, SHORTEST * 11 / 10, SHORTEST), 0);
    }

    #[test]
    fn every_loss_counts_while_packets_wait_in_a_queue() {
        assert_eq!(heard(100, SHORTEST * 13 / 10, SHORTEST), 10);
    }

    #[test]
    fn more_than_a_few_losses_count_whatever_the_round_trip_says() {
        assert!(heard(20, SHORTEST, SHORTEST) > 30);
    }

    #[test]
    fn every_loss_counts_on_a_path_too_short_to_show_a_queue() {
        let shortest = JITTER / 2;
        assert_eq!(heard(100, shortest, shortest), 10);
    }

    const WINDOW: u64 = 10 * PACKET;

    /// A full window, and the time at which it was filled.
    fn full() -> (Flight, Instant) {
        let now = clock::now();
        let mut flight = Flight::new(now);
        while !flight.is_full(WINDOW, PACKET) {
            flight.sent(now, PACKET, WINDOW, PACKET);
        }
        (flight, now)
    }

    /// Packets that leave then in one batch, of which quinn tells controllers when it is on its way.
    fn leaves(flight: &mut Flight, now: Instant) -> u64 {
        let room = flight.window(|| now, WINDOW, PACKET).saturating_sub(flight.bytes);
        let packets = room.saturating_sub(1) / PACKET;
        for _ in 0..packets {
            flight.sent(now, PACKET, WINDOW, PACKET);
        }
        packets
    }

    #[test]
    fn one_packet_leaves_beyond_a_full_window_after_each_silence() {
        let (mut flight, mut now) = full();
        for _ in 0..BEYOND_PACKETS {
            assert_eq!(leaves(&mut flight, now + MAX_ACK_DELAY - Duration::from_micros(1)), 0);
            now += MAX_ACK_DELAY;
            assert_eq!(leaves(&mut flight, now), 1);
        }
        assert_eq!(leaves(&mut flight, now + MAX_ACK_DELAY * 1000), 0, "nobody seems to be there");
        flight.acknowledged(now, 0, WINDOW, PACKET);
        assert_eq!(leaves(&mut flight, now), WINDOW / PACKET - 1, "it has room");
        assert_eq!(leaves(&mut flight, now + MAX_ACK_DELAY), 1);
    }

    #[test]
    fn no_more_than_that_is_beyond_the_window_of_a_slow_path() {
        let (mut flight, mut now) = full();
        for _ in 0..1_000 {
            now += 2 * MAX_ACK_DELAY;
            leaves(&mut flight, now);
            assert!(flight.bytes <= WINDOW + u64::from(BEYOND_PACKETS) * PACKET);
            // One packet arrives at a time, and says so by itself.
            flight.acknowledged(now, flight.bytes - PACKET, WINDOW, PACKET);
            leaves(&mut flight, now);
        }
    }

    #[test]
    fn a_window_that_has_shrunk_keeps_nothing_back_either() {
        let (flight, now) = full();
        let window = flight.window(|| now + MAX_ACK_DELAY, WINDOW / 2, PACKET);
        assert_eq!((window - 1 - flight.bytes) / PACKET, 1);
    }

    #[test]
    fn a_window_with_room_is_what_it_is() {
        let flight = Flight::new(clock::now());
        assert_eq!(flight.window(|| panic!("nobody has to look"), WINDOW, PACKET), WINDOW);
    }
}
