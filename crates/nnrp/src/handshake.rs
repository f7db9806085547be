//! A client whose hello has arrived and about whom nothing is decided yet.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nnrp_session::{
    Admission, CommandError, Fault, HandshakeFailure, Migration, ReceivedHello, ReceivedMigration,
    ServerSettings,
};
use nnrp_transport::{Connection, Filter, Item, SendError, clock};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{ErrorCode, MessageType, Packet};

use crate::error::HandshakeError;
use crate::migrate::{Registered, SessionRegistry, TakenOver};
use crate::server::ServerSession;
use crate::stats::{Fate, Tally};
use crate::waiting::Place;

/// A session id for a client that leaves the choice to us.
fn fresh_session_id() -> u32 {
    static IDS: OnceLock<SessionIds> = OnceLock::new();
    IDS.get_or_init(SessionIds::default).next()
}

/// Numbers that nobody can guess from those before, and that come again only when all 32 bits are used up.
#[derive(Default)]
struct SessionIds {
    next: AtomicU32,
    /// Keyed by the operating system's randomness.
    key: RandomState,
}

impl SessionIds {
    fn next(&self) -> u32 {
        loop {
            let id = self.shuffle(self.next.fetch_add(1, Ordering::Relaxed));
            if id != 0 {
                return id;
            }
        }
    }

    /// A permutation of the 32-bit numbers: a Feistel network, whose rounds can be undone one by one, so that no two
    /// numbers become the same.
    fn shuffle(&self, number: u32) -> u32 {
        let (mut high, mut low) = (number >> 16, number & 0xFFFF);
        for round in 0..FEISTEL_ROUNDS {
            let mixed = self.key.hash_one((round, low)) & 0xFFFF;
            (high, low) = (low, high ^ u32::try_from(mixed).unwrap_or(0));
        }
        (high << 16) | low
    }
}

/// Four make a permutation that looks random to who sees its outputs.
const FEISTEL_ROUNDS: u8 = 4;

/// A complete, correct CLIENT_HELLO that waits for a decision. Dropping it without one closes the connection.
#[derive(Debug)]
pub struct PendingSession {
    connection: Connection,
    hello: ReceivedHello,
    /// What it wants if not a session of its own.
    migration: Option<ReceivedMigration>,
    sessions: Option<SessionRegistry>,
    decided: bool,
    time_left: Duration,
    /// Its place among the listener's pending connections, until it is decided about.
    place: Option<Place>,
    /// Where it is counted, once.
    tally: Option<Tally>,
}

impl PendingSession {
    pub(crate) fn new(
        connection: Connection,
        hello: ReceivedHello,
        time_left: Duration,
        place: Option<Place>,
    ) -> Self {
        PendingSession {
            connection,
            hello,
            migration: None,
            sessions: None,
            decided: false,
            time_left,
            place,
            tally: None,
        }
    }

    /// The same for a client that wants to go on with a session over this connection.
    pub(crate) fn migrating(
        connection: Connection,
        asked: ReceivedMigration,
        sessions: SessionRegistry,
        time_left: Duration,
        place: Option<Place>,
    ) -> Self {
        let hello = sessions.hello_of(&asked, &connection);
        let mut pending = PendingSession::new(connection, hello, time_left, place).among(sessions);
        pending.migration = Some(asked);
        pending
    }

    /// Counts what becomes of it.
    pub(crate) fn counted(mut self, tally: &Tally) -> Self {
        self.tally = Some(tally.clone());
        self
    }

    fn count(&mut self, fate: Fate) {
        if let Some(tally) = self.tally.take() {
            tally.count(fate);
        }
    }

    /// The registry that the session is entered in when it may move.
    pub(crate) fn among(mut self, sessions: SessionRegistry) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Reads the hello of a connection accepted raw. What arrived before this call counts. The session cannot move: see
    /// [`PendingSession::read_among`]. Not cancel-safe, likewise.
    ///
    /// # Errors
    ///
    /// As [`PendingSession::read_among`].
    pub async fn read(
        connection: Connection,
        settings: ServerSettings,
        timeout: Option<Duration>,
    ) -> Result<Self, HandshakeError> {
        let mut settings = settings;
        settings.migration = Migration::Off;
        Self::read_among(connection, settings, &SessionRegistry::new(), timeout).await
    }

    /// Reads what a client says first on a connection accepted raw: its hello, or that it wants to go on with one of
    /// `sessions`, among which its own is entered when it may move.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the client has been answered and the connection closed. Not cancel-safe: dropping the
    /// future closes the connection.
    pub async fn read_among(
        connection: Connection,
        settings: ServerSettings,
        sessions: &SessionRegistry,
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
        let took = clock::now().saturating_duration_since(started);
        let left = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(took));
        match item? {
            Item::Hello(hello) => {
                guard.keep();
                Ok(PendingSession::new(connection, *hello, left, None).among(sessions.clone()))
            }
            Item::Migrate(asked) => {
                guard.keep();
                Ok(PendingSession::migrating(connection, *asked, sessions.clone(), left, None))
            }
            Item::HandshakeFailed(failure) => {
                // The ERROR is on its way; let it arrive.
                guard.keep();
                Err(HandshakeError::Refused(failure))
            }
            _ => Err(HandshakeError::Timeout(Duration::ZERO)),
        }
    }

    /// Whether the client wants to go on with a session it has, over this connection. Authenticate it like any other: its
    /// auth block is in [`PendingSession::hello`]. Then call [`PendingSession::migrate`] instead of
    /// [`PendingSession::admit`]. Never so unless [`ServerSettings::migration`] is on.
    pub fn is_migration(&self) -> bool {
        self.migration.is_some()
    }

    /// Moves the session the client asks for to this connection, after checking that it is the client's: the auth block
    /// and, where one was used, the client certificate are those it was opened with. Whoever serves the session goes on
    /// without noticing.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Refused`] with a fault of R-MIG-3 or R-MIG-4; the client has been told, and the session goes on
    /// where it is.
    pub fn migrate(mut self) -> Result<TakenOver, HandshakeError> {
        let (Some(asked), Some(sessions)) = (self.migration.take(), self.sessions.take()) else {
            let fault = Fault::refusal(ErrorCode::InvalidState, "the client asks for a session of its own");
            return Err(refused(fault, None));
        };
        self.decided = true;
        let session = asked.packet.header.session_id;
        let peer = self.connection.peer_addr();
        let grace = self.connection.with(|machine, _| machine.migration_grace());
        match sessions.take_over(&asked, &self.connection, grace) {
            Ok(moved) => {
                let (from, to) = (moved.from, self.connection.transport());
                self.count(Fate::Moved);
                tracing::info!(session, %peer, %from, %to, repeated = moved.repeated, "a session has moved");
                Ok(moved)
            }
            Err(fault) => {
                self.count(Fate::Handshake);
                tracing::warn!(session, %peer, %fault, "a client may not move a session");
                self.keep_place();
                self.connection.with(|machine, now| machine.refuse_migration(now, &fault));
                Err(refused(fault, Some(asked.packet)))
            }
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
        if self.is_migration() {
            let fault =
                Fault::found(RuleId::MIG_5, MessageType::SessionMigrate, "sessions are not moved here");
            self.send_away(fault.clone());
            return Err(refused(fault, None));
        }
        if admission.fallback_session_id == 0 {
            admission.fallback_session_id = fresh_session_id();
        }
        let connection = self.connection.clone();
        let hello = Arc::new(self.hello.clone());
        // Dropped, and so taken back, when the client is not admitted.
        let registered = self.register(&mut admission, &hello);
        let admitted = connection.with(|machine, now| machine.admit(now, &admission));
        match admitted {
            Ok(ack) => {
                self.decided = true;
                self.count(Fate::Accepted);
                let (session, peer) = (ack.metadata.session_id, connection.peer_addr());
                tracing::info!(session, %peer, transport = %connection.transport(), "a session begins");
                connection.open_windows();
                Ok(ServerSession::new(connection, hello, ack, registered))
            }
            Err(CommandError::State { .. }) if connection.ended().is_some() => Err(connection
                .ended()
                .map_or(HandshakeError::Timeout(Duration::ZERO), HandshakeError::Closed)),
            Err(error) => {
                self.count(Fate::Handshake);
                Err(HandshakeError::Send(SendError::Command(error)))
            }
        }
    }

    /// Enters a session that may move among the others, under an id that none of them has.
    fn register(&self, admission: &mut Admission, hello: &Arc<ReceivedHello>) -> Option<Registered> {
        let sessions = self.sessions.clone()?;
        let may_move =
            self.connection.with(|machine, _| machine.offers_migration(&self.hello.hello.auth_block));
        if !may_move {
            return None;
        }
        let requested = self.hello.hello.metadata.requested_session_id;
        let wanted = admission.session_id.unwrap_or(requested);
        let registered = sessions.reserve(wanted, fresh_session_id, &self.connection, hello);
        admission.session_id = Some(registered.id());
        Some(registered)
    }

    /// Sends the client away: ERROR with `code` and `text`, then the connection is closed.
    pub fn refuse(self, code: ErrorCode, text: &str) {
        self.send_away(Fault::refusal(code, text));
    }

    /// Sends the client away for now: ERROR with SERVER_BUSY and how long to wait before trying again.
    pub fn turn_away(self, retry_after: Duration) {
        self.send_away(busy(retry_after));
    }

    /// After a refused migration the client is to close; until it does, or the drain time is over, it takes its place.
    fn keep_place(&mut self) {
        if let Some(place) = self.place.take() {
            self.connection.keep_until_gone(place);
        }
    }

    fn send_away(mut self, fault: Fault) {
        self.decided = true;
        self.count(Fate::refused_with(fault.code));
        let migration = self.is_migration();
        if migration {
            self.keep_place();
        }
        self.connection.with(|machine, now| {
            if migration { machine.refuse_migration(now, &fault) } else { machine.refuse_client(now, fault) }
        });
    }
}

fn refused(fault: Fault, packet: Option<Packet>) -> HandshakeError {
    HandshakeError::Refused(Box::new(HandshakeFailure { fault, packet }))
}

/// What a client hears that comes at a bad time.
pub(crate) fn busy(retry_after: Duration) -> Fault {
    Fault::refusal(ErrorCode::ServerBusy, "the server is busy; try again later").retry_after(retry_after)
}

impl Drop for PendingSession {
    fn drop(&mut self) {
        if !self.decided {
            self.count(Fate::Left);
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::SessionIds;

    #[test]
    fn session_ids_are_unique_and_do_not_count() {
        let ids = SessionIds::default();
        let given: Vec<u32> = (0..100_000).map(|_| ids.next()).collect();
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
        assert!(!given.contains(&0));
        let steps =
            given.iter().zip(given.iter().skip(1)).filter(|(one, next)| one.abs_diff(**next) < 1000).count();
        assert!(steps < 100, "{steps} of them are near their predecessor");
        assert_ne!(given.first(), Some(&SessionIds::default().next()), "another server gives others");
    }
}
