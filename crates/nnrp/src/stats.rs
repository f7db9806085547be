//! What a listener has seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nnrp_transport::{ConnectionStats, Totals};
use nnrp_wire::ErrorCode;

use crate::listener::Listener;

macro_rules! clients {
    ($($(#[$doc:meta])* $fate:ident => $name:ident,)*) => {
        /// What became of a client.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Fate {
            $($fate,)*
        }

        const FATES: usize = [$(Fate::$fate),*].len();

        /// Counters of the clients of one [`Listener`], since it was bound.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ClientStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl ClientStats {
            /// Every counter with its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }

        impl Tally {
            fn stats(&self) -> ClientStats {
                ClientStats { $($name: self.0[Fate::$fate as usize].load(Ordering::Relaxed),)* }
            }
        }
    };
}

clients! {
    /// Clients that were given a session.
    Accepted => accepted,
    /// Sessions of other connections that went on over one of this listener.
    Moved => migrated,
    /// Clients that failed in their TLS handshake.
    Tls => refused_tls,
    /// Clients sent away because too many were waiting already, with or without a word.
    Full => refused_full,
    /// Clients whose hello did not come in time.
    Timeout => refused_timeout,
    /// Clients whose handshake broke a rule.
    Handshake => refused_handshake,
    /// Clients that the application did not let in (AUTH_FAILED).
    Authentication => refused_authentication,
    /// Clients that the application sent away for a time (SERVER_BUSY).
    Busy => refused_busy,
    /// Clients that came while the listener was draining.
    Draining => refused_draining,
    /// Clients that the application sent away with another error code.
    Other => refused_other,
    /// Clients that left before anything was decided, or about whom nobody decided.
    Left => left,
}

/// Counts clients. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<[AtomicU64; FATES]>);

impl Tally {
    pub(crate) fn count(&self, fate: Fate) {
        self.0[fate as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Fate {
    /// What it is to be sent away with this code.
    pub(crate) fn refused_with(code: ErrorCode) -> Self {
        match code {
            ErrorCode::AuthFailed => Fate::Authentication,
            ErrorCode::ServerBusy => Fate::Busy,
            _ => Fate::Other,
        }
    }
}

/// What a listener has seen, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStats {
    /// Clients that wait to be accepted, or are in their handshake.
    pub pending: u64,
    /// Connections that were handed out or are in their handshake, and are open.
    pub connections: u64,
    /// Those of them with a session that goes on.
    pub sessions: u64,
    /// What became of clients.
    pub clients: ClientStats,
    /// The sum over all connections, those that are gone too. None of these goes down.
    pub traffic: ConnectionStats,
}

impl ListenerStats {
    /// What there is now, by name.
    pub fn gauges(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [("pending", self.pending), ("connections", self.connections), ("sessions", self.sessions)]
            .into_iter()
    }

    /// What only grows, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        self.clients.named().chain(self.traffic.named())
    }
}

impl Listener {
    /// Counters of all clients and sessions. Looks at every connection that is open: some microseconds for each, so for
    /// a scrape every few seconds rather than for every frame.
    pub fn stats(&self) -> ListenerStats {
        let inner = self.inner();
        let Totals { connections, sessions, traffic } = inner.connections.totals();
        let pending = inner.pending.taken() as u64;
        ListenerStats { pending, connections, sessions, clients: inner.tally.stats(), traffic }
    }
}
