//! What the rest of the crate does with a QUIC connection; without the feature `quic` there can be none.

#[cfg(feature = "quic")]
pub(crate) use with_quic::*;
#[cfg(not(feature = "quic"))]
pub(crate) use without_quic::*;

#[cfg(feature = "quic")]
mod with_quic {
    use std::time::Duration;

    use bytes::Bytes;
    pub(crate) use quinn::Connection as QuicConnection;

    pub(crate) use crate::quic::open_windows;

    /// The round trip time it has measured.
    pub(crate) fn round_trip(quic: &QuicConnection) -> Duration {
        quic.rtt()
    }

    /// UDP datagrams of the peer: signs of life.
    pub(crate) fn datagrams_received(quic: &QuicConnection) -> u64 {
        quic.stats().udp_rx.datagrams
    }

    /// Whether the peer takes such a datagram; then it is on its way.
    pub(crate) fn send_datagram(quic: &QuicConnection, payload: Bytes) -> bool {
        quic.send_datagram(payload).is_ok()
    }
}

#[cfg(not(feature = "quic"))]
mod without_quic {
    use std::time::Duration;

    use bytes::Bytes;

    /// Nothing is one.
    #[derive(Clone, Debug)]
    pub(crate) enum QuicConnection {}

    pub(crate) fn open_windows(quic: &QuicConnection) {
        match *quic {}
    }

    pub(crate) fn round_trip(quic: &QuicConnection) -> Duration {
        match *quic {}
    }

    pub(crate) fn datagrams_received(quic: &QuicConnection) -> u64 {
        match *quic {}
    }

    pub(crate) fn send_datagram(quic: &QuicConnection, _payload: Bytes) -> bool {
        match *quic {}
    }
}
