//! What the rest of the crate does with a QUIC connection; without the feature `quic` there can be none.

#[cfg(feature = "quic")]
pub(crate) use with_quic::QuicLink;
#[cfg(not(feature = "quic"))]
pub(crate) use without_quic::QuicLink;

#[cfg(feature = "quic")]
mod with_quic {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
    use std::time::Duration;

    use bytes::Bytes;
    use nnrp_session::Machine;

    use crate::link::Link;
    use crate::loop_sockets::LoopSockets;
    use crate::quic;
    use crate::quic_driver::Outlet;
    use crate::quic_socket::DatagramSocket;
    use crate::roaming::Turn;
    use crate::shared::Shared;

    /// A QUIC connection, and where frames leave on it.
    #[derive(Clone, Debug)]
    pub(crate) struct QuicLink {
        connection: quinn::Connection,
        outlet: Arc<Mutex<Outlet>>,
        /// Weak, so that it closes with the endpoint.
        socket: Weak<DatagramSocket>,
        /// A loop has asked for it on behalf of this connection.
        asked: Arc<AtomicBool>,
    }

    impl QuicLink {
        pub(crate) fn new(connection: quinn::Connection, socket: Weak<DatagramSocket>) -> Self {
            let outlet = Arc::new(Mutex::new(Outlet::new(connection.clone())));
            QuicLink { connection, outlet, socket, asked: Arc::default() }
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
            // Sent by quinn's task for the connection, which a loop runs itself while it has the socket.
            let turn = Turn::of_loop().filter(|_| self.socket_is_lent());
            shared.write_frames(machine, link, &self.outlet);
            if let Some(turn) = turn {
                turn.run();
            }
        }

        /// Lends its socket, which it may have in common with others, while it is open. Whether it is lent to that loop now.
        pub(crate) fn lend(&self, sockets: &LoopSockets) -> bool {
            if self.connection.close_reason().is_some() {
                return false;
            }
            self.asked.store(true, Ordering::Relaxed);
            self.socket.upgrade().is_some_and(|socket| socket.lend(sockets))
        }

        /// Whether its socket is lent, as far as this connection knows to the loop that waits for its frames.
        pub(crate) fn is_lent(&self) -> bool {
            self.asked.load(Ordering::Relaxed) && self.socket_is_lent()
        }

        /// The same, said to a loop that is about to wait for more.
        pub(crate) fn stays_lent(&self) -> bool {
            self.asked.load(Ordering::Relaxed)
                && self.socket.upgrade().is_some_and(|socket| socket.stays_lent())
        }

        /// More is coming than should be read on the thread of a loop.
        pub(crate) fn expect_bulk(&self) {
            if let Some(socket) = self.socket.upgrade() {
                socket.expect_bulk();
            }
        }

        fn socket_is_lent(&self) -> bool {
            self.socket.upgrade().is_some_and(|socket| socket.is_lent())
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
    use crate::loop_sockets::LoopSockets;
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

        pub(crate) fn lend(&self, _: &LoopSockets) -> bool {
            match *self {}
        }

        pub(crate) fn is_lent(&self) -> bool {
            match *self {}
        }

        pub(crate) fn stays_lent(&self) -> bool {
            match *self {}
        }

        pub(crate) fn write<'a>(&self, _shared: &'a Shared, _machine: MutexGuard<'a, Machine>, _link: &Link) {
            match *self {}
        }
    }
}
