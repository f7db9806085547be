//! Counters of one connection, and of all that a listener ever had.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nnrp_session::{ConnectionState, FrameStats};

use crate::connection::Connection;
use crate::shared::Shared;

macro_rules! connection_stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one connection.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ConnectionStats {
            $($(#[$doc])* pub $name: u64,)*
            /// What became of the session's frames.
            pub frames: FrameStats,
        }

        impl ConnectionStats {
            /// Every counter with its name, those of the frames too.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter().chain(self.frames.named())
            }

            /// The higher one of each counter.
            fn max(mut self, other: ConnectionStats) -> ConnectionStats {
                $(self.$name = self.$name.max(other.$name);)*
                self.frames = self.frames.max(other.frames);
                self
            }
        }

        impl AddAssign for ConnectionStats {
            fn add_assign(&mut self, other: ConnectionStats) {
                $(self.$name += other.$name;)*
                self.frames += other.frames;
            }
        }
    };
}

connection_stats! {
    /// Packets received.
    packets_received,
    /// Bytes of those packets.
    bytes_received,
    /// Packets sent.
    packets_sent,
    /// Bytes of those packets.
    bytes_sent,
    /// Packets refused, for whatever rule.
    packets_refused,
    /// Of those, the ones beyond a limit (R-LIM).
    limits_hit,
    /// Control packets thrown away because nobody read them.
    control_discarded,
}

/// The connections of a listener, and what those that are gone have counted. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Book>);

#[derive(Debug, Default)]
pub(crate) struct Book {
    open: Mutex<Vec<Weak<Shared>>>,
    /// The sum over connections that are gone.
    gone: Mutex<ConnectionStats>,
    /// What was shown last: a connection that is neither open nor counted among the gone for a moment must not make a
    /// counter go down.
    shown: Mutex<ConnectionStats>,
}

/// What a [`Ledger`] has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections there are now, those without a session too.
    pub connections: u64,
    /// Those of them with a session that goes on.
    pub sessions: u64,
    /// Counters of all connections there ever were. None of them ever goes down.
    pub traffic: ConnectionStats,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Counts a connection from now on. One that is in a ledger stays in that one.
    pub fn enter(&self, connection: &Connection) {
        let shared = connection.shared();
        if shared.book.set(self.0.clone()).is_err() {
            return;
        }
        let mut open = lock(&self.0.open);
        // Within twice the most there ever were at once, as in every list of things that go away by themselves.
        if open.len() == open.capacity() {
            open.retain(|shared| shared.strong_count() > 0);
        }
        open.push(Arc::downgrade(shared));
    }

    /// The counters of all connections together.
    pub fn totals(&self) -> Totals {
        // Those held here cannot be among the gone as well.
        let open: Vec<Arc<Shared>> = lock(&self.0.open).iter().filter_map(Weak::upgrade).collect();
        let mut totals = Totals { traffic: *lock(&self.0.gone), ..Totals::default() };
        for shared in &open {
            let state = shared.lock().state();
            totals.connections += u64::from(state != ConnectionState::Closed && !shared.is_ended());
            totals.sessions += u64::from(state == ConnectionState::Active && !shared.is_ended());
            totals.traffic += shared.stats();
        }
        let mut shown = lock(&self.0.shown);
        *shown = shown.max(totals.traffic);
        totals.traffic = *shown;
        totals
    }
}

impl Book {
    pub(crate) fn close(&self, stats: ConnectionStats) {
        *lock(&self.gone) += stats;
    }
}
