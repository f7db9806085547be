//! A TCP socket that waits in the runtime, or is lent to an event loop outside it.
//!
//! Usually the runtime watches the socket and wakes the task that reads. A socket that is lent is not registered there: the
//! loop watches it ([`LoopSockets`](crate::LoopSockets)) and polls the reader itself, so nobody has to be woken. Reading it
//! never waits; what finds nothing is polled again when the loop sees bytes. Writing that would have to wait takes the socket
//! back, because loops do not watch for that.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::loop_sockets::Place;

/// Bytes of small packets read at once from a lent socket.
const LENT_READ: usize = 64 * 1024;

thread_local! {
    /// What small packets on a lent socket are read into, on the thread of its loop. From here they are copied: their buffer has no
    /// contents yet, and would have to be filled with zeros, all of it for each small frame.
    static ARRIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads once and appends what came to `buffer`. Says how many bytes that were, and how many it could have been.
fn read_lent(mut stream: &std::net::TcpStream, buffer: &mut ReadBuf<'_>) -> io::Result<(usize, usize)> {
    let known = buffer.initialized().len() - buffer.filled().len();
    if known > 0 {
        // A body: its memory has contents.
        let read = stream.read(buffer.initialize_unfilled_to(known))?;
        buffer.advance(read);
        return Ok((read, known));
    }
    let room = buffer.remaining().min(LENT_READ);
    ARRIVED.with_borrow_mut(|arrived| {
        if arrived.len() < room {
            arrived.resize(room, 0);
        }
        let read = stream.read(arrived.get_mut(..room).unwrap_or_default())?;
        buffer.put_slice(arrived.get(..read).unwrap_or_default());
        Ok((read, room))
    })
}

/// Whether the runtime is told of bytes by each arrival (epoll, kqueue), not by their being there.
const TOLD_OF_ARRIVALS: bool = cfg!(any(target_os = "linux", target_os = "android", target_os = "macos"));

/// Who reads more than this, and has room for much more, is in the middle of a large body: its peer writes just now, and asking
/// again is quicker than being told.
const MUCH: usize = 16 * 1024;

/// Reads once what the runtime says is there. Less than there is room for has been all: the runtime is told to wait for the
/// next bytes, which saves the system call that finds nothing. Whatever comes after the read counts as new.
/// (So does what is behind urgent data, where reads end early: nobody here sends any.)
fn read_told(stream: &TcpStream, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    let room = buffer.remaining();
    let mut received = None;
    let told = stream.try_io(Interest::READABLE, || {
        let read = stream.try_read_buf(buffer)?;
        received = Some(read);
        let amid = read > MUCH && room - read > MUCH;
        // This is how the runtime is told.
        if TOLD_OF_ARRIVALS && 0 < read && read < room && !amid {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(())
        }
    });
    if received.is_some() { Ok(()) } else { told }
}

/// Reads as soon as the runtime says that something is there.
fn poll_told(stream: &TcpStream, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        match read_told(stream, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return Poll::Ready(read),
        }
    }
}

#[cfg(target_os = "linux")]
use linux::{came_on_this_core, low_water};

/// `nix` has no name for this option, but a macro for those it has none for, with which it writes its own.
#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsFd;

    use nix::libc;
    use nix::sys::socket::{SetSockOpt, sockopt};
    use socket2::SockRef;

    #[derive(Clone, Copy, Debug)]
    struct ReceiveLowWater;

    nix::setsockopt_impl!(ReceiveLowWater, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize, sockopt::SetUsize);

    pub(super) fn low_water(stream: &impl AsFd, bytes: usize) -> bool {
        ReceiveLowWater.set(stream, &bytes).is_ok()
    }

    pub(super) fn came_on_this_core(stream: &impl AsFd) -> bool {
        let core = SockRef::from(stream).cpu_affinity();
        core.is_ok_and(|core| core == rustix::thread::sched_getcpu())
    }
}

/// Elsewhere the reader is woken as always.
#[cfg(not(target_os = "linux"))]
fn low_water<T>(_: &T, _: usize) -> bool {
    false
}

/// Nobody asks where there are no marks.
#[cfg(not(target_os = "linux"))]
fn came_on_this_core<T>(_: &T) -> bool {
    false
}

/// Reads in one turn of the loop, which has other work, too, and calls again for the rest.
const LENT_READS: u32 = 8;

/// Both directions of a socket. Clones share it; it closes with the last of them.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: Arc<Inner>,
    /// What this one has been read with, as long as nobody wants to lend it: reading takes no lock then.
    reads: Option<Arc<TcpStream>>,
}

#[derive(Debug)]
struct Inner {
    /// Locked for reading while bytes are moved, for writing while the way of waiting changes.
    mode: RwLock<Mode>,
    /// It was to be lent at some time, as hardly any socket is that no event loop reads. Readers lock from then on.
    is_wanted: AtomicBool,
    /// Somebody waits in the runtime until more can be written. Set under the lock.
    write_waits: AtomicBool,
    /// A lent socket was read until there was nothing more, as far as is known, or as often as one turn is for. Not asked again
    /// until the loop sees bytes.
    rests: AtomicBool,
    /// Reads since the loop's turn began.
    reads: AtomicU32,
    /// It is the loop that polls, right now.
    in_turn: AtomicBool,
    handle: Handle,
}

#[derive(Debug)]
enum Mode {
    Runtime(Arc<TcpStream>),
    Lent(Lent),
    /// It could not be registered again.
    Lost,
}

/// What a lent socket needs.
#[derive(Debug)]
struct Lent {
    stream: std::net::TcpStream,
    place: Place,
    /// The task that reads, to be told when the socket is taken back: the runtime knows nothing of it.
    reader: Waker,
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the runtime did not take the socket back")
}

/// The same socket, read with what it has itself.
impl Clone for Socket {
    fn clone(&self) -> Self {
        Socket { inner: self.inner.clone(), reads: None }
    }
}

impl Socket {
    /// Needs a tokio runtime around it.
    pub(crate) fn new(stream: TcpStream) -> Self {
        let inner = Arc::new(Inner {
            mode: RwLock::new(Mode::Runtime(Arc::new(stream))),
            is_wanted: AtomicBool::new(false),
            write_waits: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            reads: AtomicU32::new(0),
            in_turn: AtomicBool::new(false),
            handle: Handle::current(),
        });
        Socket { inner, reads: None }
    }

    fn mode(&self) -> RwLockReadGuard<'_, Mode> {
        self.inner.mode.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Mode> {
        self.inner.mode.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is lent.
    pub(crate) fn is_lent(&self) -> bool {
        matches!(*self.mode(), Mode::Lent(_))
    }

    /// The same, said to a loop that is about to wait for more.
    pub(crate) fn stays_lent(&self) -> bool {
        match &*self.mode() {
            Mode::Lent(lent) => {
                lent.place.note_wait();
                true
            }
            _ => false,
        }
    }

    /// Takes it out of the runtime, where the task `reader` reads it, and into `place`. False if it is elsewhere already, or
    /// somebody waits for it, or has to let go of it first.
    pub(crate) fn lend(&self, place: Place, reader: Waker) -> bool {
        self.inner.is_wanted.store(true, Ordering::Release);
        let mut mode = self.change();
        if self.inner.write_waits.load(Ordering::Relaxed) {
            return false;
        }
        let before = std::mem::replace(&mut *mode, Mode::Lost);
        let Mode::Runtime(shared) = before else {
            *mode = before;
            return false;
        };
        let stream = match Arc::try_unwrap(shared) {
            Ok(stream) => stream,
            Err(shared) => {
                *mode = Mode::Runtime(shared);
                reader.wake();
                return false;
            }
        };
        let Ok(stream) = stream.into_std() else { return false };
        self.feed();
        let watched = place.watch(&stream).is_ok();
        *mode = Mode::Lent(Lent { stream, place, reader });
        if !watched {
            self.register(&mut mode);
        }
        watched
    }

    /// Takes it back into the runtime, if it is lent.
    pub(crate) fn take_back(&self) {
        self.register(&mut self.change());
    }

    fn register(&self, mode: &mut Mode) {
        *mode = match std::mem::replace(mode, Mode::Lost) {
            Mode::Lent(Lent { stream, place, reader }) => {
                place.leave(&stream);
                let _entered = self.inner.handle.enter();
                reader.wake();
                TcpStream::from_std(stream).map_or(Mode::Lost, |stream| Mode::Runtime(Arc::new(stream)))
            }
            other => other,
        };
    }

    /// Whether whoever waits for bytes is not woken from now on before there are `bytes` of them. More than will come for certain stalls
    /// the connection.
    pub(crate) fn set_low_water(&self, bytes: usize) -> bool {
        match &*self.mode() {
            Mode::Runtime(stream) => low_water(&**stream, bytes),
            Mode::Lent(lent) => low_water(&lent.stream, bytes),
            Mode::Lost => false,
        }
    }

    /// Whether the last packet came in on the core that asks. Within a machine that is where the peer wrote it.
    pub(crate) fn is_fed_here(&self) -> bool {
        match &*self.mode() {
            Mode::Runtime(stream) => came_on_this_core(&**stream),
            Mode::Lent(lent) => came_on_this_core(&lent.stream),
            Mode::Lost => false,
        }
    }

    /// Forgets what the last read of the lent socket found.
    fn feed(&self) {
        self.inner.rests.store(false, Ordering::Relaxed);
        self.inner.reads.store(0, Ordering::Relaxed);
    }

    /// The loop polls its reader from now on, until [`Socket::end_turn`].
    pub(crate) fn begin_turn(&self) {
        self.feed();
        self.inner.in_turn.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end_turn(&self) {
        self.inner.in_turn.store(false, Ordering::Relaxed);
    }

    /// Whether it is lent, and whoever reads it waits for bytes, with which the loop calls.
    pub(crate) fn waits_for_bytes(&self) -> bool {
        self.inner.rests.load(Ordering::Relaxed) && matches!(*self.mode(), Mode::Lent(_))
    }

    /// The socket as the runtime sees it, for those who wait for something special. It is not lent as long as they have it.
    ///
    /// # Errors
    ///
    /// The runtime did not take it back.
    pub(crate) fn in_runtime(&self) -> io::Result<Arc<TcpStream>> {
        let mut mode = self.change();
        self.register(&mut mode);
        match &*mode {
            Mode::Runtime(stream) => Ok(stream.clone()),
            Mode::Lent(_) | Mode::Lost => Err(lost()),
        }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(Writing<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = match &*self.mode() {
                Mode::Runtime(stream) => loop {
                    let Poll::Ready(able) = stream.poll_write_ready(cx) else {
                        self.inner.write_waits.store(true, Ordering::Relaxed);
                        return Poll::Pending;
                    };
                    able?;
                    match write(Writing::Runtime(stream)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        written => {
                            self.inner.write_waits.store(false, Ordering::Relaxed);
                            break written;
                        }
                    }
                },
                Mode::Lent(lent) => write(Writing::Lent(&lent.stream)),
                Mode::Lost => Err(lost()),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.take_back(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

/// The socket while it is written to.
enum Writing<'a> {
    Runtime(&'a TcpStream),
    Lent(&'a std::net::TcpStream),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.inner.is_wanted.load(Ordering::Acquire) {
            this.reads = None;
        } else if this.reads.is_none() {
            let stream = match &*this.mode() {
                Mode::Runtime(stream) => Some(stream.clone()),
                Mode::Lent(_) | Mode::Lost => None,
            };
            this.reads = stream;
        }
        if let Some(stream) = &this.reads {
            return poll_told(stream, cx, buffer);
        }
        let mode = this.mode();
        match &*mode {
            // It was taken back during the loop's turn: the task goes on.
            Mode::Runtime(_) if this.inner.in_turn.load(Ordering::Relaxed) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Mode::Runtime(stream) => poll_told(stream, cx, buffer),
            Mode::Lent(lent) => loop {
                if this.inner.rests.load(Ordering::Relaxed) {
                    return Poll::Pending;
                }
                let is_last = this.inner.reads.fetch_add(1, Ordering::Relaxed) + 1 >= LENT_READS;
                match read_lent(&lent.stream, buffer) {
                    Ok((read, room)) => {
                        // What fills less than the room has been all; the end is seen by reading again.
                        this.inner.rests.store(is_last || (read > 0 && read < room), Ordering::Relaxed);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        this.inner.rests.store(true, Ordering::Relaxed);
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
            Mode::Lost => Poll::Ready(Err(lost())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| match socket {
            Writing::Runtime(stream) => stream.try_write(bytes),
            Writing::Lent(mut stream) => stream.write(bytes),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| match socket {
            Writing::Runtime(stream) => stream.try_write_vectored(slices),
            Writing::Lent(mut stream) => stream.write_vectored(slices),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A socket keeps nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = match &*self.mode() {
            Mode::Runtime(stream) => SockRef::from(&**stream).shutdown(Shutdown::Write),
            Mode::Lent(lent) => lent.stream.shutdown(Shutdown::Write),
            Mode::Lost => Err(lost()),
        };
        // The peer has gone already: that is what was wanted.
        Poll::Ready(ended.or_else(|error| match error.kind() {
            io::ErrorKind::NotConnected => Ok(()),
            _ => Err(error),
        }))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    use std::net::Ipv4Addr;
    use std::sync::Weak;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use crate::loop_sockets::LoopSockets;

    #[tokio::test]
    async fn a_turn_of_the_loop_ends_although_there_is_more_to_read() {
        const STEP: usize = 64;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (peer, ours) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut peer, mut socket) = (peer.unwrap(), Socket::new(ours.unwrap().0));
        peer.write_all(&[7; 100 * STEP]).await.unwrap();
        socket.in_runtime().unwrap().readable().await.unwrap();

        let sockets = LoopSockets::new(Handle::current()).unwrap();
        assert!(
            socket
                .lend(sockets.place(Weak::<crate::serving::Serving>::new()).unwrap(), Waker::noop().clone())
        );
        let turn = |socket: &mut Socket| {
            socket.begin_turn();
            let mut reads = 0;
            let mut bytes = [0; STEP];
            let mut cx = Context::from_waker(Waker::noop());
            while Pin::new(&mut *socket).poll_read(&mut cx, &mut ReadBuf::new(&mut bytes)).is_ready() {
                reads += 1;
                assert!(reads <= LENT_READS, "it goes on and on");
            }
            socket.end_turn();
            reads
        };
        for _ in 0..2 {
            assert_eq!(turn(&mut socket), LENT_READS);
            assert!(socket.waits_for_bytes(), "it is not taken back, the loop calls again");
        }
        socket.take_back();
        assert_eq!(turn(&mut socket), 0, "what the runtime has is not for the loop");
    }
}
