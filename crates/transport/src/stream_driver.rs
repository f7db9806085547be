//! Runs a machine over one ordered byte stream: TCP, TLS over TCP, or memory.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use nnrp_session::{Arrival, DRAIN_TIME, HeaderVerdict, Lane, Transmit, TransportEnd};
use nnrp_wire::{Header, Packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;

use crate::clock;
use crate::inbox::Room;
use crate::path::Path;
use crate::tls::{self, Failure};

/// Packets of a busy peer are cut out of a buffer of this size: some hundred small ones per system call.
const READ_BUFFER: usize = 64 * 1024;

/// What a peer that says nothing is waited for with: thousands of sessions are idle at any time. Two or three small packets;
/// who sends more gets [`READ_BUFFER`].
const IDLE_BUFFER: usize = 1024;

/// Bodies up to this size stay slices of the shared read buffer; larger ones are read straight into a buffer of
/// their own.
const SHARED_BODY: usize = 4 * 1024;

/// Packets written together at most: bounds the vector, not the throughput.
const WRITE_BATCH: usize = 64;

/// Slices handed to the kernel at once; its own limit is 1024, and beyond this there is nothing to gain.
const WRITE_SLICES: usize = 64;

/// How often it is looked whether a peer is still there whose bytes nobody takes.
const PAUSED_LOOK: Duration = Duration::from_secs(1);

/// Where bytes come from.
pub(crate) trait Source: AsyncRead + Send + Unpin + 'static {
    /// The socket, where the end of the peer can be seen on it although what it sent before is still unread.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Source for OwnedReadHalf {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self.as_ref())
    }
}

impl<T: AsyncRead + Send + 'static> Source for ReadHalf<T> {}

/// Starts the tasks of a connection.
pub(crate) fn spawn<R, W>(path: &Arc<Path>, read: R, write: W, idle_timeout: Option<Duration>)
where
    R: Source,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (reader_done, reader_ended) = watch::channel(false);
    let reader = Reader {
        path: path.clone(),
        read,
        buffer: BytesMut::new(),
        chunk: IDLE_BUFFER,
        inside: false,
        idle_timeout,
    };
    let writer = Writer { path: path.clone(), write, idle_timeout };
    let path = path.clone();
    tokio::spawn(async move {
        let mut write = tokio::spawn(writer.run(reader_ended));
        tokio::select! {
            end = reader.run() => {
                match end {
                    ReadEnd::Transport(end) => {
                        path.transport_lost(&end);
                    }
                    ReadEnd::Failed(failure) => path.transport_failed(failure),
                    ReadEnd::Refused => {}
                }
                reader_done.send_replace(true);
                let _ = write.await;
            }
            // The goodbye is said: nothing more is read, and the socket closes.
            _ = &mut write => {}
        }
        path.transport_closed(&TransportEnd { clean: true, text: String::new() });
    });
}

/// A part of the read buffer that a packet takes with it. Control packets may lie about for long and must not keep a whole
/// buffer alive; frames are counted, and soon taken.
fn keep(lane: Lane, part: BytesMut) -> Bytes {
    match lane {
        Lane::Frame => part.freeze(),
        _ => Bytes::copy_from_slice(&part),
    }
}

/// Why reading stopped.
enum ReadEnd {
    /// The stream ended.
    Transport(TransportEnd),
    /// It broke.
    Failed(Failure),
    /// The machine wants no more bytes; what still came was thrown away until the peer closed or the writer
    /// is done with its goodbye.
    Refused,
}

struct Reader<R> {
    path: Arc<Path>,
    read: R,
    buffer: BytesMut,
    /// A header has been taken out of the buffer, and the rest of its packet has not arrived.
    inside: bool,
    /// How much room the next reads get.
    chunk: usize,
    idle_timeout: Option<Duration>,
}

impl<R: Source> Reader<R> {
    async fn run(mut self) -> ReadEnd {
        tokio::select! {
            () = self.path.until_claimed() => {}
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
            self.path.control_released().await;
            self.path.replies_fit().await;
            if !self.fill(Header::LEN).await? {
                return Ok(Stopped::EndOfStream);
            }
            let Some(bytes) = self.buffer.first_chunk::<{ Header::LEN }>().copied() else {
                return Ok(Stopped::EndOfStream);
            };
            if tls::is_handshake(&bytes) {
                tracing::warn!(peer = %self.path.link.peer, "a client speaks TLS to a plain listener");
            }
            let (verdict, header) = self.path.handle_header(&bytes);
            self.inside = true;
            match (verdict, header) {
                (HeaderVerdict::Stop, _) | (_, None) => return Ok(Stopped::Refused),
                (HeaderVerdict::Skip, Some(header)) => {
                    self.buffer.advance(Header::LEN);
                    let rest = u64::from(header.meta_len) + u64::from(header.body_len);
                    if !self.discard(rest).await? {
                        return Ok(Stopped::EndOfStream);
                    }
                }
                (HeaderVerdict::ReadHead, Some(header)) => {
                    if !self.read_head(header).await? {
                        return Ok(Stopped::EndOfStream);
                    }
                }
                (HeaderVerdict::Read(lane), Some(header)) => {
                    if !self.read_packet(header, lane).await? {
                        return Ok(Stopped::EndOfStream);
                    }
                }
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
            match self.read_large_body(body_len).await? {
                Some(body) => body,
                None => return Ok(false),
            }
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
        let mut body = self.path.link.pool.take(len);
        let already = self.buffer.len().min(len);
        body.put(&self.buffer.split_to(already));
        while body.missing() > 0 {
            let received = timed(self.idle_timeout, self.read.read_buf(&mut body.spare())).await?;
            if received == 0 {
                return Ok(None);
            }
            self.path.link.note_life();
        }
        Ok(Some(body.freeze()))
    }

    /// Waits until the buffer holds `len` bytes. False at the end of the stream.
    async fn fill(&mut self, len: usize) -> io::Result<bool> {
        while self.buffer.len() < len {
            if !self.read_some(len).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads once, with room for a packet's first `len` bytes in one piece. False at the end of the stream.
    async fn read_some(&mut self, len: usize) -> io::Result<bool> {
        self.make_room(len);
        if self.buffer.is_empty() && self.chunk > IDLE_BUFFER {
            if let Some(received) = self.read.read_buf(&mut self.buffer).now_or_never() {
                return Ok(received? > 0);
            }
            // Nothing more right now: the room goes back until there is.
            self.buffer = BytesMut::new();
            self.chunk = IDLE_BUFFER;
            self.make_room(len);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let received = timed(self.idle_timeout, self.read.read_buf(&mut self.buffer)).await?;
        if received == room {
            self.chunk = READ_BUFFER;
        }
        self.path.link.note_life();
        Ok(received > 0)
    }

    /// Room for a packet's first `len` bytes in one piece, and for a read that is worth its system call.
    fn make_room(&mut self, len: usize) {
        let wanted = if self.buffer.is_empty() { len.max(IDLE_BUFFER) } else { len };
        if self.buffer.capacity() < wanted.max(self.buffer.len() + 1) {
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

enum Stopped {
    EndOfStream,
    Refused,
}

/// Fails when nothing moves for the idle timeout (R-TCP-3).
async fn timed<T>(limit: Option<Duration>, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        None => io.await,
        Some(limit) => match tokio::time::timeout(limit, io).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "idle timeout expired")),
        },
    }
}

struct Writer<W> {
    path: Arc<Path>,
    write: W,
    idle_timeout: Option<Duration>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn run(mut self, mut reader_ended: watch::Receiver<bool>) {
        let path = self.path.clone();
        loop {
            let (batch, deadline) = self.path.take_transmits(WRITE_BATCH);
            if batch.is_empty() {
                // Only now: a refused peer that has closed its half still gets its ERROR.
                if *reader_ended.borrow() {
                    return;
                }
                tokio::select! {
                    () = self.path.link.wake_writer.notified() => {}
                    () = clock::sleep_until(deadline) => {
                        self.path.handle_timeout();
                    }
                    _ = reader_ended.changed() => {}
                }
                continue;
            }
            let written = {
                let writing = self.write_batch(batch);
                let overdue = path.overdue();
                tokio::pin!(writing, overdue);
                loop {
                    tokio::select! {
                        biased;
                        written = &mut writing => break written,
                        // A peer that reads a byte now and then must not keep a session that is over.
                        () = &mut overdue => break Err(io::ErrorKind::TimedOut.into()),
                        // What a session does in time it does although its peer reads nothing.
                        () = path.link.wake_writer.notified() => {}
                        () = async { clock::sleep_until(path.deadline()).await } => path.handle_timeout(),
                    }
                }
            };
            match written {
                Ok(true) => {}
                Ok(false) => return self.say_goodbye(reader_ended).await,
                Err(error) => {
                    // What the peer sent before it went may still be read; then the reader sees the end too.
                    let _ = tokio::time::timeout(DRAIN_TIME, reader_ended.wait_for(|ended| *ended)).await;
                    self.path.transport_failed(Failure::of_io(&error));
                    return;
                }
            }
        }
    }

    /// Writes the packets; false when a shutdown was among the transmits.
    async fn write_batch(&mut self, batch: Vec<Transmit>) -> io::Result<bool> {
        let count = batch.len();
        let mut pieces: VecDeque<Bytes> = VecDeque::with_capacity(count * 2);
        let mut packets = Vec::with_capacity(count);
        let mut go_on = true;
        for transmit in batch {
            match transmit {
                Transmit::Packet { origin, packet, .. } => {
                    packets.push((packet.len(), origin));
                    pieces.extend(packet.into_pieces());
                }
                // One ordered stream keeps the order by itself.
                Transmit::Barrier => {}
                Transmit::Shutdown { .. } => go_on = false,
            }
        }
        self.write_pieces(&mut pieces).await?;
        for (bytes, origin) in packets {
            self.path.written(bytes, origin);
        }
        self.path.done(count);
        Ok(go_on)
    }

    async fn write_pieces(&mut self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        while !pieces.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                pieces.iter().take(WRITE_SLICES).map(|piece| IoSlice::new(piece)).collect();
            let mut written = timed(self.idle_timeout, self.write.write_vectored(&slices)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            // A peer that takes what we send is there, though its answer may have to wait behind all of it.
            self.path.link.note_life();
            while let Some(piece) = pieces.front_mut() {
                if written < piece.len() {
                    piece.advance(written);
                    break;
                }
                written -= piece.len();
                pieces.pop_front();
            }
        }
        timed(self.idle_timeout, self.write.flush()).await
    }

    /// Everything is out: end our half and give the peer time to end its own, so that nothing in flight is
    /// destroyed by a reset.
    async fn say_goodbye(mut self, mut reader_ended: watch::Receiver<bool>) {
        let goodbye = async {
            let _ = self.write.shutdown().await;
            let _ = reader_ended.wait_for(|ended| *ended).await;
        };
        let _ = tokio::time::timeout(DRAIN_TIME, goodbye).await;
    }
}
