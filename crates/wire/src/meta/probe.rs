//! TRANSPORT_PROBE and TRANSPORT_PROBE_ACK.

use crate::field::wire_struct;

wire_struct! {
    /// Measures a path.
    pub struct TransportProbeMetadata: 16, length PKT_1, of TransportProbe {
        /// Chosen by the client.
        0 probe_id: u32;
        /// Length of the body.
        4 probe_payload_bytes: u32;
        /// The client's clock in microseconds.
        8 client_send_ts_us: u64;
    }
}

wire_struct! {
    /// Answers a probe.
    pub struct TransportProbeAckMetadata: 16, length PKT_1, of TransportProbeAck {
        /// As in the probe.
        0 probe_id: u32;
        /// Reserved.
        4 reserved: u32 [rsv];
        /// The server's clock in microseconds.
        8 server_recv_ts_us: u64;
    }
}
