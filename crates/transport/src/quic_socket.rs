//! What quinn asks its surroundings for, a socket and timers, with fewer system calls than what it brings along.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::FutureExt;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::alarm::Alarm;
use crate::clock;

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
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        let largest_packet = self.largest_packet;
        Ok(Arc::new(DatagramSocket { io: UdpSocket::from_std(socket)?, state, largest_packet }))
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

#[derive(Debug)]
struct DatagramSocket {
    io: UdpSocket,
    state: UdpSocketState,
    largest_packet: usize,
}

impl AsyncUdpSocket for DatagramSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let send = |transmit: &Transmit<'_>| {
            self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit))
        };
        let Some(packet) = transmit.segment_size.filter(|_| transmit.contents.len() > MAX_BATCH_BYTES) else {
            return send(transmit);
        };
        // quinn counts packets, not bytes. What was sent when there is no room for the rest is sent again with it, and the peer
        // knows it by its numbers. Only packets of loopback make such batches, and there room is free again at once.
        let most = (MAX_BATCH_BYTES / packet).max(1) * packet;
        transmit.contents.chunks(most).try_for_each(|contents| {
            let segment_size = (contents.len() > packet).then_some(packet);
            send(&Transmit { contents, segment_size, ..*transmit })
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let mut received = None;
            let tried = self.io.try_io(Interest::READABLE, || {
                let count = self.state.recv((&self.io).into(), buffers, metas)?;
                received = Some(count);
                // Fewer than there was room for: those were all. The next question is answered without asking the kernel.
                if RECEIVES_ALL && count < buffers.len() {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            });
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
        self.io.local_addr()
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
            if let Some(writable) = socket.io.writable().now_or_never() {
                return Poll::Ready(writable);
            }
            let socket = socket.clone();
            *waiting = Some(Box::pin(async move { socket.io.writable().await }));
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

    const PACKET: usize = 16_000;
    const PATIENCE: Duration = Duration::from_secs(10);

    fn socket() -> Arc<dyn AsyncUdpSocket> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        Surroundings { largest_packet: PACKET }.wrap_udp_socket(socket).unwrap()
    }

    async fn send(
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
    async fn receive(socket: &dyn AsyncUdpSocket) -> Vec<Vec<u8>> {
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
