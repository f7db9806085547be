//! Reads packets from one ordered byte stream.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use nnrp_session::{Arrival, DRAIN_TIME, HeaderVerdict, Lane, TransportEnd};
use nnrp_wire::{Header, MAGIC, Packet};
use tokio::io::{AsyncRead, AsyncReadExt, Interest, ReadHalf};

use crate::buffer::BodyBuffer;
use crate::buffered::{Next, SHARED_BODY, WHOLE_BODY, keep};
use crate::clock;
use crate::inbox::Room;
use crate::low_water::LowWater;
use crate::path::Path;
use crate::silence::Silence;
use crate::socket::Socket;
use crate::tls::{self, Failure};
use crate::turns;

/// Packets of a busy peer are cut out of a buffer of this size: some hundred small ones per system call.
const READ_BUFFER: usize = 64 * 1024;

/// What a peer that says nothing is waited for with: thousands of sessions are idle at any time. Two or three small packets;
/// who sends more gets [`READ_BUFFER`].
const IDLE_BUFFER: usize = 1024;

/// How long a peer that was busy has to say nothing until it counts as idle. As often is looked at each busy session, which costs
/// two switches of threads.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// A packet like the one before it is read whole, to where its body stays, if that is not larger than this: for a larger one a
/// system call more is nothing, and memory that waits for it is much.
const AHEAD_BODY: usize = 128 * 1024;

/// What is read behind a body in the same system call: the next header, if it is there. If it is not, the socket is known to be
/// empty without another one.
const BEHIND_BODY: usize = 1024;

/// Bodies larger than this are not read on the thread of an event loop: the runtime's thread receives them while the loop does
/// something else.
pub(crate) const LENT_BODY: usize = 256 * 1024;

/// How often it is looked whether a peer is still there whose bytes nobody takes.
const PAUSED_LOOK: Duration = Duration::from_secs(1);

/// Where bytes come from.
pub(crate) trait Source: AsyncRead + Send + Unpin + 'static {
    /// The socket, where what is read are its bytes, and the end of the peer can be seen on it although what it sent before is still
    /// unread.
    fn socket(&self) -> Option<&Socket> {
        None
    }
}

impl Source for Socket {
    fn socket(&self) -> Option<&Socket> {
        Some(self)
    }
}

impl<T: AsyncRead + Send + 'static> Source for ReadHalf<T> {}

/// Why reading stopped.
pub(crate) enum ReadEnd {
    /// The stream ended.
    Transport(TransportEnd),
    /// It broke.
    Failed(Failure),
    /// The machine wants no more bytes; what still came was thrown away until the peer closed or the writer
    /// is done with its goodbye.
    Refused,
}

pub(crate) struct Reader<R> {
    path: Arc<Path>,
    read: R,
    buffer: BytesMut,
    /// A header has been handled, and the rest of its packet has not arrived.
    inside: bool,
    /// How much room the next reads get.
    chunk: usize,
    /// The last body was large. The next one is likely to be, and what is read of it together with its header has to be
    /// copied.
    large: bool,
    /// Bytes of head and body that the next packet has if it is like the last one; none where that was small, or too large.
    expected: Option<(usize, usize)>,
    /// The body whose head is in the buffer, as far as it was read together with that.
    ahead: Option<BodyBuffer>,
    silence: Silence,
    low_water: LowWater,
    idle_timeout: Option<Duration>,
}

impl<R: Source> Reader<R> {
    pub(crate) fn new(path: Arc<Path>, read: R, idle_timeout: Option<Duration>) -> Self {
        Reader {
            path,
            low_water: LowWater::of(read.socket().cloned()),
            read,
            buffer: BytesMut::new(),
            inside: false,
            chunk: IDLE_BUFFER,
            large: false,
            expected: None,
            ahead: None,
            silence: Silence::default(),
            idle_timeout,
        }
    }

    pub(crate) async fn run(mut self) -> ReadEnd {
        tokio::select! {
            () = self.path.link.until_claimed() => {}
            () = self.path.until_gone() => return ReadEnd::Refused,
        }
        match self.read_packets().await {
            Ok(Stopped::Refused) => {
                // A reset would destroy the ERROR that is on its way: read on until the peer has closed.
                let _ = tokio::time::timeout(DRAIN_TIME, self.discard(u64::MAX)).await;
                ReadEnd::Refused
            }
            Ok(Stopped::EndOfStream) => match Failure::of_plain_end(&self.buffer) {
                Some(failure) => ReadEnd::Failed(failure),
                None => ReadEnd::Transport(TransportEnd {
                    clean: self.buffer.is_empty() && !self.inside,
                    text: match self.buffer.len() {
                        0 if self.inside => "closed by peer inside a packet".into(),
                        0 => "closed by peer without CLOSE".into(),
                        bytes => {
                            format!("closed by peer inside a packet: incomplete packet of {bytes} bytes")
                        }
                    },
                }),
            },
            Err(error) => {
                ReadEnd::Failed(Failure::of_plain_end(&self.buffer).unwrap_or_else(|| Failure::of_io(&error)))
            }
        }
    }

    async fn read_packets(&mut self) -> io::Result<Stopped> {
        loop {
            let known = self.buffer.len();
            let next = self.path.handle_buffered(&mut self.buffer);
            self.large &= self.buffer.len() == known;
            self.inside = true;
            let complete = match next {
                Next::Packets => {
                    self.path.link.control_released().await;
                    self.path.replies_fit().await;
                    true
                }
                Next::Bytes => {
                    self.inside = false;
                    self.begin().await?
                }
                Next::Refused => {
                    if tls::is_handshake(&self.buffer) {
                        tracing::warn!(peer = %self.path.link.peer, "a client speaks TLS to a plain listener");
                    }
                    return Ok(Stopped::Refused);
                }
                Next::Rest(HeaderVerdict::Read(lane), header) => self.read_packet(header, lane).await?,
                Next::Rest(HeaderVerdict::ReadHead, header) => {
                    self.give_up_ahead();
                    self.read_head(header).await?
                }
                Next::Rest(_, header) => {
                    self.give_up_ahead();
                    self.buffer.advance(Header::LEN);
                    self.discard(u64::from(header.meta_len) + u64::from(header.body_len)).await?
                }
            };
            if !complete {
                return Ok(Stopped::EndOfStream);
            }
            self.inside = false;
        }
    }

    /// Metadata of an accepted header whose body does not matter. False at the end of the stream.
    async fn read_head(&mut self, header: Header) -> io::Result<bool> {
        let head = Header::LEN + header.meta_len as usize;
        if !self.fill(head).await? {
            return Ok(false);
        }
        self.buffer.advance(Header::LEN);
        let metadata = self.buffer.split_to(header.meta_len as usize).freeze();
        let complete = self.discard(u64::from(header.body_len)).await?;
        self.path.handle_packet(
            Packet { header, metadata, body: Bytes::new() },
            Arrival::Control,
            Room::default(),
        );
        Ok(complete)
    }

    /// Metadata and body of an accepted header. False at the end of the stream.
    async fn read_packet(&mut self, header: Header, lane: Lane) -> io::Result<bool> {
        let meta_len = header.meta_len as usize;
        let body_len = header.body_len as usize;
        let room = match lane {
            Lane::Frame => match self.room(body_len).await? {
                Some(room) => room,
                // The connection ended while the application was not reading: the frame has no receiver.
                None => {
                    self.give_up_ahead();
                    self.buffer.advance(Header::LEN);
                    return self.discard(meta_len as u64 + body_len as u64).await;
                }
            },
            _ => Room::default(),
        };
        let head = Header::LEN + meta_len;
        let shared_body = body_len <= SHARED_BODY;
        if !self.fill(if shared_body { head + body_len } else { head }).await? {
            return Ok(false);
        }
        self.buffer.advance(Header::LEN);
        let metadata = keep(lane, self.buffer.split_to(meta_len));
        let body = if shared_body {
            keep(lane, self.buffer.split_to(body_len))
        } else {
            let Some(body) = self.read_large_body(body_len).await? else { return Ok(false) };
            self.expected = (body_len > WHOLE_BODY && body_len <= AHEAD_BODY).then_some((head, body_len));
            body
        };
        self.path.handle_packet(Packet::build(header, metadata, body), Arrival::Control, room);
        Ok(true)
    }

    /// Waits for room for a frame, as long as the peer is there.
    async fn room(&mut self, body_len: usize) -> io::Result<Option<Room>> {
        let Reader { path, read, idle_timeout, .. } = self;
        tokio::select! {
            biased;
            room = path.receive_room_pausing(body_len) => Ok(room),
            gone = gone(read, *idle_timeout) => Err(gone),
        }
    }

    async fn read_large_body(&mut self, len: usize) -> io::Result<Option<Bytes>> {
        let mut body = match self.ahead.take() {
            Some(body) => body,
            None => {
                let mut body = self.path.link.pool.take(len);
                let already = self.buffer.len().min(len);
                body.put(&self.buffer.split_to(already));
                body
            }
        };
        self.large = len > WHOLE_BODY;
        if len > LENT_BODY
            && let Some(serving) = self.path.link.served.get()
        {
            serving.expect_bulk();
        }
        let mut limit = self.idle_timeout;
        while body.missing() > 0 {
            let turn = turns::bytes();
            let missing = body.missing();
            let patience = self.low_water.patience(missing, limit);
            let mut read = pin!(self.read.read(body.spare_beyond(BEHIND_BODY, turn)));
            let read = std::future::poll_fn(|cx| {
                let polled = read.as_mut().poll(cx);
                if polled.is_pending() {
                    self.low_water.wait_for(len, missing);
                }
                polled
            });
            let Some(received) = self.silence.limit(patience, read).await else {
                if patience == limit {
                    return Err(silent());
                }
                self.low_water.give_up();
                limit = limit.zip(patience).map(|(limit, waited)| limit.saturating_sub(waited));
                continue;
            };
            limit = self.idle_timeout;
            let received = received?;
            if received == 0 {
                return Ok(None);
            }
            body.advance(received);
            self.path.link.note_life();
            if received == turn {
                turns::end().await;
            }
        }
        self.low_water.end();
        body.take_surplus(&mut self.buffer);
        Ok(Some(body.freeze()))
    }

    /// Waits for the next header. False at the end of the stream.
    async fn begin(&mut self) -> io::Result<bool> {
        match self.expected.filter(|_| self.buffer.is_empty()) {
            Some((head, body)) => match self.read_ahead(head, body).await? {
                Some(more) => Ok(more),
                // It is quiet: nothing waits in memory for what may not come.
                None => self.fill(Header::LEN).await,
            },
            None => self.fill(Header::LEN).await,
        }
    }

    /// Reads a packet with so many bytes of head and body to where its body stays, if it is what comes next. False at the
    /// end of the stream, `None` when nothing comes for a while.
    async fn read_ahead(&mut self, head: usize, len: usize) -> io::Result<Option<bool>> {
        let mut body = self.path.link.pool.take_behind(head, len);
        let patience = self.idle_timeout.map_or(BUSY_PAUSE, |limit| limit.min(BUSY_PAUSE));
        let read = self.read.read(body.spare_beyond(BEHIND_BODY, usize::MAX));
        let Some(received) = self.silence.limit(Some(patience), read).await else {
            self.expected = None;
            return Ok(None);
        };
        let received = received?;
        if received == 0 {
            return Ok(Some(false));
        }
        body.advance(received);
        self.path.link.note_life();
        let is_expected = |start: &&[u8]| {
            let header = start.first_chunk().and_then(|header| Header::decode(header).ok());
            header.is_some_and(|it| Header::LEN + it.meta_len as usize == head && it.body_len as usize == len)
        };
        if let Some(start) = body.head(head).filter(is_expected) {
            self.buffer.extend_from_slice(start);
            self.ahead = Some(body);
        } else {
            self.expected = None;
            self.buffer.extend_from_slice(body.arrived(head));
        }
        Ok(Some(true))
    }

    /// The body that was read ahead is not to be kept: its bytes are bytes like any others.
    fn give_up_ahead(&mut self) {
        if let Some(body) = self.ahead.take() {
            self.buffer.extend_from_slice(body.arrived(0));
        }
    }

    /// Waits until the buffer holds `len` bytes. False at the end of the stream.
    async fn fill(&mut self, len: usize) -> io::Result<bool> {
        while self.buffer.len() < len {
            if !self.read_some(len).await? {
                return Ok(false);
            }
            if self.buffer.len() < Header::LEN {
                self.complete_foreign();
            }
        }
        Ok(true)
    }

    /// What cannot become a header is handled as if the rest had come, which changes nothing: others wait for an answer to what is
    /// shorter than one. Cold: packets hardly ever come in pieces that small.
    #[cold]
    fn complete_foreign(&mut self) {
        if is_foreign(&self.buffer) {
            self.buffer.resize(Header::LEN, 0);
        }
    }

    /// Reads once, with room for a packet's first `len` bytes in one piece. False at the end of the stream.
    async fn read_some(&mut self, len: usize) -> io::Result<bool> {
        let mut limit = self.idle_timeout;
        loop {
            self.make_room(len);
            let room = self.buffer.capacity() - self.buffer.len();
            let room = if self.large { room.min(len.max(IDLE_BUFFER)) } else { room };
            let busy = self.chunk > IDLE_BUFFER && self.buffer.is_empty();
            let patience = if busy { Some(BUSY_PAUSE) } else { limit };
            let mut buffer = (&mut self.buffer).limit(room);
            let Some(received) = self.silence.limit(patience, self.read.read_buf(&mut buffer)).await else {
                if !busy {
                    return Err(silent());
                }
                self.buffer = BytesMut::new();
                self.chunk = IDLE_BUFFER;
                limit = limit.map(|limit| limit.saturating_sub(BUSY_PAUSE));
                continue;
            };
            let received = received?;
            if received == room && !self.large {
                self.chunk = READ_BUFFER;
            }
            self.path.link.note_life();
            return Ok(received > 0);
        }
    }

    /// Room for a packet's first `len` bytes in one piece, and for a read that is worth its system call.
    fn make_room(&mut self, len: usize) {
        let worth = self.chunk / 4;
        let wanted = if self.buffer.is_empty() { len.max(worth) } else { len.max(self.buffer.len() + 1) };
        if self.buffer.capacity() < wanted {
            self.buffer.reserve(self.chunk.max(len).saturating_sub(self.buffer.len()).max(1));
        }
    }

    /// Reads `len` bytes and throws them away. False at the end of the stream.
    async fn discard(&mut self, mut len: u64) -> io::Result<bool> {
        while len > 0 {
            if self.buffer.is_empty() && !self.read_some(1).await? {
                return Ok(false);
            }
            let step = len.min(self.buffer.len() as u64);
            self.buffer.advance(usize::try_from(step).unwrap_or(usize::MAX));
            len -= step;
        }
        Ok(true)
    }
}

/// Waits until the peer has gone, whose bytes nobody takes. One that has closed its half only may still want answers to
/// what it sent before: it has the idle timeout.
async fn gone<R: Source>(read: &mut R, idle_timeout: Option<Duration>) -> io::Error {
    let Some(socket) = read.socket() else { return std::future::pending().await };
    let mut closed_at = None;
    loop {
        clock::sleep_until(Some(clock::now() + PAUSED_LOOK)).await;
        let socket = match socket.in_runtime() {
            Ok(socket) => socket,
            Err(error) => return error,
        };
        let ready = match socket.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(ready) => ready,
            Err(error) => return error,
        };
        if ready.is_error() {
            return io::ErrorKind::ConnectionReset.into();
        }
        if ready.is_read_closed() {
            let now = clock::now();
            let closed_for = now.saturating_duration_since(*closed_at.get_or_insert(now));
            if idle_timeout.is_some_and(|limit| closed_for >= limit) {
                return io::Error::new(io::ErrorKind::TimedOut, "closed by peer; idle timeout expired");
            }
        }
    }
}

/// Whether no header begins with these bytes (R-HDR-1). Of TLS the rest is waited for: it says which advice the peer needs.
fn is_foreign(start: &[u8]) -> bool {
    !start.is_empty() && !begins(&MAGIC, start) && !tls::may_be_record(start)
}

/// Whether one of the two begins with the other.
fn begins(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}

enum Stopped {
    EndOfStream,
    Refused,
}

/// R-TCP-3.
fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "idle timeout expired")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_become_a_header_is_foreign_from_its_first_wrong_byte() {
        for start in ["G", "n", "NNRp", "NO", "-ERR"] {
            assert!(is_foreign(start.as_bytes()), "{start}");
        }
        for start in ["", "N", "NN", "NNR", "NNRP", "NNRP and more"] {
            assert!(!is_foreign(start.as_bytes()), "{start}");
        }
    }

    #[test]
    fn the_rest_of_a_tls_record_is_waited_for() {
        for start in [&[21][..], &[22], &[21, 3], &[22, 3, 1], &[21, 3, 3, 0, 2, 2]] {
            assert!(!is_foreign(start), "{start:?}");
        }
        assert!(is_foreign(&[22, 4]));
    }
}
