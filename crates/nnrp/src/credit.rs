//! Submits that wait: for credit, for the end of a pause, and for each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nnrp_session::{CommandError, CreditPolicy, Hold, HoldReason, Machine};
use nnrp_transport::{Connection, SendError, Sent, clock};
use nnrp_wire::{EncodedPacket, FrameClass, Header};
use tokio::sync::{Mutex, MutexGuard, watch};

/// The queues of submits.
#[derive(Debug)]
pub(crate) struct Waiting {
    frames: Queue,
    /// Frames of class discardable have a queue of their own, because a server may take those and no others.
    discardable: Queue,
    /// How long a submit may be held back; `None` = for ever.
    limit: Option<Duration>,
}

/// Submits that are held back, and what asks for a limit.
#[derive(Debug, Default)]
struct Queue {
    /// How many there are.
    length: AtomicUsize,
    /// A fair lock: whoever holds it is at the head.
    head: Mutex<()>,
}

/// A place in a queue.
struct Place<'a>(&'a Queue);

impl Queue {
    fn join(&self) -> Place<'_> {
        self.length.fetch_add(1, Ordering::AcqRel);
        Place(self)
    }

    fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Waiting {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Waiting { frames: Queue::default(), discardable: Queue::default(), limit }
    }

    fn queue(&self, class: FrameClass) -> &Queue {
        if class == FrameClass::Discardable { &self.discardable } else { &self.frames }
    }

    /// Sends a submit where there is nobody to be overtaken and nothing that holds it back, which is most of them: it joins no
    /// queue, and is in no future that would be moved about. Otherwise its packet is handed back.
    pub(crate) fn submit_now(
        &self,
        connection: &Connection,
        packet: EncodedPacket,
        class: FrameClass,
    ) -> Result<Result<Sent, SendError>, EncodedPacket> {
        if !self.queue(class).is_empty() {
            return Err(packet);
        }
        let (header, bytes) = (*packet.header(), packet.len());
        let mut kept = None;
        let done = connection.command_frame_now(None, bytes, packet, |machine, now, packet| match machine
            .check_credit(now, class)
        {
            Ok(()) => machine.submit(now, packet),
            Err(why) => {
                kept = Some(packet);
                Err(why)
            }
        })?;
        match (kept, &done) {
            (Some(packet), Err(SendError::Command(CommandError::Held(_)))) => Err(packet),
            _ => {
                log_sent(connection, &header, &done);
                Ok(done)
            }
        }
    }

    /// Sends a submit when its turn has come and the server lets it. `limit` in place of the session's own covers the wait
    /// for room in the write buffer too. Cancel-safe: all of it is sent or nothing.
    pub(crate) async fn submit(
        &self,
        connection: &Connection,
        packet: EncodedPacket,
        class: FrameClass,
        limit: Option<Duration>,
    ) -> Result<Sent, SendError> {
        let (header, bytes) = (*packet.header(), packet.len());
        let mut packet = Some(packet);
        let queue = self.queue(class);
        let _place = queue.join();
        let policy = connection.look(Machine::credit_policy);
        let mut patience = match limit {
            Some(_) => Patience { since: Some(clock::now()), limit, counted: false },
            None if policy == CreditPolicy::Fail => Patience::new(Some(Duration::ZERO)),
            None => Patience::new(self.limit),
        };
        let room_until = limit.and_then(|_| patience.until());
        let _turn = match policy {
            CreditPolicy::Ignore => None,
            _ => Some(patience.turn(&queue.head).await?),
        };
        let mut changes = None;
        loop {
            let sent = tokio::select! {
                biased;
                sent = attempt(connection, bytes, class, &mut packet) => sent,
                () = clock::sleep_until(room_until) => {
                    return Err(patience.given_up(Hold::new(HoldReason::BufferFull)));
                }
            };
            match sent {
                Err(SendError::Command(CommandError::Held(hold))) => match changes.take() {
                    Some(changes) => patience.wait(connection, changes, hold).await?,
                    // Subscribed before the next attempt, so that no change falls in between.
                    None => changes = Some(connection.credit_changes()),
                },
                done => {
                    log_sent(connection, &header, &done);
                    return done;
                }
            }
        }
    }
}

/// Submits what is in `packet`, if nothing holds it back. It is still there if something does.
fn attempt<'a>(
    connection: &'a Connection,
    bytes: usize,
    class: FrameClass,
    packet: &'a mut Option<EncodedPacket>,
) -> impl Future<Output = Result<Sent, SendError>> + use<'a> {
    connection.command_frame(bytes, move |machine, now| {
        machine.check_credit(now, class)?;
        packet.take().map_or(Ok(()), |packet| machine.submit(now, packet))
    })
}

fn log_sent(connection: &Connection, header: &Header, sent: &Result<Sent, SendError>) {
    if let Ok(Sent { bytes, .. }) = sent {
        tracing::debug!(
            target: "nnrp::client",
            session = header.session_id, frame = header.frame_id, view = header.view_id, trace = header.trace_id,
            peer = %connection.peer_addr(), bytes, "a frame is on its way"
        );
    }
}

/// How long one submit has been held back and may be.
struct Patience {
    since: Option<Instant>,
    limit: Option<Duration>,
    counted: bool,
}

impl Patience {
    /// Begins to run when the submit is first held back.
    fn new(limit: Option<Duration>) -> Self {
        Patience { since: None, limit, counted: false }
    }

    /// When it is over. Begins to run.
    fn until(&mut self) -> Option<Instant> {
        let since = *self.since.get_or_insert_with(clock::now);
        self.limit.and_then(|limit| since.checked_add(limit))
    }

    /// Waits for the head of the queue.
    async fn turn<'a>(&mut self, queue: &'a Mutex<()>) -> Result<MutexGuard<'a, ()>, SendError> {
        if let Ok(turn) = queue.try_lock() {
            return Ok(turn);
        }
        let until = self.until();
        tokio::select! {
            biased;
            turn = queue.lock() => Ok(turn),
            () = clock::sleep_until(until) => {
                Err(self.given_up(Hold::new(HoldReason::Queued)))
            }
        }
    }

    /// Waits until a submit that was held back is worth another try.
    async fn wait(
        &mut self,
        connection: &Connection,
        mut changes: watch::Receiver<u64>,
        hold: Hold,
    ) -> Result<(), SendError> {
        if !std::mem::replace(&mut self.counted, true) {
            connection.with(|machine, _| machine.note_held());
        }
        let until = self.until();
        if until.is_some_and(|until| until <= clock::now()) {
            return Err(self.given_up(hold));
        }
        tokio::select! {
            // The next attempt finds out, and says how the session ended.
            _ = connection.closed() => {}
            _ = changes.changed() => {}
            () = clock::sleep_until(hold.until) => {}
            () = clock::sleep_until(until) => {}
        }
        Ok(())
    }

    fn given_up(&self, mut hold: Hold) -> SendError {
        let waited = self.since.map_or(Duration::ZERO, |since| clock::now().saturating_duration_since(since));
        hold.waited = if self.limit == Some(Duration::ZERO) { Duration::ZERO } else { waited };
        SendError::Command(CommandError::Held(hold))
    }
}
