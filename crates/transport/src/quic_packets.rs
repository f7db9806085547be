//! How large packets may become, and what depends on that.
//!
//! Most of what a packet costs does not depend on its size, so within a machine, where the interface takes more than Ethernet, packets
//! are larger. Nothing relies on that: a connection begins with what every path carries, and goes on to what it has seen arrive.

use std::net::SocketAddr;

use quinn::{AckFrequencyConfig, EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};

/// The payload of a UDP datagram that quinn's own default lets a peer send: Ethernet's, over IPv4.
const ETHERNET_PAYLOAD: u16 = 1_472;

/// The loopback interface with the smallest packets: 16 KiB with IPv6 (macOS). Linux has 64 KiB; packets of that size were not faster.
const LOOPBACK_PAYLOAD: u16 = 16_384 - 48;

/// How a connection's packets are, by where the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packets {
    /// Bytes of the largest UDP payload taken from the peer.
    pub(crate) largest: u16,
    /// Bytes up to which it is tried what the path carries.
    discovered: u16,
    /// And how exactly: what is tried in vain is on its way until it counts as lost, and where much is lost little else may be meanwhile.
    exactness: u16,
    /// Packets after which the peer acknowledges at once, if it speaks that extension; fewer it acknowledges with what it sends
    /// itself, or when acknowledgements have waited long enough. QUIC's own rule, every second packet, costs a packet and a wake-up on
    /// both sides for each two of a body.
    acknowledged_at_once: u32,
    /// Bytes on their way before anything was acknowledged: ten packets of the size a connection begins with (RFC 9002, 7.2), or of
    /// the size that packets soon have.
    pub(crate) initial_window: u64,
}

impl Packets {
    /// Those of any path: the size is what quinn tries for by itself, room for a tunnel's header below Ethernet's.
    pub(crate) const ANYWHERE: Packets = Packets {
        largest: ETHERNET_PAYLOAD,
        discovered: 1_452,
        exactness: 20,
        acknowledged_at_once: 10,
        initial_window: 12_000,
    };

    /// Those within the machine. It is tried whether half of the size arrives, then all of it; if not, somebody passes packets on to who
    /// knows where, and their size stays that of the first. What is acknowledged at once has to be some times less than what may be on
    /// its way (`quic_window`).
    pub(crate) const WITHIN: Packets = Packets {
        largest: LOOPBACK_PAYLOAD,
        discovered: LOOPBACK_PAYLOAD,
        exactness: LOOPBACK_PAYLOAD / 4,
        acknowledged_at_once: 2,
        initial_window: 10 * LOOPBACK_PAYLOAD as u64,
    };

    /// The largest of all, for a socket on which anybody may call.
    pub(crate) const ANY: Packets = Packets::WITHIN;

    /// Those of connections with this peer.
    pub(crate) fn with(peer: SocketAddr) -> Packets {
        if peer.ip().to_canonical().is_loopback() { Packets::WITHIN } else { Packets::ANYWHERE }
    }

    /// An endpoint that takes them.
    pub(crate) fn endpoint_config(self) -> EndpointConfig {
        let mut config = EndpointConfig::default();
        // Refused are only sizes below 1200.
        let _ = config.max_udp_payload_size(self.largest);
        config
    }

    /// Has connections send them.
    pub(crate) fn apply(self, config: &mut TransportConfig, acknowledging: &mut AckFrequencyConfig) {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(self.discovered).minimum_change(self.exactness);
        config.mtu_discovery_config(Some(discovery));
        acknowledging.ack_eliciting_threshold(VarInt::from_u32(self.acknowledged_at_once));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic_window::LEAST_BYTES;

    #[test]
    fn packets_are_larger_within_the_machine_only() {
        for (peer, packets) in [
            ("127.0.0.1:1", Packets::WITHIN),
            ("127.9.9.9:1", Packets::WITHIN),
            ("[::1]:1", Packets::WITHIN),
            ("[::ffff:127.0.0.1]:1", Packets::WITHIN),
            ("192.0.2.1:1", Packets::ANYWHERE),
            ("10.0.0.1:1", Packets::ANYWHERE),
            ("[2001:db8::1]:1", Packets::ANYWHERE),
            ("[::ffff:192.0.2.1]:1", Packets::ANYWHERE),
        ] {
            assert_eq!(Packets::with(peer.parse().unwrap()), packets, "{peer}");
        }
    }

    #[test]
    fn the_smallest_window_is_acknowledged_without_waiting() {
        for Packets { discovered, acknowledged_at_once, .. } in [Packets::ANYWHERE, Packets::WITHIN] {
            let unacknowledged = u64::from(discovered) * u64::from(acknowledged_at_once + 1);
            assert!(unacknowledged <= LEAST_BYTES / 2, "{unacknowledged}");
        }
    }
}
