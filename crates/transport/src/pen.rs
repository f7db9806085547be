//! What an ordered stream is written with.
//!
//! There is one [`Pen`] for each stream, and whoever holds it writes: the writer task, which can wait for the socket, or an
//! application's thread that has just queued something and finds the pen free. That thread never waits: what the socket
//! does not take at once stays with the pen, and the writer task is called. So a lone answer leaves in the call that makes
//! it, without a task or a thread to be woken for it first.
//!
//! Who finds the pen taken has said that it is wanted, and may go away: whoever has it looks again before laying it down, or
//! calls the writer task. It is taken under the machine's lock, so that nothing is queued in between.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use nnrp_session::{Machine, Origin, Transmit};
use tokio::io::AsyncWrite;

use crate::commands::write_cost;
use crate::link::Taken;
use crate::turns;

/// Transmits taken at once: bounds what is in nobody's reach, not the throughput.
const BATCH: usize = 64;

/// Slices handed to the kernel at once; its own limit is 1024, and beyond this there is nothing to gain.
const SLICES: usize = 64;

/// What is handed to the kernel in several pieces, up to this many bytes of it, is put together before: copying 4 KiB takes
/// 0.05 us, the kernel needs 0.2 us more for two pieces than for one, and 1 us more for 64 small packets.
const JOINED_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where it is put together.
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Any byte stream's writing end.
type Stream = Box<dyn AsyncWrite + Send + Unpin>;

/// The writing end of an ordered stream, with what was taken to be written and has not left yet.
pub(crate) struct Pen {
    stream: Stream,
    pieces: VecDeque<Bytes>,
    packets: VecDeque<Due>,
    unflushed: bool,
    goodbye: bool,
    /// Why nothing can be written any more.
    failure: Option<io::Error>,
    written: Written,
}

/// A packet of which some bytes have not left.
struct Due {
    missing: usize,
    bytes: usize,
    origin: Option<Origin>,
}

/// What has left since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Any byte did.
    pub(crate) moved: bool,
    /// Transmits that are done with.
    pub(crate) transmits: usize,
    /// Packets among them.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Room they had taken in the write buffer.
    pub(crate) room: usize,
    /// Replies of the library among them.
    pub(crate) replies: usize,
}

impl Written {
    /// One packet of `bytes`.
    pub(crate) fn packet(bytes: usize, origin: Origin) -> Self {
        let mut written = Written { moved: true, ..Written::default() };
        written.add(bytes, origin);
        written
    }

    /// Another packet of `bytes`.
    pub(crate) fn add(&mut self, bytes: usize, origin: Origin) {
        self.packets += 1;
        self.bytes += bytes as u64;
        match origin {
            Origin::Application => self.room += write_cost(bytes),
            Origin::Library => self.replies += 1,
            Origin::Repetition => {}
        }
    }
}

/// How far an attempt to write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Everything has left.
    Done,
    /// The rest is for the writer task: the socket takes no more now, or has failed, or is to be closed.
    Rest,
}

impl Pen {
    pub(crate) fn new(stream: impl AsyncWrite + Send + Unpin + 'static) -> Box<Self> {
        Box::new(Pen {
            stream: Box::new(stream),
            pieces: VecDeque::new(),
            packets: VecDeque::new(),
            unflushed: false,
            goodbye: false,
            failure: None,
            written: Written::default(),
        })
    }

    /// Takes what is queued, as much as goes at once. Says what that was.
    pub(crate) fn fill(&mut self, machine: &mut Machine) -> Taken {
        let mut taken = Taken::default();
        while taken.transmits < BATCH && !self.goodbye {
            let Some(transmit) = machine.poll_transmit() else { break };
            taken.add(&transmit);
            self.take(transmit);
        }
        taken
    }

    /// Takes one thing to do.
    pub(crate) fn take(&mut self, transmit: Transmit) {
        let due = match transmit {
            Transmit::Packet { origin, packet, .. } => {
                let bytes = packet.len();
                let (first, more) = packet.into_first_and_more();
                self.pieces.push_back(first);
                if !more.is_empty() {
                    self.pieces.extend(more);
                }
                Due { missing: bytes, bytes, origin: Some(origin) }
            }
            // One ordered stream keeps the order by itself.
            Transmit::Barrier => Due { missing: 0, bytes: 0, origin: None },
            Transmit::Shutdown { .. } => {
                self.goodbye = true;
                Due { missing: 0, bytes: 0, origin: None }
            }
        };
        self.packets.push_back(due);
    }

    /// Whether the writer task has something to do with it.
    pub(crate) fn has_rest(&self) -> bool {
        !self.packets.is_empty() || self.unflushed || self.goodbye || self.failure.is_some()
    }

    /// Whether the stream is to be ended now.
    pub(crate) fn is_goodbye(&self) -> bool {
        self.goodbye
    }

    /// What has left since this was asked last.
    pub(crate) fn written(&mut self) -> Written {
        std::mem::take(&mut self.written)
    }

    /// Writes what the stream takes without waiting.
    pub(crate) fn attempt(&mut self) -> Attempt {
        // Nobody is to be woken: the writer task tries again, and waits then.
        let mut context = Context::from_waker(Waker::noop());
        match self.poll_write(&mut context) {
            Poll::Ready(Ok(true)) if !self.goodbye => Attempt::Done,
            Poll::Ready(Ok(_)) | Poll::Pending => Attempt::Rest,
            Poll::Ready(Err(error)) => {
                self.failure = Some(error);
                Attempt::Rest
            }
        }
    }

    /// Writes everything that was taken, or as much of it as one turn is for: says whether it was everything.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let mut left = turns::bytes();
        loop {
            self.settle();
            let Some(first) = self.pieces.front() else { break };
            if left == 0 {
                return Poll::Ready(Ok(false));
            }
            let stream = Pin::new(&mut self.stream);
            let written = if self.pieces.len() == 1 {
                // The kernel is quicker with one.
                ready!(stream.poll_write(cx, first.get(..left).unwrap_or(first)))?
            } else {
                ready!(write_several(stream, cx, &self.pieces, left))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            left = left.saturating_sub(written);
            self.advance(written);
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(flushed) => flushed?,
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(true))
    }

    /// Ends our half of the stream.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await
    }

    /// `written` bytes have left.
    fn advance(&mut self, mut written: usize) {
        self.written.moved = true;
        let mut left = written;
        for due in &mut self.packets {
            let step = left.min(due.missing);
            due.missing -= step;
            left -= step;
            if left == 0 {
                break;
            }
        }
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                break;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// Takes note of the packets that have left.
    fn settle(&mut self) {
        while self.packets.front().is_some_and(|due| due.missing == 0)
            && let Some(due) = self.packets.pop_front()
        {
            self.written.transmits += 1;
            if let Some(origin) = due.origin {
                self.written.add(due.bytes, origin);
            }
        }
    }
}

/// Writes pieces with one call, at most `most` bytes of them.
fn write_several(
    stream: Pin<&mut Stream>,
    cx: &mut Context<'_>,
    pieces: &VecDeque<Bytes>,
    most: usize,
) -> Poll<io::Result<usize>> {
    let few = pieces.iter().take(SLICES).try_fold(0, |bytes, piece: &Bytes| {
        Some(bytes + piece.len()).filter(|bytes| *bytes <= JOINED_BYTES.min(most))
    });
    if few.is_some() {
        return write_joined(stream, cx, pieces);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    let mut room = most;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        let part = piece.get(..room).unwrap_or(piece);
        *slice = IoSlice::new(part);
        count += 1;
        room -= part.len();
        if room == 0 {
            break;
        }
    }
    stream.poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
}

/// Writes the first pieces as one.
fn write_joined(
    stream: Pin<&mut Stream>,
    cx: &mut Context<'_>,
    pieces: &VecDeque<Bytes>,
) -> Poll<io::Result<usize>> {
    // Not there any more where a thread ends and something that it kept is dropped.
    let mut joined = JOINED.try_with(RefCell::take).unwrap_or_default();
    joined.clear();
    pieces.iter().take(SLICES).for_each(|piece| joined.extend_from_slice(piece));
    let written = stream.poll_write(cx, &joined);
    let _ = JOINED.try_with(|place| place.replace(joined));
    written
}

/// Where the pen lies when nobody writes.
#[derive(Default)]
pub(crate) struct PenRest {
    lying: Lying,
    /// Somebody has found it taken.
    wanted: bool,
}

#[derive(Default)]
enum Lying {
    /// Somebody has it; or there is none, as on QUIC.
    #[default]
    Taken,
    Here(Box<Pen>),
    /// Nobody writes any more.
    Closed,
}

impl fmt::Debug for PenRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PenRest").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl PenRest {
    /// The pen, if nobody has it. Who has it hears that it is wanted.
    pub(crate) fn take(&mut self) -> Option<Box<Pen>> {
        match std::mem::take(&mut self.lying) {
            Lying::Here(pen) => {
                self.wanted = false;
                Some(pen)
            }
            other => {
                self.lying = other;
                self.wanted = true;
                None
            }
        }
    }

    /// There is more than was taken.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Lays the pen down, unless somebody has wanted it since it was taken: then whoever has it keeps it, and looks what there is
    /// to write.
    pub(crate) fn lay_down_unless_wanted(&mut self, pen: Box<Pen>) -> Option<Box<Pen>> {
        if std::mem::take(&mut self.wanted) {
            return Some(pen);
        }
        self.lay_down(pen);
        None
    }

    /// Lays the pen down. The caller has seen to what is queued, or calls the writer task.
    pub(crate) fn lay_down(&mut self, pen: Box<Pen>) {
        if !matches!(self.lying, Lying::Closed) {
            self.lying = Lying::Here(pen);
        }
    }

    /// Nobody writes any more. The pen, which is to be dropped elsewhere.
    pub(crate) fn close(&mut self) -> Option<Box<Pen>> {
        match std::mem::replace(&mut self.lying, Lying::Closed) {
            Lying::Here(pen) => Some(pen),
            Lying::Taken | Lying::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Mutex;

    use nnrp_session::Lane;
    use nnrp_wire::{Header, MessageType, Packet};
    use tokio::io::AsyncReadExt;

    fn packet(body: usize) -> Transmit {
        let header = Header::new(MessageType::ResultPush);
        let packet = Packet::build(header, Bytes::new(), Bytes::from(vec![7; body])).encode();
        Transmit::Packet { lane: Lane::Frame, origin: Origin::Application, packet, ticket: 0 }
    }

    #[tokio::test]
    async fn what_the_stream_does_not_take_stays_with_the_pen() {
        const PIPE: usize = 1000;
        let (ours, mut theirs) = tokio::io::duplex(PIPE);
        let mut pen = Pen::new(ours);
        pen.take(packet(100));
        assert_eq!(pen.attempt(), Attempt::Done);
        assert_eq!(pen.written(), Written::packet(140, Origin::Application).of(1));
        pen.take(packet(300));
        pen.take(packet(2000));
        assert_eq!(pen.attempt(), Attempt::Rest);
        assert!(pen.has_rest());
        assert_eq!(pen.written(), Written::packet(340, Origin::Application).of(1), "the first is out");
        let writing = async {
            std::future::poll_fn(|cx| pen.poll_write(cx)).await.unwrap();
            drop(std::mem::replace(&mut pen.stream, Box::new(tokio::io::sink())));
        };
        let mut all = Vec::new();
        let (_, read) = tokio::join!(writing, theirs.read_to_end(&mut all));
        assert_eq!(read.unwrap(), 140 + 340 + 2040);
        assert_eq!(pen.written(), Written::packet(2040, Origin::Application).of(1));
        assert!(!pen.has_rest());
    }

    /// What a write had: pieces, and their bytes.
    type Call = (usize, Vec<u8>);

    /// Takes everything, and notes it.
    #[derive(Clone, Default)]
    struct Taker(std::sync::Arc<Mutex<Vec<Call>>>);

    impl AsyncWrite for Taker {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>();
            let taken = bytes.len();
            self.0.lock().unwrap().push((slices.len(), bytes));
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_few_bytes_in_several_pieces_leave_in_one() {
        const MOST: usize = JOINED_BYTES - Header::LEN;
        let taker = Taker::default();
        let mut pen = Pen::new(taker.clone());
        for (bodies, pieces) in [(&[100, 200][..], 1), (&[4000; 4], 1), (&[MOST], 1), (&[MOST + 1], 2)] {
            bodies.iter().for_each(|body| pen.take(packet(*body)));
            assert_eq!(pen.attempt(), Attempt::Done);
            let (taken, bytes) = taker.0.lock().unwrap().pop().unwrap();
            assert_eq!(taken, pieces, "{bodies:?}");
            let mut rest = &bytes[..];
            for body in bodies {
                let (head, behind) = rest.split_at(Header::LEN);
                assert_eq!(Header::decode(head.first_chunk().unwrap()).unwrap().body_len as usize, *body);
                assert!(behind[..*body].iter().all(|byte| *byte == 7), "out of order");
                rest = &behind[*body..];
            }
            assert!(rest.is_empty() && taker.0.lock().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_broken_stream_and_a_goodbye_are_for_the_writer() {
        let (ours, theirs) = tokio::io::duplex(1000);
        let mut pen = Pen::new(ours);
        drop(theirs);
        pen.take(packet(1));
        assert_eq!(pen.attempt(), Attempt::Rest);
        assert!(pen.has_rest());
        let failed = std::future::poll_fn(|cx| pen.poll_write(cx)).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);

        let mut pen = Pen::new(tokio::io::sink());
        pen.take(Transmit::Shutdown { code: 0, reason: String::new() });
        assert_eq!(pen.attempt(), Attempt::Rest);
        assert!(pen.is_goodbye());
    }

    #[test]
    fn a_pen_that_is_laid_down_after_the_end_is_gone() {
        let mut rest = PenRest::default();
        assert!(rest.take().is_none());
        rest.lay_down(Pen::new(tokio::io::sink()));
        let pen = rest.take().unwrap();
        assert!(rest.take().is_none(), "somebody has it");
        assert!(rest.close().is_none());
        rest.lay_down(pen);
        assert!(rest.take().is_none());
    }

    #[test]
    fn a_pen_that_somebody_wants_is_not_laid_down_before_it_was_looked_again() {
        let mut rest = PenRest::default();
        rest.lay_down(Pen::new(tokio::io::sink()));
        let pen = rest.take().unwrap();
        assert!(rest.take().is_none());
        let pen = rest.lay_down_unless_wanted(pen).expect("it is wanted");
        assert!(rest.lay_down_unless_wanted(pen).is_none(), "not since then");
        let pen = rest.take().expect("it is there");
        assert!(rest.lay_down_unless_wanted(pen).is_none(), "nobody has come");
    }

    impl Written {
        fn of(self, transmits: usize) -> Self {
            Written { transmits, ..self }
        }
    }
}
