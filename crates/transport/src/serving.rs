//! Who polls the reader of an ordered stream: its task, or an event loop that the socket is lent to.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use crate::loop_sockets::LoopSockets;
use crate::socket::Socket;
use crate::stream_reader::ReadEnd;

/// After what a thread of its own had better read, this many waits for a frame go by until the socket is lent again: frames of one
/// kind come in a row.
const WAITS_AFTER_BULK: u32 = 16;

/// What has been lent to an event loop.
pub(crate) trait Lent: fmt::Debug + Send + Sync {
    /// Does what is to be done when something has arrived, on the thread of the loop.
    fn serve(&self);

    /// The loop has no time for it.
    fn take_back(&self);
}

type Reading = Pin<Box<dyn Future<Output = ReadEnd> + Send>>;

/// The reader, and the socket it reads if that can be lent.
pub(crate) struct Serving {
    slot: Mutex<Slot>,
    /// Somebody wanted to poll while another did.
    again: AtomicBool,
    socket: Option<Socket>,
    /// Waits for a frame that have to go by before the socket is lent.
    bulk: AtomicU32,
    handle: Handle,
}

/// What is in `slot`, unless somebody else has it. Who has it looks at `again` once the slot is free: either we find it free, or that
/// one finds that we asked.
pub(crate) fn enter<'a, T>(slot: &'a Mutex<T>, again: &AtomicBool) -> Option<MutexGuard<'a, T>> {
    let free = |slot: Result<_, TryLockError<_>>| match slot {
        Ok(slot) => Some(slot),
        Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
        Err(TryLockError::WouldBlock) => None,
    };
    free(slot.try_lock()).or_else(|| {
        again.store(true, Ordering::SeqCst);
        free(slot.try_lock())
    })
}

#[derive(Default)]
struct Slot {
    reading: Option<Reading>,
    /// Its end, on the way to the task.
    end: Option<ReadEnd>,
    /// The task.
    waker: Option<Waker>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Serving {
    /// Needs a tokio runtime around it.
    pub(crate) fn new(
        reading: impl Future<Output = ReadEnd> + Send + 'static,
        socket: Option<Socket>,
    ) -> Arc<Self> {
        Arc::new(Serving {
            slot: Mutex::new(Slot { reading: Some(Box::pin(reading)), ..Slot::default() }),
            again: AtomicBool::new(false),
            socket,
            bulk: AtomicU32::new(0),
            handle: Handle::current(),
        })
    }

    /// The reader's end. For its task alone.
    pub(crate) async fn read(&self) -> ReadEnd {
        let mut known = false;
        std::future::poll_fn(|cx| {
            let Some(mut slot) = self.enter() else {
                // Who has it cannot call a task it does not know.
                if !known {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            };
            known = true;
            match &mut slot.waker {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            let end = match slot.end.take() {
                Some(end) => Poll::Ready(end),
                None => slot.poll(cx),
            };
            self.exit(slot);
            end
        })
        .await
    }

    /// The slot, unless somebody else has it: then that one polls once more, or sees to it.
    fn enter(&self) -> Option<MutexGuard<'_, Slot>> {
        enter(&self.slot, &self.again)
    }

    fn exit(&self, slot: MutexGuard<'_, Slot>) {
        drop(slot);
        if self.again.swap(false, Ordering::SeqCst) {
            // Who has it by now polls after the one that wanted to. Otherwise the task is called, once the slot is free again.
            let task = self.enter().and_then(|slot| slot.waker.clone());
            if let Some(task) = task {
                task.wake();
            }
        }
    }

    /// Lends the socket, if there is one that is in the runtime. Whether it is lent now.
    pub(crate) fn lend(self: &Arc<Self>, sockets: &LoopSockets) -> bool {
        let Some(socket) = &self.socket else { return false };
        if self.bulk.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waits| waits.checked_sub(1)).is_ok()
        {
            return false;
        }
        if socket.stays_lent() {
            return true;
        }
        let Some(slot) = self.enter() else { return false };
        let reader = slot.waker.clone().filter(|_| slot.reading.is_some());
        // Not polled while it is lent, so that it waits for bytes in the one place or the other.
        let this: Weak<dyn Lent> = Arc::<Self>::downgrade(self);
        let lent = match (reader, sockets.place(this)) {
            (Some(reader), Some(place)) => socket.lend(place, reader),
            _ => false,
        };
        self.exit(slot);
        lent
    }

    pub(crate) fn is_lent(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::is_lent)
    }

    /// The same, said to a loop that is about to wait for more.
    pub(crate) fn stays_lent(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::stays_lent)
    }

    /// More is coming than should be read on the thread of a loop.
    pub(crate) fn expect_bulk(&self) {
        self.bulk.store(WAITS_AFTER_BULK, Ordering::Relaxed);
        self.take_back();
    }
}

impl Lent for Serving {
    fn serve(&self) {
        let Some(socket) = &self.socket else { return };
        let Some(mut slot) = self.enter() else { return };
        let Some(waker) = slot.waker.clone() else { return };
        socket.begin_turn();
        let _entered = self.handle.enter();
        let ended = match slot.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(end) => {
                slot.end = Some(end);
                true
            }
            Poll::Pending => false,
        };
        socket.end_turn();
        self.exit(slot);
        if ended {
            // Not before the slot is free: the task would find it taken, and nobody would call it again.
            waker.wake();
        }
        // What waits for anything but bytes must not be called for them over and over.
        if !socket.waits_for_bytes() {
            socket.take_back();
        }
    }

    fn take_back(&self) {
        if let Some(socket) = &self.socket {
            socket.take_back();
        }
    }
}

impl Slot {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ReadEnd> {
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let polled = reading.as_mut().poll(cx);
        if polled.is_ready() {
            self.reading = None;
        }
        polled
    }
}

/// What a link knows of its reader.
#[derive(Debug, Default)]
pub(crate) struct Served(std::sync::OnceLock<Weak<Serving>>);

impl Served {
    pub(crate) fn by(&self, serving: &Arc<Serving>) {
        let _ = self.0.set(Arc::downgrade(serving));
    }

    pub(crate) fn get(&self) -> Option<Arc<Serving>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::Ipv4Addr;
    use std::time::Duration;

    use nnrp_session::TransportEnd;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn socket() -> Socket {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (stream, _) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        Socket::new(stream.unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_is_lost_although_the_loop_looks_at_the_same_moment() {
        const CALLS: usize = 20_000;
        let (call, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let reading = {
            let (call, answer) = (call.clone(), answer.clone());
            async move {
                loop {
                    call.notified().await;
                    answer.notify_one();
                }
            }
        };
        let serving = Serving::new(reading, Some(socket().await));
        let task = tokio::spawn({
            let serving = serving.clone();
            async move { serving.read().await }
        });
        // The loop looks once for each call, and never again: what it keeps the task from doing then stays undone.
        let (turn, turns) = std::sync::mpsc::channel::<()>();
        let event_loop = std::thread::spawn({
            let serving = serving.clone();
            move || turns.iter().for_each(|()| serving.serve())
        });
        for number in 0..CALLS {
            turn.send(()).unwrap();
            call.notify_one();
            let answered = tokio::time::timeout(PATIENCE, answer.notified()).await;
            assert!(answered.is_ok(), "call {number} was lost");
        }
        drop(turn);
        event_loop.join().unwrap();
        task.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_end_that_the_loop_sees_while_the_task_asks_is_told() {
        let (tell, told) = std::sync::mpsc::channel::<Arc<Serving>>();
        let told = Mutex::new(told);
        let rests = Arc::new(Notify::new());
        let mut first = Some(rests.clone());
        let reading = std::future::poll_fn(move |cx| {
            if let Some(rests) = first.take() {
                rests.notify_one();
                return Poll::Pending;
            }
            // The loop's turn. The task is called, and finds that somebody else has the reader.
            let serving = told.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            cx.waker().wake_by_ref();
            while !serving.again.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Poll::Ready(ReadEnd::Transport(TransportEnd { clean: true, text: String::new() }))
        });
        let serving = Serving::new(reading, Some(socket().await));
        let task = tokio::spawn({
            let serving = serving.clone();
            async move { serving.read().await }
        });
        rests.notified().await;
        while serving.slot.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
        tell.send(serving.clone()).unwrap();
        std::thread::spawn(move || serving.serve());
        let end = tokio::time::timeout(PATIENCE, task).await.expect("the task hears of the end").unwrap();
        assert!(matches!(end, ReadEnd::Transport(_)));
    }
}
