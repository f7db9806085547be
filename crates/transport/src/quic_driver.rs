//! Runs a machine over one QUIC connection: the control stream, a stream for each frame, datagrams.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use nnrp_session::{
    Arrival, DRAIN_TIME, FrameKey, HeaderVerdict, Lane, Origin, Side, Transmit, TransportEnd,
};
use nnrp_wire::{EncodedPacket, Header, MessageType, Packet};
use quinn::{ConnectionError, ReadExactError, RecvStream, SendStream, VarInt};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clock;
use crate::inbox::{Item, Room};
use crate::order::{ORDER_PATIENCE, Order};
use crate::path::{FrameRoom, Path};
use crate::quic::Counted;
use crate::tls::Failure;

/// Transmits taken from the machine at once.
const WRITE_BATCH: usize = 64;

/// Metadata and bodies of control packets are read into one buffer up to this size.
const CONTROL_CHUNK: usize = 64 * 1024;

/// Code of the reset that refuses a second bidirectional stream (R-QUIC-8): invalid_state.
const SECOND_CONTROL_STREAM: u32 = 3;

/// Code of STOP_SENDING on a stream whose packet was refused: limit_exceeded.
const REFUSED_STREAM: u32 = 7;

/// How often the tasks of streams get a turn before a path that the session has left counts as read.
const DRAIN_ROUNDS: usize = 16;

/// How long control packets may wait for room at the peer before PINGs among them leave in datagrams as well. The network may
/// take its time too, and a PING that is answered twice does no harm.
const CONTROL_PATIENCE: Duration = Duration::from_millis(250);

/// PINGs kept for that; the oldest go first.
const MAX_HELD_PINGS: usize = 16;

/// Results and drops larger than this give way to smaller ones; so do, among them, the larger.
const BIG_FRAME_BYTES: usize = 64 * 1024;

/// Starts the tasks of a connection. The endpoint is kept alive as long as the connection.
/// `counted` is dropped when the connection is closed.
pub(crate) fn spawn(
    path: &Arc<Path>,
    quic: quinn::Connection,
    endpoint: quinn::Endpoint,
    counted: Option<Counted>,
) {
    let path = path.clone();
    tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        let driver = Driver { path: path.clone(), quic: quic.clone() };
        tasks.spawn(driver.clone().accept_frames());
        tasks.spawn(driver.clone().accept_datagrams());
        let (control_sender, control) = tokio::sync::oneshot::channel();
        tasks.spawn(driver.clone().run_control(control_sender));
        let writer = tokio::spawn(driver.write(control));
        let error = quic.closed().await;
        let failure = Failure::of_quic(&error, None);
        if let Some(fault) = failure.fault {
            path.note_tls_fault(fault);
        }
        let end = TransportEnd { clean: is_clean(&error), text: failure.text };
        // What the peer sent before it closed may still be on its way through the readers.
        let _ = tokio::time::timeout(DRAIN_TIME, async { while tasks.join_next().await.is_some() {} }).await;
        path.transport_lost(&end);
        let _ = writer.await;
        path.transport_closed(&end);
        // The CONNECTION_CLOSE has to leave before the socket does. On a server others keep the endpoint busy, so this lasts
        // its time: nothing of the connection waits with it.
        drop((path, quic, tasks, counted));
        let _ = tokio::time::timeout(DRAIN_TIME, endpoint.wait_idle()).await;
    });
}

fn is_clean(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code == VarInt::from_u32(0),
        ConnectionError::LocallyClosed => true,
        _ => false,
    }
}

#[derive(Clone)]
struct Driver {
    path: Arc<Path>,
    quic: quinn::Connection,
}

// ---------------------------------------------------------------- receiving
impl Driver {
    /// The control stream: opened by the client, both directions, packets back to back.
    async fn run_control(self, sender: tokio::sync::oneshot::Sender<SendStream>) {
        self.path.link.until_claimed().await;
        let opened = match self.path.side() {
            Side::Client => self.quic.open_bi().await,
            Side::Server => self.quic.accept_bi().await,
        };
        let Ok((send, mut receive)) = opened else { return };
        let _ = sender.send(send);
        let extra = tokio::spawn(self.clone().refuse_control_streams());
        if let ControlEnd::Finished = self.read_control(&mut receive).await {
            // Without its control stream the session is over, but frames that were sent before may still arrive: the
            // peer closes the connection when everything has, or it is closed for it.
            if tokio::time::timeout(DRAIN_TIME, self.quic.closed()).await.is_err() {
                self.quic.close(VarInt::from_u32(0), b"control stream ended");
            }
        }
        extra.abort();
    }

    /// R-QUIC-8.
    async fn refuse_control_streams(self) {
        while let Ok((mut send, mut receive)) = self.quic.accept_bi().await {
            let code = VarInt::from_u32(SECOND_CONTROL_STREAM);
            let _ = receive.stop(code);
            let _ = send.reset(code);
        }
    }

    async fn read_control(&self, receive: &mut RecvStream) -> ControlEnd {
        loop {
            self.path.link.control_released().await;
            self.path.replies_fit().await;
            let mut bytes = [0; Header::LEN];
            match receive.read_exact(&mut bytes).await {
                Ok(()) => {}
                Err(ReadExactError::FinishedEarly(_)) => return ControlEnd::Finished,
                Err(ReadExactError::ReadError(error)) => return lost(&error),
            }
            let (verdict, header) = self.path.handle_header(&bytes);
            let Some(header) = header else { return ControlEnd::Refused };
            let rest = u64::from(header.meta_len) + u64::from(header.body_len);
            match verdict {
                HeaderVerdict::Stop => return ControlEnd::Refused,
                HeaderVerdict::Skip => {
                    let mut thrown_away = tokio::io::sink();
                    let mut skipped = (&mut *receive).take(rest);
                    match tokio::io::copy(&mut skipped, &mut thrown_away).await {
                        Ok(copied) if copied == rest => {}
                        Ok(_) => return ControlEnd::Finished,
                        Err(_) => return ControlEnd::ConnectionLost,
                    }
                }
                HeaderVerdict::ReadHead => match read_head(receive, header).await {
                    Ok(Some(packet)) => {
                        self.path.handle_packet(packet, Arrival::Control, Room::default());
                    }
                    Ok(None) => return ControlEnd::Finished,
                    Err(_) => return ControlEnd::ConnectionLost,
                },
                HeaderVerdict::Read(lane) => {
                    let room = match lane {
                        Lane::Frame => match self.path.receive_room(header.body_len as usize).await {
                            Some(room) => room,
                            None => return ControlEnd::Refused,
                        },
                        _ => Room::default(),
                    };
                    match read_rest(&self.path, receive, header).await {
                        Ok(Some(packet)) => self.path.handle_packet(packet, Arrival::Control, room),
                        Ok(None) => return ControlEnd::Finished,
                        Err(_) => return ControlEnd::ConnectionLost,
                    }
                }
            }
        }
    }

    /// One task for each frame, as many as the application has room for.
    async fn accept_frames(self) {
        self.path.link.until_claimed().await;
        let order = Arc::new(SharedOrder::default());
        let mut streams = JoinSet::new();
        let mut drained = false;
        loop {
            // Room is given out in the order of the streams, so that a later one never takes it from an earlier.
            let accepted = async {
                if self.path.side() == Side::Server {
                    // Every frame is owed an answer, also one that is refused unread.
                    self.path.replies_fit().await;
                }
                let room = self.path.frame_room().await?;
                Some((self.quic.accept_uni().await.ok()?, room))
            };
            tokio::select! {
                accepted = accepted => {
                    let Some((receive, room)) = accepted else { break };
                    self.path.link.frames_released().await;
                    self.begin_frame(&mut streams, receive, &order, room);
                }
                Some(_) = streams.join_next() => {}
                () = self.path.link.until_left(), if !drained => {
                    drained = true;
                    // What the peer counts as received has arrived by now, and comes before what the new path brings.
                    for _ in 0..DRAIN_ROUNDS {
                        tokio::task::yield_now().await;
                    }
                    while let Some(Ok(receive)) = self.quic.accept_uni().now_or_never() {
                        self.begin_frame(&mut streams, receive, &order, FrameRoom(None));
                    }
                    order.change(&self.path, Order::forget_unknown);
                    self.path.link.say_drained();
                }
            }
        }
        self.path.link.say_drained();
        while streams.join_next().await.is_some() {}
    }

    fn begin_frame(
        &self,
        streams: &mut JoinSet<()>,
        receive: RecvStream,
        order: &Arc<SharedOrder>,
        room: FrameRoom,
    ) {
        let id = u64::from(receive.id());
        order.change(&self.path, |order| {
            order.opened(id);
            Vec::new()
        });
        // Begun here, so that what has arrived already is delivered in the order it was sent.
        let mut frame = Box::pin(self.clone().run_frame(receive, id, order.clone(), room));
        if (&mut frame).now_or_never().is_none() {
            streams.spawn(frame);
        }
    }

    async fn run_frame(self, mut receive: RecvStream, id: u64, order: Arc<SharedOrder>, room: FrameRoom) {
        let mut room = Some(room);
        loop {
            let mut bytes = [0; Header::LEN];
            let outcome = {
                let read = receive.read_exact(&mut bytes);
                tokio::pin!(read);
                match tokio::time::timeout(ORDER_PATIENCE, &mut read).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        order.change(&self.path, |order| order.gave_up(id));
                        read.await
                    }
                }
            };
            // A well-behaved peer sends one packet; for any further one there has to be room again.
            let room = match room.take() {
                Some(room) => Some(room),
                None => self.path.frame_room().await,
            };
            if !self.frame_packet(outcome, bytes, &mut receive, id, &order, room).await {
                order.change(&self.path, |order| order.gave_up(id));
                return;
            }
        }
    }

    /// One packet of a frame's stream. False when the stream is done.
    async fn frame_packet(
        &self,
        outcome: Result<(), ReadExactError>,
        bytes: [u8; Header::LEN],
        receive: &mut RecvStream,
        id: u64,
        order: &SharedOrder,
        frame_room: Option<FrameRoom>,
    ) -> bool {
        match outcome {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(_)) => return false,
            Err(ReadExactError::FinishedEarly(got)) => {
                self.path.handle_truncated_header(got);
                return false;
            }
        }
        let (verdict, header) = self.path.handle_header(&bytes);
        let (HeaderVerdict::Read(lane), Some(header)) = (verdict, header) else {
            let _ = receive.stop(VarInt::from_u32(REFUSED_STREAM));
            return false;
        };
        let key = FrameKey::from(&header);
        order.change(&self.path, |order| order.named(id, key));
        let room = match lane {
            Lane::Frame => {
                let body_room = tokio::select! {
                    biased;
                    room = self.path.body_room(header.body_len as usize) => room,
                    // What waits behind this packet occupies the room it waits for.
                    () = order.holds_back(id, key) => None,
                };
                if self.path.is_ended() {
                    return false;
                }
                Room(frame_room.and_then(|room| room.0), body_room.and_then(|room| room.0))
            }
            _ => Room::default(),
        };
        match read_rest(&self.path, receive, header).await {
            Ok(Some(packet)) => {
                if self.path.side() == Side::Client && lane == Lane::Frame {
                    order.change(&self.path, |order| order.completed(id, key, (packet, room)));
                } else {
                    self.path.handle_packet(packet, Arrival::Stream(id), room);
                }
                true
            }
            Ok(None) => {
                self.path.handle_truncated(&header);
                false
            }
            // RESET_STREAM: the sender withdrew it (R-QUIC-7); or the connection is lost, which others notice.
            Err(_) => false,
        }
    }

    async fn accept_datagrams(self) {
        self.path.link.until_claimed().await;
        while let Ok(payload) = self.quic.read_datagram().await {
            if self.path.is_raw() {
                // A copy of its own: what quinn hands out is a view of all that came from the socket with it.
                let payload = Bytes::copy_from_slice(&payload);
                self.path.session().inbox.push(Item::Datagram(payload), Room::default());
                continue;
            }
            // R-QUIC-10: exactly one of three header-only packets, or nothing.
            let Some(bytes) =
                payload.first_chunk::<{ Header::LEN }>().filter(|_| payload.len() == Header::LEN)
            else {
                continue;
            };
            let Ok(header) = Header::decode(bytes) else { continue };
            let allowed =
                matches!(header.msg_type, MessageType::FrameCancel | MessageType::Ping | MessageType::Pong);
            if allowed && header.meta_len == 0 && header.body_len == 0 {
                let packet = Packet::build(header, Bytes::new(), Bytes::new());
                self.path.handle_packet(packet, Arrival::Datagram, Room::default());
            }
        }
    }
}

/// The order of results, shared by the tasks of their streams.
#[derive(Default)]
struct SharedOrder {
    order: Mutex<Order<(Packet, Room)>>,
    changed: Notify,
}

impl SharedOrder {
    /// Applies `change` and passes on, in order, what it sets free.
    fn change(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Order<(Packet, Room)>) -> Vec<(u64, (Packet, Room))>,
    ) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: two streams must not overtake each other between release and delivery.
        for (stream, (packet, room)) in change(&mut order) {
            path.handle_packet(packet, Arrival::Stream(stream), room);
        }
        drop(order);
        self.changed.notify_waiters();
    }

    /// Waits until packets that have arrived wait for this stream's.
    async fn holds_back(&self, id: u64, key: FrameKey) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.order.lock().unwrap_or_else(PoisonError::into_inner).holds_back(id, key) {
                return;
            }
            changed.await;
        }
    }
}

enum ControlEnd {
    /// The machine wants no more.
    Refused,
    /// Ended by the peer, in order or by a reset.
    Finished,
    /// Reset, or the whole connection is gone.
    ConnectionLost,
}

fn lost(error: &quinn::ReadError) -> ControlEnd {
    match error {
        quinn::ReadError::Reset(_) => ControlEnd::Finished,
        _ => ControlEnd::ConnectionLost,
    }
}

/// Metadata of an accepted header, and its body thrown away as it arrives; `None` when the stream ends too early.
async fn read_head(receive: &mut RecvStream, header: Header) -> Result<Option<Packet>, quinn::ReadError> {
    let mut metadata = BytesMut::zeroed((header.meta_len as usize).min(CONTROL_CHUNK));
    match receive.read_exact(&mut metadata).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(_)) => return Ok(None),
        Err(ReadExactError::ReadError(error)) => return Err(error),
    }
    let mut missing = header.body_len as usize;
    while missing > 0 {
        match receive.read_chunk(missing, true).await? {
            Some(chunk) => missing -= chunk.bytes.len(),
            None => return Ok(None),
        }
    }
    Ok(Some(Packet { header, metadata: metadata.freeze(), body: Bytes::new() }))
}

/// Metadata and body of an accepted header; `None` when the stream ends too early.
async fn read_rest(
    path: &Path,
    receive: &mut RecvStream,
    header: Header,
) -> Result<Option<Packet>, quinn::ReadError> {
    let mut metadata = BytesMut::zeroed((header.meta_len as usize).min(CONTROL_CHUNK));
    match receive.read_exact(&mut metadata).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(_)) => return Ok(None),
        Err(ReadExactError::ReadError(error)) => return Err(error),
    }
    let mut body = path.link.pool.take(header.body_len as usize);
    while body.missing() > 0 {
        // Chunks are moved from quinn's reassembly straight into the body: the one copy there is.
        match receive.read_chunk(body.missing(), true).await? {
            Some(chunk) => body.put(&chunk.bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(Packet::build(header, metadata.freeze(), body.freeze())))
}

// ---------------------------------------------------------------- sending
type ControlWrite = Pin<Box<dyn Future<Output = Option<SendStream>> + Send>>;

/// Packets on their way to a lane.
type Outgoing = VecDeque<Leaving>;

/// One of them: where it came from, and the ticket of its delivery.
struct Leaving {
    packet: EncodedPacket,
    origin: Origin,
    ticket: u64,
}

/// What the writer has taken from the machine and not yet begun to write.
#[derive(Default)]
struct Outbox {
    /// In the machine's order, up to a barrier that still holds.
    held: VecDeque<Transmit>,
    control: Outgoing,
    /// Copies of the PINGs in `control`, or being written.
    pings: VecDeque<Bytes>,
    /// When PINGs go another way, if control packets have not left by then.
    stuck_at: Option<Instant>,
    frames: Outgoing,
    shutdown: Option<(u32, String)>,
    /// When a barrier falls, or the connection closes, whatever has not left by then.
    patience: Option<Instant>,
}

impl Outbox {
    /// Sorts what is held into lanes, as far as barriers allow; `writing` says whether frames are being written.
    fn sort(&mut self, path: &Path, quic: &quinn::Connection, writing: bool) {
        while let Some(transmit) = self.held.pop_front() {
            match transmit {
                Transmit::Packet { lane: Lane::Datagram, origin, packet, .. }
                    if quic.send_datagram(packet.to_bytes()).is_ok() =>
                {
                    path.written(packet.len(), origin);
                    path.done(1);
                }
                Transmit::Packet { lane: Lane::Frame, origin, packet, ticket } => {
                    self.frames.push_back(Leaving { packet, origin, ticket });
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
                    let busy = writing || !self.frames.is_empty();
                    if busy && *self.patience.get_or_insert(now + DRAIN_TIME) > now {
                        self.held.push_front(Transmit::Barrier);
                        return;
                    }
                    self.patience = None;
                    path.done(1);
                }
                Transmit::Shutdown { code, reason } => {
                    self.shutdown = Some((code, reason));
                    self.patience = Some(clock::now() + DRAIN_TIME);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.control.is_empty() && self.frames.is_empty()
    }
}

impl Driver {
    async fn write(self, control: tokio::sync::oneshot::Receiver<SendStream>) {
        let mut outbox = Outbox::default();
        let mut frames: JoinSet<()> = JoinSet::new();
        let mut control_stream: Option<SendStream> = None;
        let mut control_write: Option<ControlWrite> = Some(Box::pin(async move { control.await.ok() }));
        let mut opening = true;
        loop {
            if outbox.held.is_empty() {
                outbox.held.extend(self.path.take_transmits(WRITE_BATCH));
            }
            outbox.sort(&self.path, &self.quic, !frames.is_empty());
            if control_write.is_none()
                && !outbox.control.is_empty()
                && let Some(stream) = control_stream.take()
            {
                let packets = std::mem::take(&mut outbox.control);
                outbox.stuck_at = Some(clock::now() + CONTROL_PATIENCE);
                control_write = Some(Box::pin(self.clone().write_control(stream, packets)));
            }
            if let Some((code, reason)) = &outbox.shutdown
                && control_write.is_none()
                && outbox.is_empty()
            {
                return self.say_goodbye(control_stream, frames, *code, reason).await;
            }
            let deadline = self.path.deadline();
            tokio::select! {
                biased;
                stream = async { match &mut control_write { Some(write) => write.await, None => None } },
                    if control_write.is_some() => {
                    control_write = None;
                    opening = false;
                    control_stream = stream;
                    outbox.stuck_at = None;
                    if outbox.control.is_empty() {
                        outbox.pings.clear();
                    }
                    if control_stream.is_none() {
                        // The peer will not hear us any more; without its control stream the session is over.
                        return self.say_goodbye(None, frames, 0, "control stream lost").await;
                    }
                }
                opened = self.quic.open_uni(), if !outbox.frames.is_empty() => {
                    let Ok(stream) = opened else { return };
                    if let Some(leaving) = outbox.frames.pop_front() {
                        // Begun here, in order: tasks start in an order of their own, and small frames are done
                        // with the first step but for their acknowledgement.
                        let mut frame = Box::pin(self.clone().write_frame(stream, leaving));
                        if (&mut frame).now_or_never().is_none() {
                            frames.spawn(frame);
                        }
                    }
                }
                Some(_) = frames.join_next() => {}
                () = clock::sleep_until(outbox.stuck_at),
                    if outbox.stuck_at.is_some() && !outbox.pings.is_empty() => {
                    // A peer that takes no datagrams gets them when there is room.
                    for ping in outbox.pings.drain(..).rev() {
                        let _ = self.quic.send_datagram(ping);
                    }
                }
                () = self.path.link.wake_writer.notified(), if outbox.shutdown.is_none() => {}
                () = clock::sleep_until(deadline) => {
                    self.path.handle_timeout();
                }
                () = clock::sleep_until(outbox.patience), if outbox.patience.is_some() => {
                    if let Some((code, reason)) = &outbox.shutdown {
                        // A peer that takes nothing more does not keep the connection.
                        self.quic.close(VarInt::from_u32(*code), reason.as_bytes());
                        return;
                    }
                }
                _ = self.quic.closed() => return,
                // A client that has not opened the control stream must not keep its server from closing. Last, because
                // the stream may have been opened just now: then there is an ERROR to deliver.
                () = std::future::ready(()),
                    if opening && outbox.shutdown.is_some() && outbox.frames.is_empty()
                        && self.path.side() == Side::Server => {
                    let (code, reason) = outbox.shutdown.unwrap_or_default();
                    return self.say_goodbye(None, frames, code, &reason).await;
                }
            }
        }
    }

    async fn write_control(self, mut stream: SendStream, packets: Outgoing) -> Option<SendStream> {
        for Leaving { packet, origin, .. } in packets {
            let len = packet.len();
            let mut pieces = packet.into_pieces();
            let written = stream.write_all_chunks(&mut pieces).await;
            self.path.written(len, origin);
            self.path.done(1);
            written.ok()?;
        }
        Some(stream)
    }

    /// One frame on its own stream; done when the peer has acknowledged it.
    async fn write_frame(self, mut stream: SendStream, leaving: Leaving) {
        let Leaving { packet, origin, ticket } = leaving;
        let len = packet.len();
        let _ = stream.set_priority(priority(len));
        let mut pieces = packet.into_pieces();
        let written = stream.write_all_chunks(&mut pieces).await;
        self.path.written(len, origin);
        if written.is_ok() && stream.finish().is_ok() && matches!(stream.stopped().await, Ok(None)) {
            self.path.delivered(ticket);
        }
        self.path.done(1);
    }

    /// Waits until the peer has everything, then closes the connection.
    async fn say_goodbye(
        self,
        control: Option<SendStream>,
        mut frames: JoinSet<()>,
        code: u32,
        reason: &str,
    ) {
        let everything = async {
            while frames.join_next().await.is_some() {}
            if let Some(mut control) = control
                && control.finish().is_ok()
            {
                let _ = control.stopped().await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, everything).await;
        self.quic.close(VarInt::from_u32(code), reason.as_bytes());
        self.path.done(1);
    }
}

/// Small before big; among the big, the smaller first. Control packets have priority 0 and come before all.
fn priority(bytes: usize) -> i32 {
    let class = (bytes / BIG_FRAME_BYTES).checked_ilog2().map_or(0, |log| log + 1);
    -1 - i32::try_from(class).unwrap_or(i32::MAX - 1)
}
