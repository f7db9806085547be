//! A client whose hello has arrived and about whom nothing is decided yet.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nnrp_session::{Admission, CommandError, Fault, ReceivedHello, ServerSettings};
use nnrp_transport::{Connection, Filter, Item, SendError, clock};
use nnrp_wire::ErrorCode;

use crate::error::HandshakeError;
use crate::server::ServerSession;
use crate::waiting::Place;

/// Session ids for clients that leave the choice to us. Ids are keys within one connection, so they need not be
/// unique, only non-zero and not guessably all alike in logs.
static NEXT_SESSION_ID: AtomicU32 = AtomicU32::new(1);

fn fresh_session_id() -> u32 {
    match NEXT_SESSION_ID.fetch_add(1, Ordering::Relaxed) {
        0 => NEXT_SESSION_ID.fetch_add(1, Ordering::Relaxed),
        id => id,
    }
}

/// A complete, correct CLIENT_HELLO that waits for a decision. Dropping it without one closes the connection.
#[derive(Debug)]
pub struct PendingSession {
    connection: Connection,
    hello: ReceivedHello,
    decided: bool,
    time_left: Duration,
    /// Its place among the listener's pending connections, until it is decided about.
    _place: Option<Place>,
}

impl PendingSession {
    pub(crate) fn new(
        connection: Connection,
        hello: ReceivedHello,
        time_left: Duration,
        place: Option<Place>,
    ) -> Self {
        PendingSession { connection, hello, decided: false, time_left, _place: place }
    }

    /// Reads the hello of a connection accepted raw. What arrived before this call counts.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the client has been answered and the connection closed. Not cancel-safe: dropping the
    /// future closes the connection.
    pub async fn read(
        connection: Connection,
        settings: ServerSettings,
        timeout: Option<Duration>,
    ) -> Result<Self, HandshakeError> {
        if let Some(closed) = connection.ended() {
            return Err(closed.into());
        }
        connection.adopt(|machine, _| {
            if machine.is_raw() {
                machine.serve(settings.clone());
            } else {
                machine.set_server_settings(settings.clone());
            }
        });
        let guard = CloseOnDrop(Some(connection.clone()));
        let started = clock::now();
        connection.claim();
        let receive = connection.receive(Filter::Handshake);
        let item = match timeout {
            None => receive.await,
            Some(timeout) => match tokio::time::timeout(timeout, receive).await {
                Ok(item) => item,
                Err(_) => return Err(HandshakeError::Timeout(timeout)),
            },
        };
        match item? {
            Item::Hello(hello) => {
                guard.keep();
                let took = clock::now().saturating_duration_since(started);
                let left = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(took));
                Ok(PendingSession::new(connection, *hello, left, None))
            }
            Item::HandshakeFailed(failure) => {
                // The ERROR is on its way; let it arrive.
                guard.keep();
                Err(HandshakeError::Refused(failure))
            }
            _ => Err(HandshakeError::Timeout(Duration::ZERO)),
        }
    }

    /// What the client said.
    pub fn hello(&self) -> &ReceivedHello {
        &self.hello
    }

    /// The connection it came over.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The certificates the client showed, DER, its own first; empty when it showed none. They come from an authority
    /// that was given to [`ServerTls`](crate::ServerTls).
    pub fn peer_certificates(&self) -> &[bytes::Bytes] {
        self.connection.peer_certificates()
    }

    /// How much of the handshake timeout the hello has left for the decision; [`Duration::MAX`] without a timeout.
    pub fn time_left(&self) -> Duration {
        self.time_left
    }

    /// Replaces what the server offers this client.
    pub fn set_settings(&self, settings: ServerSettings) {
        self.connection.adopt(|machine, _| machine.set_server_settings(settings));
    }

    /// Lets the client in: sends SERVER_HELLO_ACK. A client that leaves its session id to an admission that leaves it
    /// open, too, gets a fresh one.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Closed`] when the client has left, [`HandshakeError::Send`] for values that cannot be
    /// sent or a client that cannot be served (it has then been told).
    pub fn admit(mut self, mut admission: Admission) -> Result<ServerSession, HandshakeError> {
        if admission.fallback_session_id == 0 {
            admission.fallback_session_id = fresh_session_id();
        }
        let connection = self.connection.clone();
        match connection.with(|machine, now| machine.admit(now, &admission)) {
            Ok(ack) => {
                self.decided = true;
                connection.open_windows();
                Ok(ServerSession::new(connection, self.hello.clone(), ack))
            }
            Err(CommandError::State { .. }) if connection.ended().is_some() => Err(connection
                .ended()
                .map_or(HandshakeError::Timeout(Duration::ZERO), HandshakeError::Closed)),
            Err(error) => Err(HandshakeError::Send(SendError::Command(error))),
        }
    }

    /// Sends the client away: ERROR with `code` and `text`, then the connection is closed.
    pub fn refuse(self, code: ErrorCode, text: &str) {
        self.send_away(Fault::refusal(code, text));
    }

    /// Sends the client away for now: ERROR with SERVER_BUSY and how long to wait before trying again.
    pub fn turn_away(self, retry_after: Duration) {
        self.send_away(busy(retry_after));
    }

    fn send_away(mut self, fault: Fault) {
        self.decided = true;
        self.connection.with(|machine, now| machine.refuse_client(now, fault));
    }
}

/// What a client hears that comes at a bad time.
pub(crate) fn busy(retry_after: Duration) -> Fault {
    Fault::refusal(ErrorCode::ServerBusy, "the server is busy; try again later").retry_after(retry_after)
}

impl Drop for PendingSession {
    fn drop(&mut self) {
        if !self.decided {
            self.connection.abort(0, "");
        }
    }
}

/// Closes the connection of a handshake that was given up.
pub(crate) struct CloseOnDrop(pub(crate) Option<Connection>);

impl CloseOnDrop {
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.abort(0, "");
        }
    }
}
