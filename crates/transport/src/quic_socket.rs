//! What quinn asks its surroundings for, a socket and timers, with fewer system calls than what it brings along.

mod lending;

use std::fmt::{self, Debug, Formatter};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use futures_util::FutureExt;
use quinn::udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::runtime::Handle;

use crate::alarm::Alarm;
use crate::clock;
use crate::loop_sockets::Place;
use crate::roaming::{self, roaming};
use crate::serving::Lent;

/// Bytes that one call hands to the kernel at most: what a UDP datagram over IPv4 can have, also one that is to be cut into packets.
const MAX_BATCH_BYTES: usize = 65_507;

/// Whether a call takes all messages there are and room for. Elsewhere it takes one, and the next one must be asked for.
const RECEIVES_ALL: bool = cfg!(any(target_os = "linux", target_os = "android", target_os = "freebsd"));

/// Bytes the kernel joins to one message at most.
const MAX_JOINED_BYTES: usize = 65_536;

/// Tokio's, with fewer system calls, and timers that are not set anew for each packet.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Bytes of the largest packet that may arrive.
    pub(crate) largest_packet: usize,
}

impl Runtime for Surroundings {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer { alarm: Alarm::default(), at })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(roaming(future, false));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(self.socket(socket)?)
    }

    fn now(&self) -> Instant {
        clock::now()
    }
}

/// A timer whose time moves with every packet, nearly always to a later one.
#[derive(Debug)]
struct Timer {
    alarm: Alarm,
    at: Instant,
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = at;
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Timer { alarm, at } = self.get_mut();
        alarm.poll(*at, cx)
    }
}

/// A UDP socket that waits in the runtime, or is lent to an event loop that waits for a frame and does nothing else.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    /// Locked for reading while bytes are moved, for writing while the way of waiting changes.
    mode: RwLock<Mode>,
    /// The task that reads.
    reader: Mutex<Option<Waker>>,
    /// A lent socket was read until there was nothing more, as far as is known.
    starved: AtomicBool,
    /// Bytes moved since the end of the loop's last turn.
    bytes: AtomicUsize,
    /// Waits for a frame that have to go by before the socket is lent.
    bulk: AtomicU32,
    /// Several loops wait for frames that arrive here. None of them is to depend on another that has no time.
    shared: AtomicBool,
    state: UdpSocketState,
    local: SocketAddr,
    largest_packet: usize,
    handle: Handle,
}

#[derive(Debug)]
enum Mode {
    Runtime(Arc<UdpSocket>),
    Lent(std::net::UdpSocket, Place),
    /// It could not be registered again.
    Lost,
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the runtime did not take the socket back")
}

impl Surroundings {
    /// Needs a tokio runtime around it.
    pub(crate) fn socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<DatagramSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        Ok(Arc::new(DatagramSocket {
            mode: RwLock::new(Mode::Runtime(Arc::new(UdpSocket::from_std(socket)?))),
            reader: Mutex::new(None),
            starved: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            bulk: AtomicU32::new(0),
            shared: AtomicBool::new(false),
            state,
            local,
            largest_packet: self.largest_packet,
            handle: Handle::current(),
        }))
    }
}

impl DatagramSocket {
    fn mode(&self) -> RwLockReadGuard<'_, Mode> {
        self.mode.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Mode> {
        self.mode.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is there. `received` is how many messages that were; `WouldBlock` says that these were all, or that there are none.
    fn receive(
        &self,
        socket: UdpSockRef<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
        received: &mut Option<usize>,
    ) -> io::Result<()> {
        let count = self.state.recv(socket, buffers, metas)?;
        *received = Some(count);
        // Fewer than there was room for: those were all. The next question is answered without asking the kernel.
        if RECEIVES_ALL && count < buffers.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = match &*self.mode() {
            Mode::Runtime(socket) => {
                return socket.try_io(Interest::WRITABLE, || self.state.send((&**socket).into(), transmit));
            }
            Mode::Lent(socket, _) => {
                self.bytes.fetch_add(transmit.contents.len(), Ordering::Relaxed);
                self.state.send(socket.into(), transmit)
            }
            Mode::Lost => Err(lost()),
        };
        // Loops do not watch for room.
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.take_back();
        }
        sent
    }
}

impl AsyncUdpSocket for DatagramSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(packet) = transmit.segment_size.filter(|_| transmit.contents.len() > MAX_BATCH_BYTES) else {
            return self.send(transmit);
        };
        // quinn counts packets, not bytes. What was sent when there is no room for the rest is sent again with it, and the peer
        // knows it by its numbers. Only packets of loopback make such batches, and there room is free again at once.
        let most = (MAX_BATCH_BYTES / packet).max(1) * packet;
        transmit.contents.chunks(most).try_for_each(|contents| {
            let segment_size = (contents.len() > packet).then_some(packet);
            self.send(&Transmit { contents, segment_size, ..*transmit })
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mode = self.mode();
        loop {
            let mut received = None;
            let tried = match &*mode {
                Mode::Runtime(socket) => {
                    let Poll::Ready(able) = socket.poll_recv_ready(cx) else {
                        let mut reader = self.reader();
                        match &mut *reader {
                            Some(known) => known.clone_from(cx.waker()),
                            none => *none = Some(cx.waker().clone()),
                        }
                        return Poll::Pending;
                    };
                    able?;
                    socket.try_io(Interest::READABLE, || {
                        self.receive((&**socket).into(), buffers, metas, &mut received)
                    })
                }
                // The loop calls as long as there is something.
                Mode::Lent(..) if !roaming::is_at_work() || self.starved.load(Ordering::Relaxed) => {
                    return Poll::Pending;
                }
                Mode::Lent(socket, _) => {
                    let tried = self.receive(socket.into(), buffers, metas, &mut received);
                    let blocked =
                        tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
                    self.starved.store(blocked, Ordering::Relaxed);
                    let bytes = metas.iter().take(received.unwrap_or_default()).map(|meta| meta.len).sum();
                    self.bytes.fetch_add(bytes, Ordering::Relaxed);
                    tried
                }
                Mode::Lost => Err(lost()),
            };
            match (received, tried) {
                (Some(count), _) => return Poll::Ready(Ok(count)),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        // quinn's room for a message is this many of the largest packet; where nothing is joined, one.
        self.state.gro_segments().min(MAX_JOINED_BYTES.div_ceil(self.largest_packet))
    }
}

/// Waits for room in a socket that others wait for, too.
struct Writable {
    socket: Arc<DatagramSocket>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl Debug for Writable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").finish_non_exhaustive()
    }
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Writable { socket, waiting } = self.get_mut();
        if waiting.is_none() {
            let io = match &*socket.mode() {
                Mode::Runtime(io) => match io.writable().now_or_never() {
                    Some(writable) => return Poll::Ready(writable),
                    None => io.clone(),
                },
                Mode::Lent(..) => return Poll::Ready(Ok(())),
                Mode::Lost => return Poll::Ready(Err(lost())),
            };
            *waiting = Some(Box::pin(async move { io.writable().await }));
        }
        let Some(future) = waiting else { return Poll::Pending };
        let writable = ready!(future.as_mut().poll(cx));
        *waiting = None;
        Poll::Ready(writable)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    pub(super) const PACKET: usize = 16_000;
    const PATIENCE: Duration = Duration::from_secs(10);

    pub(super) fn socket() -> Arc<dyn AsyncUdpSocket> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        Surroundings { largest_packet: PACKET }.wrap_udp_socket(socket).unwrap()
    }

    pub(super) async fn send(
        from: &Arc<dyn AsyncUdpSocket>,
        to: &dyn AsyncUdpSocket,
        contents: &[u8],
        segment_size: Option<usize>,
    ) {
        let destination = to.local_addr().unwrap();
        let mut poller = from.clone().create_io_poller();
        std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
        from.try_send(&Transmit { destination, ecn: None, contents, segment_size, src_ip: None }).unwrap();
    }

    /// The next messages, as packets.
    pub(super) async fn receive(socket: &dyn AsyncUdpSocket) -> Vec<Vec<u8>> {
        let room = socket.max_receive_segments() * PACKET;
        let mut memory = [vec![0; room], vec![0; room]];
        let mut metas = [RecvMeta::default(); 2];
        let mut buffers = memory.each_mut().map(|memory| IoSliceMut::new(memory));
        let received = std::future::poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut metas));
        let count = timeout(PATIENCE, received).await.expect("something arrives").unwrap();
        let messages = memory.iter().zip(&metas).take(count);
        messages.flat_map(|(bytes, meta)| bytes[..meta.len].chunks(meta.stride).map(<[u8]>::to_vec)).collect()
    }

    #[tokio::test]
    async fn more_than_the_kernel_takes_at_once_arrives_packet_by_packet() {
        let (here, there) = (socket(), socket());
        let segments = here.max_transmit_segments().min(10);
        let sent: Vec<_> = (0..10).take(segments).map(|number| vec![number; PACKET]).collect();
        send(&here, &*there, &sent.concat(), (segments > 1).then_some(PACKET)).await;
        let mut received = Vec::new();
        while received.len() < segments {
            received.extend(receive(&*there).await);
        }
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn a_short_read_does_not_hide_what_comes_next() {
        let (here, there) = (socket(), socket());
        for number in 0..100 {
            send(&here, &*there, &[number], None).await;
            assert_eq!(receive(&*there).await, [[number]]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_rings_at_the_time_it_was_set_to_last() {
        let surroundings = Surroundings { largest_packet: PACKET };
        let begun = clock::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut timer = surroundings.new_timer(after(1));
        timer.as_mut().reset(after(3));
        let rings = std::future::poll_fn(|cx| timer.as_mut().poll(cx));
        assert!(timeout(Duration::from_secs(2), rings).await.is_err());
        for (first, last) in [(5, 4), (6, 7), (9, 8)] {
            timer.as_mut().reset(after(first));
            timer.as_mut().reset(after(last));
            std::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert_eq!(clock::now(), after(last));
        }
    }
}
