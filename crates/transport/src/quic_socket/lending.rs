//! A UDP socket in the hands of an event loop, as TCP's are in [`socket`](crate::socket): while it is lent, the runtime does not watch
//! it, and quinn's task that reads it runs on the loop's thread ([`roaming`]).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::net::UdpSocket;

use super::{DatagramSocket, Mode};
use crate::loop_sockets::LoopSockets;
use crate::roaming;
use crate::serving::Lent;

/// Bytes that a loop receives and sends in one turn, with the work of encryption about 0.4 ms: who moves more is better served by a
/// thread of its own.
const LENT_BYTES: usize = 512 * 1024;

/// After that, this many waits for a frame go by until the socket is lent again: frames of one kind come in a row.
const WAITS_AFTER_BULK: u32 = 64;

impl DatagramSocket {
    pub(crate) fn is_lent(&self) -> bool {
        matches!(*self.mode(), Mode::Lent(..))
    }

    /// The same, said to a loop that is about to wait for more.
    pub(crate) fn stays_lent(&self) -> bool {
        match &*self.mode() {
            Mode::Lent(_, place) => {
                place.note_wait();
                true
            }
            _ => false,
        }
    }

    /// Lends it to a loop, the only one that waits for what arrives here. Whether it is lent to that one now.
    pub(crate) fn lend(self: &Arc<Self>, sockets: &LoopSockets) -> bool {
        if self.shared.load(Ordering::Relaxed)
            || self
                .bulk
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waits| waits.checked_sub(1))
                .is_ok()
        {
            return false;
        }
        if let Mode::Lent(_, place) = &*self.mode()
            && place.is_of(sockets)
        {
            return true;
        }
        let this: Weak<dyn Lent> = Arc::<Self>::downgrade(self);
        let Some(place) = sockets.place(this) else { return false };
        let mut mode = self.change();
        let shared = match std::mem::replace(&mut *mode, Mode::Lost) {
            Mode::Runtime(shared) => shared,
            other => {
                *mode = other;
                if matches!(*mode, Mode::Lent(..)) {
                    self.shared.store(true, Ordering::Relaxed);
                    self.register(&mut mode);
                }
                return false;
            }
        };
        // Who waits until more can be sent has it, too.
        let socket = match Arc::try_unwrap(shared) {
            Ok(socket) => socket,
            Err(shared) => {
                *mode = Mode::Runtime(shared);
                return false;
            }
        };
        let Ok(socket) = socket.into_std() else { return false };
        self.starved.store(false, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        let watched = place.watch(&socket).is_ok();
        *mode = Mode::Lent(socket, place);
        if !watched {
            self.register(&mut mode);
        }
        watched
    }

    /// More is coming than should be read on the thread of a loop.
    pub(crate) fn expect_bulk(&self) {
        self.bulk.store(WAITS_AFTER_BULK, Ordering::Relaxed);
        self.take_back();
    }

    fn register(&self, mode: &mut Mode) {
        *mode = match std::mem::replace(mode, Mode::Lost) {
            Mode::Lent(socket, place) => {
                place.leave(&socket);
                let _entered = self.handle.enter();
                if let Some(reader) = &*self.reader() {
                    reader.wake_by_ref();
                }
                UdpSocket::from_std(socket).map_or(Mode::Lost, |socket| Mode::Runtime(Arc::new(socket)))
            }
            other => other,
        };
    }
}

impl Lent for DatagramSocket {
    fn serve(&self) {
        self.starved.store(false, Ordering::Relaxed);
        let reader = self.reader().clone();
        if let Some(reader) = reader {
            roaming::run_after(|| reader.wake());
        }
        if self.bytes.swap(0, Ordering::Relaxed) > LENT_BYTES {
            self.expect_bulk();
        }
        // Where nobody reads, or not all of it, the loop must not be called over and over.
        if !self.starved.load(Ordering::Relaxed) {
            self.take_back();
        }
    }

    fn take_back(&self) {
        self.register(&mut self.change());
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    use tokio::runtime::Handle;

    use crate::quic_socket::Surroundings;
    use crate::quic_socket::tests::{PACKET, receive, send, socket};

    #[tokio::test]
    async fn no_loop_has_what_several_loops_wait_for() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Surroundings { largest_packet: PACKET }.socket(socket).unwrap();
        let [one, other] = [(); 2].map(|()| LoopSockets::new(Handle::current()).unwrap());
        assert!(socket.lend(&one));
        assert!(socket.lend(&one), "it has it already");
        assert!(!socket.lend(&other));
        assert!(!socket.is_lent());
        assert!(!socket.lend(&one));
    }

    #[tokio::test]
    async fn nobody_is_called_over_and_over_for_what_nobody_reads() {
        let (here, there) = (socket(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let there = Surroundings { largest_packet: PACKET }.socket(there).unwrap();
        let sockets = LoopSockets::new(Handle::current()).unwrap();
        assert!(there.lend(&sockets));
        send(&here, &*there, b"unread", None).await;
        sockets.serve();
        assert!(!there.is_lent());
        assert_eq!(receive(&*there).await, [b"unread"]);
    }
}
