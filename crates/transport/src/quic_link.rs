//! What the rest of the crate does with a QUIC connection; without the feature `quic` there can be none.

#[cfg(feature = "quic")]
pub(crate) use with_quic::QuicLink;
#[cfg(not(feature = "quic"))]
pub(crate) use without_quic::QuicLink;

#[cfg(feature = "quic")]
mod with_quic {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use bytes::Bytes;
    use nnrp_session::Machine;

    use crate::link::Link;
    use crate::quic;
    use crate::quic_driver::Outlet;
    use crate::shared::Shared;

    /// A QUIC connection, and where frames leave on it.
    #[derive(Clone, Debug)]
    pub(crate) struct QuicLink {
        connection: quinn::Connection,
        outlet: Arc<Mutex<Outlet>>,
    }

    impl QuicLink {
        pub(crate) fn new(connection: quinn::Connection) -> Self {
            let outlet = Arc::new(Mutex::new(Outlet::new(connection.clone())));
            QuicLink { connection, outlet }
        }

        pub(crate) fn connection(&self) -> &quinn::Connection {
            &self.connection
        }

        /// Where frames leave. Not under the machine's lock.
        pub(crate) fn outlet(&self) -> MutexGuard<'_, Outlet> {
            self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Gives an admitted peer the windows of a session.
        pub(crate) fn open_windows(&self) {
            quic::open_windows(&self.connection);
        }

        /// The round trip time it has measured.
        pub(crate) fn round_trip(&self) -> Duration {
            self.connection.rtt()
        }

        /// UDP datagrams of the peer: signs of life.
        pub(crate) fn datagrams_received(&self) -> u64 {
            self.connection.stats().udp_rx.datagrams
        }

        /// Whether the peer takes such a datagram; then it is on its way.
        pub(crate) fn send_datagram(&self, payload: Bytes) -> bool {
            self.connection.send_datagram(payload).is_ok()
        }

        /// Writes what the machine has queued, as far as that goes without waiting.
        pub(crate) fn write<'a>(&self, shared: &'a Shared, machine: MutexGuard<'a, Machine>, link: &Link) {
            shared.write_frames(machine, link, &self.outlet);
        }
    }
}

#[cfg(not(feature = "quic"))]
mod without_quic {
    use std::sync::MutexGuard;
    use std::time::Duration;

    use bytes::Bytes;
    use nnrp_session::Machine;

    use crate::link::Link;
    use crate::shared::Shared;

    /// Nothing is one.
    #[derive(Clone, Debug)]
    pub(crate) enum QuicLink {}

    impl QuicLink {
        pub(crate) fn open_windows(&self) {
            match *self {}
        }

        pub(crate) fn round_trip(&self) -> Duration {
            match *self {}
        }

        pub(crate) fn datagrams_received(&self) -> u64 {
            match *self {}
        }

        pub(crate) fn send_datagram(&self, _payload: Bytes) -> bool {
            match *self {}
        }

        pub(crate) fn write<'a>(&self, _shared: &'a Shared, _machine: MutexGuard<'a, Machine>, _link: &Link) {
            match *self {}
        }
    }
}
