//! The writer task: control packets, what has to wait, and the end.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use nnrp_session::{DRAIN_TIME, Lane, Side, Transmit};
use quinn::SendStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Driver;
use super::outlet::{BATCH, CONTROL_PRIORITY, Leaving, Outlet, Progress, Stalled};
use crate::clock;
use crate::path::Path;
use crate::pen::Written;
use crate::quic_link::QuicLink;
use crate::silence::Silence;

/// How long control packets may wait for room at the peer before PINGs among them leave in datagrams as well. The network may
/// take its time too, and a PING that is answered twice does no harm.
const CONTROL_PATIENCE: Duration = Duration::from_millis(250);

/// PINGs kept for that; the oldest go first.
const MAX_HELD_PINGS: usize = 16;

/// How often it is looked which frames have arrived when nobody waits for that: with the next frames, or this late. What a session
/// that may move keeps of them is kept that much longer.
const LOOK: Duration = Duration::from_millis(100);

type ControlWrite = Pin<Box<dyn Future<Output = Option<SendStream>> + Send>>;

/// What the writer has to do besides writing frames.
#[derive(Default)]
struct Duties {
    control: VecDeque<Leaving>,
    /// Copies of the PINGs in `control`, or being written.
    pings: VecDeque<Bytes>,
    /// When PINGs go another way, if control packets have not left by then.
    stuck_at: Option<Instant>,
    shutdown: Option<(u32, String)>,
    /// When a barrier falls, or the connection closes, whatever has not left by then.
    patience: Option<Instant>,
    /// A barrier holds.
    barred: bool,
    /// When it is looked which frames have arrived.
    look_at: Option<Instant>,
}

impl Duties {
    /// Sorts what the outlet holds, as far as barriers allow; `writing` says whether frames are being written.
    fn sort(&mut self, path: &Path, quic: &quinn::Connection, outlet: &mut Outlet, writing: bool) {
        self.barred = false;
        while let Some(transmit) = outlet.next_other() {
            match transmit {
                Transmit::Packet { lane: Lane::Datagram, origin, packet, .. }
                    if quic.send_datagram(packet.to_bytes()).is_ok() =>
                {
                    path.settle(Written { transmits: 1, ..Written::packet(packet.len(), origin) });
                }
                Transmit::Packet { lane, origin, packet, ticket } => {
                    if lane == Lane::Ping {
                        self.pings.truncate(MAX_HELD_PINGS - 1);
                        self.pings.push_front(packet.to_bytes());
                    }
                    self.control.push_back(Leaving { packet, origin, ticket });
                }
                Transmit::Barrier => {
                    let now = clock::now();
                    if (writing || outlet.is_busy()) && *self.patience.get_or_insert(now + DRAIN_TIME) > now {
                        outlet.hold(Transmit::Barrier);
                        self.barred = true;
                        return;
                    }
                    self.patience = None;
                    path.done(1);
                }
                Transmit::Shutdown { code, reason } => {
                    if self.shutdown.is_none() {
                        self.shutdown = Some((code, reason));
                        self.patience = Some(clock::now() + DRAIN_TIME);
                    }
                }
            }
        }
    }

    /// When something is to be done, whatever happens.
    fn alarm(&self, deadline: Option<Instant>) -> Option<Instant> {
        let stuck_at = self.stuck_at.filter(|_| !self.pings.is_empty());
        [deadline, stuck_at, self.patience, self.look_at].into_iter().flatten().min()
    }
}

impl Driver {
    pub(super) async fn write(self, link: QuicLink, control: oneshot::Receiver<SendStream>) {
        let mut duties = Duties::default();
        let mut frames: JoinSet<()> = JoinSet::new();
        let mut control_stream: Option<SendStream> = None;
        let mut control_write: Option<ControlWrite> = Some(Box::pin(async move {
            let stream = control.await.ok()?;
            let _ = stream.set_priority(CONTROL_PRIORITY);
            Some(stream)
        }));
        let mut opening = true;
        let mut acknowledged: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let mut timer = Silence::default();
        let quic = self.quic.clone();
        let closed = quic.closed();
        tokio::pin!(closed);
        loop {
            let turn = self.turn(&link, &mut duties, &mut frames);
            if control_write.is_none()
                && !duties.control.is_empty()
                && let Some(stream) = control_stream.take()
            {
                let packets = std::mem::take(&mut duties.control);
                duties.stuck_at = Some(clock::now() + CONTROL_PATIENCE);
                control_write = Some(Box::pin(self.clone().write_control(stream, packets)));
            }
            if let Some((code, reason)) = &duties.shutdown
                && control_write.is_none()
                && duties.control.is_empty()
                && turn.is_empty
            {
                return self.say_goodbye(&link, control_stream, frames, *code, reason).await;
            }
            let awaited = duties.barred || self.path.link.is_awaited();
            if awaited && acknowledged.is_none() {
                acknowledged = link.outlet().acknowledgement().map(FutureExt::boxed);
            }
            let alarm = duties.alarm(turn.deadline);
            let left = alarm.map(|at| at.saturating_duration_since(clock::now()));
            tokio::select! {
                biased;
                stream = async { match &mut control_write { Some(write) => write.await, None => None } },
                    if control_write.is_some() => {
                    control_write = None;
                    opening = false;
                    control_stream = stream;
                    duties.stuck_at = None;
                    if duties.control.is_empty() {
                        duties.pings.clear();
                    }
                    if control_stream.is_none() {
                        // The peer will not hear us any more; without its control stream the session is over.
                        return self.say_goodbye(&link, None, frames, 0, "control stream lost").await;
                    }
                }
                opened = self.quic.open_uni(), if turn.waits_for_streams => {
                    let Ok(stream) = opened else { return };
                    let mut progress = Progress::default();
                    link.outlet().write_first(stream, &mut progress);
                    self.path.progress(progress);
                }
                Some(_) = frames.join_next() => {}
                () = async { match &mut acknowledged { Some(arrived) => arrived.await, None => pending().await } },
                    if acknowledged.is_some() => acknowledged = None,
                () = self.path.link.wake_writer.notified(), if duties.shutdown.is_none() => {}
                _ = timer.limit(left, pending::<()>()), if alarm.is_some() => {
                    let now = clock::now();
                    let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                    if due(turn.deadline) {
                        self.path.handle_timeout();
                    }
                    if due(duties.stuck_at) {
                        // A peer that takes no datagrams gets them when there is room.
                        for ping in duties.pings.drain(..).rev() {
                            let _ = self.quic.send_datagram(ping);
                        }
                    }
                    if due(duties.look_at) {
                        duties.look_at = None;
                    }
                    if due(duties.patience) && let Some((code, reason)) = &duties.shutdown {
                        // A peer that takes nothing more does not keep the connection.
                        self.close(*code, reason);
                        return;
                    }
                }
                _ = &mut closed => return,
                // A client that has not opened the control stream must not keep its server from closing. Last, because
                // the stream may have been opened just now: then there is an ERROR to deliver.
                () = std::future::ready(()),
                    if opening && duties.shutdown.is_some() && !turn.waits_for_streams
                        && self.path.side() == Side::Server => {
                    let (code, reason) = duties.shutdown.unwrap_or_default();
                    return self.say_goodbye(&link, None, frames, code, &reason).await;
                }
            }
        }
    }

    /// Takes what the machine has to send, and does of it what needs no waiting.
    fn turn(&self, link: &QuicLink, duties: &mut Duties, frames: &mut JoinSet<()>) -> Turn {
        let mut progress = Progress::default();
        let mut outlet = link.outlet();
        outlet.settle(&mut progress);
        let deadline = loop {
            let (taken, deadline) = outlet.fill(&self.path);
            duties.sort(&self.path, &self.quic, &mut outlet, !frames.is_empty());
            outlet.write(&mut progress);
            if taken < BATCH {
                break deadline;
            }
        };
        if outlet.watch() {
            duties.look_at.get_or_insert_with(|| clock::now() + LOOK);
        } else {
            duties.look_at = None;
        }
        let turn =
            Turn { deadline, is_empty: outlet.is_empty(), waits_for_streams: outlet.waits_for_streams() };
        let stalled = outlet.take_stalled();
        drop(outlet);
        self.path.progress(progress);
        for frame in stalled {
            let mut writing = Box::pin(self.clone().write_frame(frame));
            if (&mut writing).now_or_never().is_none() {
                frames.spawn(writing);
            }
        }
        turn
    }

    async fn write_control(self, mut stream: SendStream, packets: VecDeque<Leaving>) -> Option<SendStream> {
        for Leaving { packet, origin, .. } in packets {
            let len = packet.len();
            let mut pieces: Vec<_> = packet.into_pieces().collect();
            let written = stream.write_all_chunks(&mut pieces).await;
            self.path.settle(Written { transmits: 1, ..Written::packet(len, origin) });
            written.ok()?;
        }
        Some(stream)
    }

    /// A frame on its own stream; done when the peer has acknowledged it.
    async fn write_frame(self, frame: Stalled) {
        let Stalled { mut stream, mut pieces, bytes, origin, ticket } = frame;
        let written = stream.write_all_chunks(pieces.as_mut_slice()).await;
        self.path.settle(Written::packet(bytes, origin));
        if written.is_ok() && stream.finish().is_ok() && matches!(stream.stopped().await, Ok(None)) {
            self.path.delivered(&[ticket]);
        }
        self.path.done(1);
    }

    /// Waits until the peer has everything, then closes the connection. One that is gone for its silence acknowledges nothing:
    /// nothing is waited for there.
    async fn say_goodbye(
        self,
        link: &QuicLink,
        control: Option<SendStream>,
        mut frames: JoinSet<()>,
        code: u32,
        reason: &str,
    ) {
        let everything = async {
            while frames.join_next().await.is_some() {}
            while let Some(arrived) = {
                let mut progress = Progress::default();
                let mut outlet = link.outlet();
                outlet.settle(&mut progress);
                let arrived = outlet.acknowledgement();
                drop(outlet);
                self.path.progress(progress);
                arrived
            } {
                arrived.await;
            }
            if let Some(mut control) = control
                && control.finish().is_ok()
            {
                let _ = control.stopped().await;
            }
        };
        if !self.path.session().is_lost() {
            let _ = tokio::time::timeout(DRAIN_TIME, everything).await;
        }
        self.close(code, reason);
        self.path.done(1);
    }
}

/// What a turn has left.
struct Turn {
    /// When the machine wants to be told the time.
    deadline: Option<Instant>,
    is_empty: bool,
    waits_for_streams: bool,
}

impl Path {
    /// Tells the session what became of its packets.
    pub(super) fn progress(&self, progress: Progress) {
        self.settle(progress.written);
        self.delivered(&progress.delivered);
    }
}
