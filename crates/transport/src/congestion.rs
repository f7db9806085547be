//! Congestion control: Cubic that tells packets which got lost from packets for which there was no room.
//!
//! Cubic takes every loss for a full queue and sends less. On paths that lose packets anyway (radio, long ways) it ends with a
//! dozen packets under way, whatever the path could carry. A full queue shows in the round trip: packets wait in it. So a loss is
//! left out of account when the round trip says that nothing waits, as in TCP Veno, and as long as few packets are lost, as in BBR 2.
//! A path with so small a queue that its round trip says nothing loses more than that, and Cubic does what it always did.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

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
        Box::new(Tolerant { cubic: self.0.clone().build(now, mtu), losses: Losses::new(mtu), shortest: None })
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

/// See the module.
struct Tolerant {
    cubic: Box<dyn Controller>,
    losses: Losses,
    shortest: Option<Duration>,
}

impl Controller for Tolerant {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.shortest = Some(rtt.min());
        self.losses.arrived(bytes, rtt.get(), rtt.min());
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
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
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Tolerant { cubic: self.cubic.clone_box(), losses: self.losses, shortest: self.shortest })
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
}
