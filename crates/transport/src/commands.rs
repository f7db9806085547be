//! What the application asks of a machine, on its way out: the room its packets take in the write buffer, and what has left.

use std::sync::atomic::Ordering;
use std::time::Instant;

use nnrp_session::{CommandError, Machine, Side};
use nnrp_wire::TransportId;

use crate::budget::Amount;
use crate::clock;
use crate::error::{Closed, SendError};
use crate::inbox::Room;
use crate::link::Link;
use crate::pen::{Attempt, Pen, Written};
use crate::publish::Wakes;
use crate::shared::Shared;
use crate::turns;

/// Bytes the application may have handed in before [`Connection::command`](crate::Connection::command) waits. One body of an eighth of
/// the default limit: enough to keep a fast network busy, little enough to notice a slow peer. Half of what a session that may
/// move keeps (`MAX_KEPT_BYTES`): the other half is for what the lost path had taken.
pub const WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The room a packet of `bytes` takes of that: one that is larger has to fit, too.
pub(crate) fn write_cost(bytes: usize) -> usize {
    bytes.min(WRITE_BUFFER_BYTES)
}

impl Shared {
    /// As [`Connection::command`](crate::Connection::command). `now` is the time, where the caller has just looked.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn's future holds its arguments twice, and there is a packet in `act`"
    )]
    pub(crate) fn command<R>(
        &self,
        bytes: usize,
        mut now: Option<Instant>,
        act: impl FnOnce(&mut Machine, Instant) -> Result<R, CommandError>,
    ) -> impl Future<Output = Result<R, SendError>> {
        async move {
            let room = Amount::bytes(write_cost(bytes));
            if !self.write_room.take_now(room) {
                // In a box: few have to wait, and all would be moved about with what that needs.
                Box::pin(self.take_write_room(room)).await?;
                now = None;
            }
            self.carry_out(bytes, now.unwrap_or_else(clock::now), act)
        }
    }

    /// The same without waiting: while there is no room in the write buffer, `what` is handed back and nothing done. It is in no
    /// future, which would be moved about with it.
    pub(crate) fn command_now<T, R>(
        &self,
        bytes: usize,
        now: Option<Instant>,
        what: T,
        act: impl FnOnce(&mut Machine, Instant, T) -> Result<R, CommandError>,
    ) -> Result<Result<R, SendError>, T> {
        if !self.write_room.take_now(Amount::bytes(write_cost(bytes))) {
            return Err(what);
        }
        let now = now.unwrap_or_else(clock::now);
        Ok(self.carry_out(bytes, now, |machine, now| act(machine, now, what)))
    }

    /// Waits for room in the write buffer, and takes it.
    async fn take_write_room(&self, room: Amount) -> Result<(), Closed> {
        tokio::select! {
            biased;
            closed = self.until_ended() => Err(closed),
            () = self.write_room.take(room) => Ok(()),
        }
    }

    /// Gives the machine a command that sends about `bytes`, for which room was taken, and lets that leave. The room is given back
    /// where nothing is sent: a late answer, for instance, is never written.
    fn carry_out<R>(
        &self,
        bytes: usize,
        now: Instant,
        act: impl FnOnce(&mut Machine, Instant) -> Result<R, CommandError>,
    ) -> Result<R, SendError> {
        let mut wakes = Wakes::default();
        let mut machine = self.lock();
        let before = machine.waiting_transmits();
        let done = act(&mut machine, now);
        self.publish(&mut machine, &mut Room::default(), &mut wakes);
        let sends = done.is_ok() && machine.waiting_transmits() > before;
        if sends {
            turns::note(bytes, now);
        }
        self.links.with(|link| {
            let earlier = self.note_state(&machine, link, now);
            if machine.has_transmits() {
                self.leave(machine, link, bytes);
            } else {
                drop(machine);
            }
            if earlier {
                link.wake_writer.notify_one();
            }
        });
        wakes.wake();
        if !sends {
            self.write_room.give_back(Amount::bytes(write_cost(bytes)));
        }
        done.map_err(|refused| self.refusal(refused))
    }

    /// What the caller of a command that was refused is told. Cold: few are, and mostly because the session is over.
    #[cold]
    fn refusal(&self, refused: CommandError) -> SendError {
        match &*self.ended.borrow() {
            Some(closed) => closed.clone().into(),
            None => refused.into(),
        }
    }

    /// What has been written on `link`, or never will be. Returns how many of the library's replies the machine has to be
    /// told of: none where the session has left that path, and had its room given back then.
    pub(crate) fn settle(&self, link: &Link, written: Written) -> usize {
        if !self.count_written(link, &written) {
            return 0;
        }
        let settled = link.note_written(&written);
        self.give_back_written(&written, settled)
    }

    /// The same at the end of an attempt to write, after which the pen is laid down, unless it has written everything and
    /// somebody wants it.
    pub(crate) fn settle_attempt(
        &self,
        link: &Link,
        mut pen: Box<Pen>,
        attempt: Attempt,
    ) -> (usize, Option<Box<Pen>>) {
        let written = pen.written();
        self.count_written(link, &written);
        let (settled, wanted) = link.end_attempt(&written, attempt, pen);
        (self.give_back_written(&written, settled), wanted)
    }

    /// True when anything was written whole.
    fn count_written(&self, link: &Link, written: &Written) -> bool {
        if written.moved {
            link.note_life();
        }
        let any = written.transmits > 0 || written.packets > 0;
        if any {
            self.counters.packets_sent.fetch_add(written.packets, Ordering::Relaxed);
            self.counters.bytes_sent.fetch_add(written.bytes, Ordering::Relaxed);
        }
        any
    }

    fn give_back_written(&self, written: &Written, settled: bool) -> usize {
        if !settled && written.room > 0 {
            self.write_room.give_back(Amount::bytes(written.room));
        }
        if settled { 0 } else { written.replies }
    }

    pub(crate) async fn flush(&self) {
        self.write_out();
        let mut links = self.links.subscribe();
        loop {
            let link = links.borrow_and_update().clone();
            let idle = async {
                let _awaited = link.await_settled();
                loop {
                    let settled = link.settled();
                    tokio::pin!(settled);
                    settled.as_mut().enable();
                    if !self.lock().holds_transmits() && link.is_settled() {
                        return;
                    }
                    settled.await;
                }
            };
            tokio::select! {
                biased;
                // What had not left goes on over another connection.
                Ok(()) = links.changed() => {}
                () = idle => return,
                () = link.until_gone() => {
                    if !self.lock().is_moving() {
                        return;
                    }
                    tokio::select! {
                        _ = links.changed() => {}
                        _ = self.until_ended() => return,
                    }
                }
            }
        }
    }

    /// The stream of the frame sent last; every frame opens one, the library's own drops too.
    pub(crate) fn last_stream_id(&self, machine: &Machine) -> Option<u64> {
        let first = match (self.side, machine.transport()) {
            (Side::Server, TransportId::Quic) => 3,
            _ => 2,
        };
        machine.frames_sent().checked_sub(1).map(|number| first + 4 * number)
    }
}
