//! Sessions that move from one connection to another: where a server finds them, and how a client moves one.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nnrp_session::{CommandError, Fault, ReceivedHello, ReceivedMigration, constant_time_eq};
use nnrp_transport::{Connection, Filter, Item, MoveError, SendError, WeakConnection, clock};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{ClientHello, ErrorCode, Header, MessageType, Packet, TransportId};

use crate::client::ClientSession;
use crate::error::Closed;

/// Attempts a session remembers.
const MAX_RECORDS: usize = 64;

/// Dead entries of a registry are looked for when it has grown to this, and at twice what is left after that.
const FIRST_PRUNING: usize = 256;

// ---------------------------------------------------------------- server
/// The live sessions of a server that may move, by id. Cloning shares it.
///
/// Listeners whose configurations share one registry, for instance clones of one [`ServerConfig`](crate::ServerConfig),
/// take over each other's sessions: that is how one moves from QUIC to TCP. Ids are unique among its sessions: a client
/// that asks for one in use is given another.
#[derive(Clone, Debug, Default)]
pub struct SessionRegistry(Arc<Mutex<Sessions>>);

#[derive(Debug)]
struct Sessions {
    by_id: HashMap<u32, Movable>,
    prune_at: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { by_id: HashMap::new(), prune_at: FIRST_PRUNING }
    }
}

#[derive(Clone, Debug)]
struct Movable {
    connection: WeakConnection,
    /// What its client proved who it is with. The session keeps it: nobody's secret outlives it here.
    hello: Weak<ReceivedHello>,
}

impl Movable {
    fn live(&self) -> Option<Connection> {
        self.connection.upgrade().filter(|connection| connection.ended().is_none())
    }
}

impl SessionRegistry {
    /// An empty one.
    pub fn new() -> Self {
        SessionRegistry::default()
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an id for a session that is about to be admitted: `wanted`, or the next of `others` when it is in use.
    pub(crate) fn reserve(
        &self,
        wanted: u32,
        mut others: impl FnMut() -> u32,
        connection: &Connection,
        hello: &Arc<ReceivedHello>,
    ) -> Registered {
        let mut sessions = self.lock();
        if sessions.by_id.len() >= sessions.prune_at {
            sessions.by_id.retain(|_, session| session.live().is_some());
            sessions.prune_at = (2 * sessions.by_id.len()).max(FIRST_PRUNING);
        }
        let mut id = wanted;
        while id == 0 || sessions.by_id.get(&id).is_some_and(|session| session.live().is_some()) {
            id = others();
        }
        let session = Movable { connection: connection.downgrade(), hello: Arc::downgrade(hello) };
        sessions.by_id.insert(id, session);
        Registered { sessions: self.clone(), id, connection: connection.downgrade() }
    }

    fn find(&self, id: u32) -> Option<(Connection, Arc<ReceivedHello>)> {
        let session = self.lock().by_id.get(&id).cloned()?;
        Some((session.live()?, session.hello.upgrade()?))
    }

    /// What the application's authentication gets to see of a client that wants to move a session: the hello that opened
    /// it, with the auth block and the certificates presented now.
    pub(crate) fn hello_of(&self, asked: &ReceivedMigration, newcomer: &Connection) -> ReceivedHello {
        let known = self.find(asked.packet.header.session_id).map(|(_, hello)| hello.hello.clone());
        let hello = ClientHello { auth_block: asked.request.token.clone(), ..known.unwrap_or_default() };
        let packet = hello.encode(Header::new(MessageType::ClientHello));
        ReceivedHello {
            packet: packet.map_or_else(|_| asked.packet.clone(), |packet| packet.to_packet()),
            hello,
            peer_certificates: newcomer.peer_certificates().to_vec(),
        }
    }

    /// Moves the session that `asked` names to `newcomer`, if that is the same client (wire reference 18.4).
    pub(crate) fn take_over(
        &self,
        asked: &ReceivedMigration,
        newcomer: &Connection,
        grace: Duration,
    ) -> Result<TakenOver, Fault> {
        let refuse = |rule, text: &str| Fault::found(rule, MessageType::SessionMigrate, text);
        let token = &asked.request.token;
        let Some((session, hello)) = self.find(asked.packet.header.session_id) else {
            // The same work as for a session that exists.
            let _ = constant_time_eq(token, token);
            return Err(refuse(RuleId::MIG_3, "there is no such session that may move"));
        };
        if !constant_time_eq(token, &hello.hello.auth_block) {
            return Err(refuse(RuleId::MIG_4, "the token is not that of the session's client"));
        }
        if !hello.peer_certificates.is_empty() && newcomer.peer_certificates() != hello.peer_certificates {
            return Err(refuse(RuleId::MIG_4, "the certificate is not that of the session's client"));
        }
        if let Err(why) = check_privacy(&session, newcomer) {
            return Err(refuse(RuleId::MIG_4, why));
        }
        let from = session.transport();
        let moved = session.take_over(newcomer, grace).map_err(|error| match error {
            CommandError::Refused(text) => Fault::refusal(ErrorCode::ServerBusy, text),
            error => refuse(RuleId::MIG_3, &error.to_string()),
        })?;
        Ok(TakenOver { from, repeated: moved.repeated })
    }
}

/// A session's entry, as long as it is held.
#[derive(Debug)]
pub(crate) struct Registered {
    sessions: SessionRegistry,
    id: u32,
    connection: WeakConnection,
}

impl Registered {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // The id may be somebody else's by now.
        let mut sessions = self.sessions.lock();
        if sessions.by_id.get(&self.id).is_some_and(|session| session.connection.is(&self.connection)) {
            sessions.by_id.remove(&self.id);
        }
    }
}

/// What was said where nobody could read along is not gone on with in clear, auth block first.
fn check_privacy(session: &Connection, newcomer: &Connection) -> Result<(), &'static str> {
    if session.is_private() && !newcomer.is_private() {
        return Err("the session is encrypted, and the new connection is plain TCP to another host");
    }
    Ok(())
}

/// What a migration did on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenOver {
    /// The binding the session was on.
    pub from: TransportId,
    /// Results sent again.
    pub repeated: usize,
}

// ---------------------------------------------------------------- client
/// A session could not be moved. It stays where it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The server refused (`fault.from_peer`), or its answer breaks a rule.
    #[error("the session was not migrated: {0}")]
    Refused(Box<Fault>),
    /// The server did not answer in time. It may have taken the session to the new connection without our hearing of it:
    /// then only another migration brings it back.
    #[error("no SESSION_MIGRATE_ACK within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The new connection ended first.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The session is over, ending, or being migrated already; or it is on a connection that nobody can read along, and the
    /// new one is not ([`Connection::is_private`]). Nothing was sent.
    #[error(transparent)]
    State(#[from] SendError),
}

/// One attempt to move a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigrationRecord {
    /// Why it was tried: what was given to [`ClientSession::migrate_because`].
    pub trigger: String,
    /// The binding the session was on.
    pub from: TransportId,
    /// The binding it was to go to.
    pub to: TransportId,
    /// From SESSION_MIGRATE to the first packet that may leave on the new path. While it lasts nothing is sent.
    pub duration: Duration,
    /// Lowest frame id the application may submit from now on; `None` unless the session moved.
    pub resume_from_frame_id: Option<u32>,
    /// How long the old path is still read; `None` unless the session moved.
    pub grace: Option<Duration>,
    /// Submits sent again because the server had not received them.
    pub repeated: usize,
    /// The server's SESSION_MIGRATE_ACK, if it came.
    pub answer: Option<Packet>,
    /// Why it did not move.
    pub error: Option<MigrateError>,
}

/// The newest attempts of a session.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<VecDeque<MigrationRecord>>);

impl Records {
    fn lock(&self) -> MutexGuard<'_, VecDeque<MigrationRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, record: MigrationRecord) {
        let mut records = self.lock();
        if records.len() >= MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
    }
}

impl ClientSession {
    /// Moves the session to `connection`, a raw one to the same server, over the same or the other binding. Everything
    /// that holds the session or waits on it goes on without noticing: frames and results lost with the old path are
    /// repeated by both sides, and none is handed out twice. See the page on migration.
    ///
    /// Nothing is sent between the question and the answer. Cancel-safe: the migration goes on.
    ///
    /// # Errors
    ///
    /// [`MigrateError`]; the session stays where it was, and `connection` is closed.
    pub async fn migrate(&self, connection: Connection) -> Result<MigrationRecord, MigrateError> {
        self.migrate_because(connection, "asked for by the application").await
    }

    /// The same, with the reason that its record shows. Cancel-safe likewise.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::migrate`].
    pub async fn migrate_because(
        &self,
        connection: Connection,
        trigger: impl Into<String>,
    ) -> Result<MigrationRecord, MigrateError> {
        let (session, trigger) = (self.clone(), trigger.into());
        // In a task of its own: half a migration is none.
        let moving = tokio::spawn(async move { session.attempt(connection, trigger).await });
        let record = moving.await.map_err(|_| MigrateError::Timeout(Duration::ZERO))?;
        match record.error {
            None => Ok(record),
            Some(error) => Err(error),
        }
    }

    /// The newest attempts to move this session, oldest first.
    pub fn migrations(&self) -> Vec<MigrationRecord> {
        self.records().lock().iter().cloned().collect()
    }

    async fn attempt(&self, newcomer: Connection, trigger: String) -> MigrationRecord {
        let (from, to) = (self.connection().transport(), newcomer.transport());
        let started = clock::now();
        let mut answer = None;
        let outcome = self.ask(&newcomer, &mut answer).await;
        let mut record = MigrationRecord {
            trigger,
            from,
            to,
            duration: clock::now().saturating_duration_since(started),
            resume_from_frame_id: None,
            grace: None,
            repeated: 0,
            answer,
            error: None,
        };
        let (session, ms) = (self.id(), record.duration.as_millis());
        match outcome {
            Ok(moved) => {
                record.resume_from_frame_id = Some(moved.resume_from);
                record.grace = Some(moved.grace);
                record.repeated = moved.repeated;
                tracing::info!(
                    target: "nnrp::client", session, %from, %to, trigger = record.trigger, ms, resume_from = moved.resume_from,
                    repeated = moved.repeated, "the session has moved"
                );
            }
            Err(error) => {
                newcomer.abort(0, "");
                tracing::warn!(target: "nnrp::client", session, %from, %to, trigger = record.trigger, ms, %error, "the session could not be moved");
                record.error = Some(error);
            }
        }
        self.records().add(record.clone());
        record
    }

    async fn ask(
        &self,
        newcomer: &Connection,
        answered: &mut Option<Packet>,
    ) -> Result<MovedTo, MigrateError> {
        let connection = self.connection();
        // Before the auth block leaves.
        check_privacy(connection, newcomer)
            .map_err(|why| MigrateError::State(SendError::Command(CommandError::Refused(why.to_owned()))))?;
        let (token, settings) = self.proof();
        let waits = settings.handshake_timeout;
        let to = newcomer.transport();
        let request = connection
            .with(|machine, now| machine.begin_migration(now, to, token))
            .map_err(|error| MigrateError::State(SendError::Command(error)))?;
        let stays = StaysUnlessMoved(Some(connection));
        newcomer.ask_to_migrate(&request, settings).map_err(|error| closed_or(newcomer, error))?;
        let answer = match newcomer.receive(Filter::Handshake).await? {
            Item::MigrationAnswered(answer) => answer,
            Item::HandshakeFailed(failure) if failure.packet.is_none() && !failure.fault.from_peer => {
                return Err(MigrateError::Timeout(waits));
            }
            Item::HandshakeFailed(failure) => return Err(MigrateError::Refused(Box::new(failure.fault))),
            _ => return Err(MigrateError::Timeout(waits)),
        };
        *answered = Some(answer.packet.clone());
        let moved = connection.finish_migration(newcomer, &answer).await.map_err(|error| match error {
            MoveError::Fault(fault) => MigrateError::Refused(fault),
            MoveError::Command(error) => closed_or(newcomer, error),
            _ => MigrateError::Timeout(waits),
        })?;
        stays.moved();
        let metadata = &answer.ack.metadata;
        Ok(MovedTo {
            resume_from: u32::try_from(metadata.resume_from_frame_id).unwrap_or(u32::MAX),
            grace: answer.grace(),
            repeated: moved.repeated,
        })
    }
}

struct MovedTo {
    resume_from: u32,
    grace: Duration,
    repeated: usize,
}

/// Lets a session go on where it is when it did not move.
struct StaysUnlessMoved<'a>(Option<&'a Connection>);

impl StaysUnlessMoved<'_> {
    fn moved(mut self) {
        self.0 = None;
    }
}

impl Drop for StaysUnlessMoved<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.with(|machine, _| machine.abandon_migration());
        }
    }
}

fn closed_or(newcomer: &Connection, error: CommandError) -> MigrateError {
    newcomer.ended().map_or(MigrateError::State(SendError::Command(error)), MigrateError::Closed)
}

#[cfg(test)]
mod tests {
    use nnrp_transport::memory;

    use super::*;

    fn hello() -> Arc<ReceivedHello> {
        let hello = ClientHello::default();
        let packet =
            Packet::build(Header::new(MessageType::ClientHello), Vec::new().into(), Vec::new().into());
        Arc::new(ReceivedHello { packet, hello, peer_certificates: Vec::new() })
    }

    #[tokio::test]
    async fn an_id_is_free_when_its_session_is_let_go_of_and_only_then() {
        let (sessions, hello) = (SessionRegistry::new(), hello());
        let ((one, _one), (two, _two)) = (memory::pair(), memory::pair());
        let first = sessions.reserve(7, || 8, &one, &hello);
        one.abort(0, "");
        let second = sessions.reserve(7, || 8, &two, &hello);
        assert_eq!((first.id(), second.id()), (7, 7), "the first is over");
        drop(first);
        assert!(sessions.find(7).is_some(), "it is the second's");
        drop(second);
        assert!(sessions.lock().by_id.is_empty());
        assert_eq!(Arc::strong_count(&hello), 1);
    }

    #[tokio::test]
    async fn a_secret_is_kept_by_its_session_only() {
        let (sessions, hello) = (SessionRegistry::new(), hello());
        let (one, _one) = memory::pair();
        let _registered = sessions.reserve(7, || 8, &one, &hello);
        assert_eq!(Arc::strong_count(&hello), 1);
        drop(hello);
        assert!(sessions.find(7).is_none());
    }
}
