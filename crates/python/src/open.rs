//! What this process has open.
//!
//! Every connection an application holds is known here, so that the interpreter's exit can say goodbye for it; and
//! one that the application has let go of is kept until what was sent over it has left.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nnrp::{Connection, ConnectionState, Cork};
use pyo3::PyResult;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::runtime::{self, PerProcess, lock};

/// Open connections, and those that were let go of and still have something to deliver.
static OPEN: PerProcess<Mutex<HashMap<u64, Connection>>> = PerProcess::new();
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// How long the interpreter's exit waits, of its whole time, for a peer to close by itself after it has been told: a peer
/// that is cut off before it has read everything may lose results.
const PEER_CLOSES: Duration = Duration::from_millis(250);

/// A connection held by Python objects. It closes when the last of them is gone.
pub(crate) struct Held {
    id: u64,
    connection: Connection,
    handle: Handle,
    /// What is sent in this turn of the event loop leaves together.
    cork: Mutex<Option<Cork>>,
}

impl Held {
    /// # Errors
    /// `RuntimeError` while the interpreter exits.
    pub(crate) fn new(connection: Connection) -> PyResult<Arc<Self>> {
        let handle = runtime::handle()?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        lock(OPEN.get()).insert(id, connection.clone());
        Ok(Arc::new(Self { id, connection, handle, cork: Mutex::default() }))
    }

    /// A clone of the connection, for the parts of the `nnrp` crate that take one.
    pub(crate) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Keeps back what is sent from now on until [`uncork`](Self::uncork); whether somebody else has seen to that already.
    pub(crate) fn cork(&self) -> bool {
        let mut cork = lock(&self.cork);
        let corked = cork.is_some();
        cork.get_or_insert_with(|| self.connection.cork());
        corked
    }

    /// Sends what was kept back, as far as that goes without waiting.
    pub(crate) fn uncork(&self) {
        let cork = lock(&self.cork).take();
        drop(cork); // which writes, and nobody else need wait for that
    }

    /// Whether neither side has begun to close it.
    pub(crate) fn is_open(&self) -> bool {
        is_open(&self.connection)
    }
}

fn is_open(connection: &Connection) -> bool {
    connection.ended().is_none()
        && !matches!(connection.state(), ConnectionState::Draining | ConnectionState::Closed)
}

impl Deref for Held {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !lock(OPEN.get()).contains_key(&self.id) {
            return; // the interpreter exits and has closed it already
        }
        let connection = self.connection.clone();
        if is_open(&connection) {
            end(&connection);
        }
        let id = self.id;
        self.handle.spawn(async move {
            connection.gone().await;
            lock(OPEN.get()).remove(&id);
        });
    }
}

/// A session says goodbye; a raw connection has nothing to say. What was sent before goes out either way.
fn end(connection: &Connection) {
    connection
        .with(|machine, now| if machine.is_raw() { machine.abort(0, "") } else { machine.close(now, "") });
    connection.claim();
}

/// Makes what a forked child needs, which has no other threads yet.
pub(crate) fn after_fork() {
    OPEN.get();
}

/// Closes everything and waits, at most `limit`, until what was sent has left. Blocks.
pub(crate) fn close_all(handle: &Handle, limit: Duration) {
    let open = std::mem::take(&mut *lock(OPEN.get()));
    handle.block_on(async {
        let mut closing = JoinSet::new();
        for connection in open.into_values() {
            if is_open(&connection) {
                end(&connection);
            }
            closing.spawn(async move {
                connection.flush().await;
                if timeout(PEER_CLOSES, connection.gone()).await.is_err() {
                    // Nobody will be here to see the peer close; a peer that is told need not wait for its timeout.
                    connection.abort(0, "");
                    connection.gone().await;
                }
            });
        }
        let everything = async { while closing.join_next().await.is_some() {} };
        let _ = timeout(limit, everything).await;
    });
}
