//! A session goes on over another connection.

use std::sync::Arc;
use std::time::Duration;

use nnrp_session::{ClientSettings, CommandError, DRAIN_TIME, Fault, Machine, MigrationAnswer, Moved, Side};
use nnrp_wire::Packet;

use crate::clock;
use crate::connection::Connection;
use crate::inbox::Room;
use crate::order::ORDER_PATIENCE;
use crate::publish::Wakes;
use crate::session_event::SessionEvent;
use crate::shared::Shared;

/// Why a session did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The answer does not allow it.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// One of the two connections is over.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Connection {
    /// Server: this session goes on over `newcomer`, whose client asked for it and has proved who it is. Everything that
    /// holds or waits on this connection goes on without noticing. The old path closes with its client, or when `grace`
    /// and the drain time are over.
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when this session is over or ending, or the newcomer has left; [`CommandError::Refused`] when
    /// it moves too often. Nothing has changed then.
    pub fn take_over(&self, newcomer: &Connection, grace: Duration) -> Result<Moved, CommandError> {
        let (session, other) = (self.shared(), newcomer.shared());
        join(session, other, grace + DRAIN_TIME, |machine, new, now| machine.take_over(now, new, grace))
    }

    /// Client: asks on this raw connection for the session that `request` names. Frames that arrive wait until
    /// [`Connection::finish_migration`].
    ///
    /// # Errors
    ///
    /// [`CommandError::State`] when the connection is over.
    pub fn ask_to_migrate(&self, request: &Packet, settings: ClientSettings) -> Result<(), CommandError> {
        self.shared().link().hold_frames();
        self.adopt(|machine, now| machine.ask_to_migrate(now, request, settings))
    }

    /// Client: this session goes on over `newcomer`, where `answer` came. See [`Connection::take_over`]. Not
    /// cancel-safe: dropping the future leaves frames of the new path unread.
    ///
    /// # Errors
    ///
    /// [`MoveError`]; the session stays where it is.
    pub async fn finish_migration(
        &self,
        newcomer: &Connection,
        answer: &MigrationAnswer,
    ) -> Result<Moved, MoveError> {
        let (session, other) = (self.shared(), newcomer.shared());
        let old = session.link();
        let joined = join(session, other, answer.grace(), |machine, new, now| {
            machine.check_migration(answer).map_err(|fault| MoveError::Fault(Box::new(fault)))?;
            machine.check_open("migrating the session")?;
            Ok(machine.finish_migration(now, new, answer))
        });
        // On one stream nothing the peer counts as received is still on its way through our reading.
        if joined.is_ok() && old.quic.is_some() {
            // What has arrived on the old path comes before what the new one brings.
            let _ = tokio::time::timeout(ORDER_PATIENCE, old.until_drained()).await;
        }
        other.link().release();
        joined
    }
}

/// Puts `newcomer`'s transport in the place of `session`'s, once `act` has moved the state of the machines.
fn join<E: From<CommandError>>(
    session: &Arc<Shared>,
    newcomer: &Arc<Shared>,
    linger: Duration,
    act: impl FnOnce(&mut Machine, &mut Machine, std::time::Instant) -> Result<Moved, E>,
) -> Result<Moved, E> {
    // Nobody else ever holds two of these locks.
    let mut new_machine = newcomer.lock();
    let mut machine = session.lock();
    let now = clock::now();
    let link = newcomer.link();
    let path = link.path().filter(|_| !new_machine.is_ended() && !link.is_gone());
    let Some(path) = path else {
        return Err(CommandError::State { what: "migrating the session", state: new_machine.state() }.into());
    };
    let moved = act(&mut machine, &mut new_machine, now)?;
    path.carry(session.clone());
    let old = session.change_link(link.clone());
    session.events.send(|| SessionEvent::Moved { transport: link.transport, peer: link.peer });
    let (room, replies) = old.leave(now + linger);
    session.give_back_room(room, &moved.withdrawn);
    machine.handle_replies_written(replies);
    let mut wakes = Wakes::default();
    session.publish(&mut machine, &mut Room::default(), &mut wakes);
    session.finish(machine, now, wakes);
    drop(new_machine);
    if session.side() == Side::Server {
        // Admitted: it may send as much as a session does.
        if let Some(quic) = &link.quic {
            quic.open_windows();
        }
    }
    link.wake_writer.notify_one();
    Ok(moved)
}
