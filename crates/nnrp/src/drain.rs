//! Going away in order: sessions answer what they have, and nobody new is let in.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nnrp_session::{DRAIN_TIME, Drained, ServerSettings};
use nnrp_transport::{Connection, Ledger, Totals, WeakConnection, clock};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::listener::{Inner, Listener};
use crate::server::ServerSession;
use crate::stats::Fate;
use crate::waiting::Place;

/// Until when a listener's sessions may go on, and why no longer.
#[derive(Clone, Debug)]
pub(crate) struct LastCall {
    deadline: Instant,
    reason: String,
}

/// Connections that a listener has to say goodbye on, as long as somebody holds them.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Vec<WeakConnection>>, Ledger);

impl Registry {
    /// Remembers one more. Those that are gone are forgotten whenever the list would have to grow, so it stays
    /// within twice the most there ever were at once.
    pub(crate) fn add(&self, connection: &Connection) {
        self.1.enter(connection);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == known.capacity() {
            known.retain(|connection| connection.upgrade().is_some());
        }
        known.push(connection.downgrade());
    }

    /// What they have counted.
    pub(crate) fn totals(&self) -> Totals {
        self.1.totals()
    }

    fn alive(&self) -> Vec<Connection> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(WeakConnection::upgrade).collect()
    }
}

impl Listener {
    /// Takes the listener out of service without losing a frame: accepting ends, and every session goes on until it has
    /// answered what its clients had submitted, at most for `timeout`; then the listener is closed.
    ///
    /// - [`Listener::accept`] and its like return `None`. Clients that still come are refused with ERROR
    ///   `ServerBusy` and `reason`.
    /// - Clients are asked to submit nothing more (FLOW_UPDATE). A frame that comes all the same is dropped for the
    ///   reason `ServerBusy`, and the application does not see it.
    /// - A session closes with its last answer, and says CLOSE with `reason`. What is not answered in time is dropped
    ///   for the reason `ServerBusy`. A partial result is no answer; the one that ends its frame is.
    ///
    /// The application has nothing to do but to go on serving: [`ServerSession::recv`] returns `None` when its session
    /// is over. Returns when all clients have everything, at the latest a drain time (5 s) after `timeout`. Raw
    /// connections without a session are the application's own. Cancel-safe: the sessions go on draining, and calling
    /// again waits for them; the listener stays in this state.
    pub async fn drain(&self, timeout: Duration, reason: &str) -> Drained {
        let sessions = self.begin_drain(timeout, reason);
        self.drain_beside(sessions, &Barrier::new(1)).await
    }

    /// Drains several listeners of one server at the same time: with the first poll it has begun on all of them. None of them
    /// is closed before the sessions of all are over: a client that comes to one without sessions still hears why it is sent
    /// away. Otherwise as [`Listener::drain`], whose counts this adds up, and as cancel-safe.
    pub async fn drain_all(listeners: &[Listener], timeout: Duration, reason: &str) -> Drained {
        let all_over = Arc::new(Barrier::new(listeners.len()));
        let begun: Vec<_> = listeners.iter().map(|listener| listener.begin_drain(timeout, reason)).collect();
        let mut draining: JoinSet<Drained> = listeners
            .iter()
            .zip(begun)
            .map(|(listener, sessions)| {
                let (listener, all_over) = (listener.clone(), all_over.clone());
                async move { listener.drain_beside(sessions, &all_over).await }
            })
            .collect();
        let mut total = Drained::default();
        while let Some(drained) = draining.join_next().await {
            total += drained.unwrap_or_default();
        }
        total
    }

    /// Ends accepting, and tells every connection; those that have a session to end.
    fn begin_drain(&self, timeout: Duration, reason: &str) -> Vec<Connection> {
        let inner = self.inner();
        let call = LastCall { deadline: clock::now() + timeout, reason: reason.to_owned() };
        inner.draining.send_replace(Some(call));
        inner.connections.alive().into_iter().filter(|connection| inner.last_call(connection)).collect()
    }

    /// Waits for these sessions, and goes on turning clients away until everybody is at the barrier.
    async fn drain_beside(&self, sessions: Vec<Connection>, all_over: &Barrier) -> Drained {
        let inner = self.inner();
        let mut sessions: JoinSet<Drained> =
            sessions.into_iter().map(|connection| async move { drained(&connection).await }).collect();
        let mut turned_away: JoinSet<()> = JoinSet::new();
        let mut total = Drained::default();
        // It counts as arrived with its first poll, and must not be dropped after that.
        let mut all_over = pin!(all_over.wait());
        loop {
            tokio::select! {
                biased;
                waiting = inner.backlog.next() => {
                    let (connection, place) = waiting;
                    turned_away.spawn(turn_away(inner.clone(), connection, place));
                }
                Some(_) = turned_away.join_next() => {}
                Some(session) = sessions.join_next() => total += session.unwrap_or_default(),
                _ = &mut all_over, if sessions.is_empty() => break,
            }
        }
        self.close();
        self.closed().await;
        while turned_away.join_next().await.is_some() {}
        total
    }
}

impl Inner {
    /// Tells a connection that the listener is draining, if it is; whether it was told.
    pub(crate) fn last_call(&self, connection: &Connection) -> bool {
        let Some(call) = self.draining.borrow().clone() else { return false };
        connection.with(|machine, now| {
            let serving = !machine.is_raw();
            machine.drain(now, call.deadline, &call.reason);
            serving
        })
    }
}

/// Tells a client that came too late.
async fn turn_away(inner: Arc<Inner>, connection: Connection, _place: Place) {
    connection.adopt(|machine, _| machine.serve(ServerSettings::default()));
    inner.tally.count(Fate::Draining);
    inner.last_call(&connection);
    connection.claim();
    drained(&connection).await;
}

/// Waits until a session that was told to drain is over, and its client has everything.
async fn drained(connection: &Connection) -> Drained {
    connection.closed().await;
    let _ = tokio::time::timeout(DRAIN_TIME, connection.gone()).await;
    connection.with(|machine, _| machine.drained())
}

impl ServerSession {
    /// Ends this session alone, as [`Listener::drain`] ends all of them. Cancel-safe: the drain goes on.
    pub async fn drain(&self, timeout: Duration, reason: &str) -> Drained {
        self.connection().with(|machine, now| machine.drain(now, now + timeout, reason));
        drained(self.connection()).await
    }
}
