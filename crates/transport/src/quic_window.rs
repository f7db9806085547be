//! How much of a connection may be on its way: what congestion control finds, and no more than the path can need.
//!
//! Cubic grows until packets are lost. Within a machine, or a room, none are before the sockets' buffers are full of megabytes, and
//! whatever comes next waits behind them: the small frames of all other connections too, as a server has one socket for all. A
//! connection that is the only one of its process keeps nobody waiting, and has no bound: large bursts are cheaper.
//!
//! The bound is on what is handed to quinn, not on the congestion window, which is where it belongs: quinn 0.11 sends no
//! acknowledgements while congestion control holds back data, so that two sides that both send as much as they may wait for each other.

use std::time::Duration;

use crate::congestion;
use crate::turns;

/// Bytes we may have sent and not seen acknowledged, on any path.
pub(crate) const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Some bursts, so that neither side waits for the other to be woken, and some times what the peer acknowledges at once.
pub(crate) const LEAST_BYTES: u64 = 128 * 1024;

/// Bytes a microsecond that no connection to another machine exceeds: 20 Gbit/s, some times what one core encrypts and sends in packets
/// of Ethernet's size. What is on its way beyond that rate times the shortest round trip waits in a buffer. Within a machine, where
/// packets are larger, one core comes near to it; there the least of it is what counts.
const FASTEST_PER_MICRO: u64 = 2_500;

/// Bytes of this connection that may be on their way, as far as its path is known.
pub(crate) fn bytes(quic: &quinn::Connection) -> u64 {
    if turns::is_alone() {
        return MOST_BYTES;
    }
    congestion::shortest_round_trip(quic).map_or(MOST_BYTES, bytes_for)
}

fn bytes_for(round_trip: Duration) -> u64 {
    let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
    FASTEST_PER_MICRO.saturating_mul(micros).clamp(LEAST_BYTES, MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_follows_the_round_trip() {
        assert_eq!(bytes_for(Duration::ZERO), LEAST_BYTES);
        assert_eq!(bytes_for(Duration::from_micros(40)), LEAST_BYTES);
        assert_eq!(bytes_for(Duration::from_millis(1)), 2_500_000);
        // 1 Gbit/s over 20 ms needs 2.5 MB.
        assert_eq!(bytes_for(Duration::from_millis(20)), MOST_BYTES);
        assert_eq!(bytes_for(Duration::MAX), MOST_BYTES);
    }
}
