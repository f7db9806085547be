//! Sockets that an event loop outside the runtime serves by itself.
//!
//! A frame that the runtime's thread reads for an event loop costs two wake-ups: that of the thread, and then that of the
//! loop. A loop that waits for nothing else might as well be woken by the socket. So connections lend it their sockets: they
//! are gathered in one descriptor, which the loop watches, and [`LoopSockets::serve`] reads whatever has arrived.
//!
//! A loop that is busy must not keep a session from being served. While anything is lent, a task of the runtime looks every
//! [`TICK`] whether the loop still comes by: if bytes lie there for two of them, or nothing has arrived for [`IDLE_TICKS`], the
//! runtime takes all sockets back, and the connections are as they were.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::runtime::Handle;

use crate::clock;
use crate::serving::Lent;

/// How often it is looked whether the loop comes by.
const TICK: Duration = Duration::from_millis(2);

/// Ticks without the loop, though there is something to read, until its sockets are taken back.
const LATE_TICKS: u32 = 2;

/// Ticks with nothing to read until the sockets are taken back: whoever is idle is watched by the runtime, which needs no ticks
/// for it.
const IDLE_TICKS: u32 = 50;

/// Ticks for which a loop that is about other sessions may leave bytes unread: a turn with 64 busy sessions takes half of that.
const BUSY_TICKS: u32 = 10;

/// Sockets served in one turn of the loop; the others are for the next.
const BATCH: usize = 64;

static ALL: All = All(ArcSwapOption::const_empty());

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The sockets that are lent to one event loop. Dropping it gives them back.
#[derive(Debug)]
pub struct LoopSockets {
    gathered: Arc<Gathered>,
    handle: Handle,
}

#[derive(Debug)]
struct Gathered {
    epoll: OwnedFd,
    members: Mutex<Members>,
    /// Times the loop has come by.
    turns: AtomicU64,
    /// Times it was about to wait for more on one of them.
    waits: AtomicU64,
    /// How many of them have been noticed by who moves large bodies.
    noticed: AtomicU64,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    known: HashMap<u64, Weak<dyn Lent>>,
    /// A task looks after them.
    watched: bool,
    /// The loop has gone.
    closed: bool,
}

/// Those of all loops, each with the process it is of: a forked child finds its parent's here. Looked at without a lock, which a fork
/// might find taken.
#[derive(Debug)]
struct All(ArcSwapOption<Vec<(u32, Weak<Gathered>)>>);

impl All {
    fn add(&self, gathered: &Arc<Gathered>) {
        let own = (process::id(), Arc::downgrade(gathered));
        self.0.rcu(|all| {
            let known = all.iter().flat_map(|all| all.iter());
            let alive = known.filter(|(of, known)| *of == own.0 && known.strong_count() > 0);
            Some(Arc::new(alive.chain([&own]).cloned().collect::<Vec<_>>()))
        });
    }

    fn are_wanted(&self) -> bool {
        let Some(all) = &*self.0.load() else { return false };
        // What is the parent's may be locked for ever.
        let ours = all.iter().filter(|(of, _)| *of == process::id());
        ours.filter_map(|(_, gathered)| gathered.upgrade()).any(|gathered| gathered.is_wanted())
    }
}

/// A socket's place among those lent to a loop.
#[derive(Debug)]
pub(crate) struct Place {
    gathered: Arc<Gathered>,
    number: u64,
}

impl LoopSockets {
    /// None yet. `handle`: the runtime of the connections.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn new(handle: Handle) -> io::Result<Self> {
        let gathered = Gathered {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            members: Mutex::default(),
            turns: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            noticed: AtomicU64::new(0),
        };
        let gathered = Arc::new(gathered);
        ALL.add(&gathered);
        Ok(LoopSockets { gathered, handle })
    }

    /// Reads what has arrived and passes it on, on the calling thread and without waiting.
    pub fn serve(&self) {
        #[cfg(feature = "quic")]
        crate::roaming::note_loop();
        self.gathered.turns.fetch_add(1, Ordering::Relaxed);
        for lent in self.gathered.called() {
            lent.serve();
        }
    }

    pub(crate) fn place(&self, lent: Weak<dyn Lent>) -> Option<Place> {
        let mut members = self.gathered.members();
        if members.closed {
            return None;
        }
        let number = members.next;
        members.next += 1;
        members.known.insert(number, lent);
        if !std::mem::replace(&mut members.watched, true) {
            self.handle.spawn(watch(Arc::downgrade(&self.gathered)));
        }
        Some(Place { gathered: self.gathered.clone(), number })
    }
}

/// Whether some loop is about what has arrived, or should be.
pub(crate) fn are_wanted() -> bool {
    ALL.are_wanted()
}

/// What the loop has to watch: while it is readable, [`LoopSockets::serve`] has something to do.
impl AsFd for LoopSockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.gathered.epoll.as_fd()
    }
}

impl AsRawFd for LoopSockets {
    fn as_raw_fd(&self) -> RawFd {
        self.gathered.epoll.as_raw_fd()
    }
}

impl Drop for LoopSockets {
    fn drop(&mut self) {
        self.gathered.members().closed = true;
        self.gathered.give_back();
    }
}

impl Gathered {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom the loop may have come for: the only one there is, or those with something to read.
    fn called(&self) -> Vec<Arc<dyn Lent>> {
        {
            let members = self.members();
            if members.known.len() == 1 {
                return members.known.values().filter_map(Weak::upgrade).collect();
            }
        }
        self.ready()
    }

    /// The connections with something to read; level-triggered, so that nothing is forgotten that is not read.
    fn ready(&self) -> Vec<Arc<dyn Lent>> {
        let mut events = [const { std::mem::MaybeUninit::<Event>::uninit() }; BATCH];
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, Some(&AT_ONCE)) else {
            return Vec::new();
        };
        let members = self.members();
        events.iter().filter_map(|event| members.known.get(&event.data.u64())?.upgrade()).collect()
    }

    /// Whether the loop has come by since this was asked last, and may still be about what it found, or should come by.
    fn is_wanted(&self) -> bool {
        if self.members().known.is_empty() {
            return false;
        }
        let turns = self.turns.load(Ordering::Relaxed);
        let mut event = [const { std::mem::MaybeUninit::<Event>::uninit() }];
        self.noticed.swap(turns, Ordering::Relaxed) != turns
            || epoll::wait(&self.epoll, &mut event, Some(&AT_ONCE)).is_ok_and(|(news, _)| !news.is_empty())
    }

    fn give_back(&self) {
        let lent: Vec<_> = self.members().known.values().filter_map(Weak::upgrade).collect();
        for lent in lent {
            lent.take_back();
        }
    }
}

/// Looks whether the loop comes by, as long as anything is lent to it.
async fn watch(gathered: Weak<Gathered>) {
    let (mut turns, mut late, mut idle) = (0, 0, 0);
    let (mut waits, mut busy) = (0, 0);
    loop {
        clock::sleep_until(Some(clock::now() + TICK)).await;
        let Some(gathered) = gathered.upgrade() else { return };
        {
            let mut members = gathered.members();
            if members.known.is_empty() {
                members.watched = false;
                return;
            }
        }
        let now = gathered.turns.load(Ordering::Relaxed);
        if now != turns {
            (turns, late, idle, busy) = (now, 0, 0, 0);
            continue;
        }
        let now = gathered.waits.load(Ordering::Relaxed);
        if now != waits && busy < BUSY_TICKS {
            (waits, late, idle, busy) = (now, 0, 0, busy + 1);
            continue;
        }
        (late, idle) = if gathered.ready().is_empty() { (0, idle + 1) } else { (late + 1, 0) };
        if late >= LATE_TICKS || idle >= IDLE_TICKS {
            gathered.give_back();
            (late, idle) = (0, 0);
        }
    }
}

impl Place {
    /// Its socket is watched from now on.
    pub(crate) fn watch(&self, socket: impl AsFd) -> io::Result<()> {
        let data = EventData::new_u64(self.number);
        Ok(epoll::add(&self.gathered.epoll, socket, data, EventFlags::IN | EventFlags::RDHUP)?)
    }

    /// Its loop is about to wait for more here: it may be about others for a while before it comes by.
    pub(crate) fn note_wait(&self) {
        self.gathered.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is among those lent to this loop.
    pub(crate) fn is_of(&self, sockets: &LoopSockets) -> bool {
        Arc::ptr_eq(&self.gathered, &sockets.gathered)
    }

    /// Not any more.
    pub(crate) fn leave(&self, socket: impl AsFd) {
        let _ = epoll::delete(&self.gathered.epoll, socket);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gathered.members().known.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_the_parents_is_forgotten_by_a_child() {
        let parents = LoopSockets::new(Handle::current()).unwrap();
        let entry = (process::id() ^ 1, Arc::downgrade(&parents.gathered));
        let all = Arc::new(All(ArcSwapOption::from_pointee(vec![entry])));
        // As another thread of the parent's had it when the child was forked.
        let _locked_for_ever = parents.gathered.members();
        let asked = || {
            let (tell, told) = std::sync::mpsc::channel();
            let all = all.clone();
            std::thread::spawn(move || tell.send(all.are_wanted()));
            told.recv_timeout(Duration::from_secs(10)).expect("an answer, not the parent's lock")
        };
        assert!(!asked());
        let own = LoopSockets::new(Handle::current()).unwrap();
        all.add(&own.gathered);
        assert!(!asked());
        let known = all.0.load_full().unwrap();
        assert!(matches!(known.as_slice(), [(_, known)] if known.ptr_eq(&Arc::downgrade(&own.gathered))));
    }

    #[derive(Debug)]
    struct Nothing;

    impl Lent for Nothing {
        fn serve(&self) {}

        fn take_back(&self) {}
    }

    #[derive(Debug, Default)]
    struct Patient(std::sync::atomic::AtomicBool);

    impl Lent for Patient {
        fn serve(&self) {}

        fn take_back(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_about_other_sessions_is_not_late() {
        let sockets = LoopSockets::new(Handle::current()).unwrap();
        let lent = Arc::new(Patient::default());
        let known: Arc<dyn Lent> = lent.clone();
        let place = sockets.place(Arc::downgrade(&known)).unwrap();
        let (socket, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        place.watch(&socket).unwrap();
        std::io::Write::write_all(&mut &peer, b"frame").unwrap();
        let is_back = || lent.0.load(Ordering::Relaxed);
        let tick = async || {
            place.note_wait();
            clock::sleep_until(Some(clock::now() + TICK)).await;
        };
        for _ in 0..BUSY_TICKS {
            tick().await;
            assert!(!is_back(), "it does something");
        }
        for _ in 0..2 * LATE_TICKS {
            tick().await;
        }
        assert!(is_back(), "but it has not come by for long");
    }

    #[tokio::test]
    async fn a_loop_is_wanted_while_bytes_lie_there_and_once_after_it_came_by() {
        let sockets = LoopSockets::new(Handle::current()).unwrap();
        let wanted = || sockets.gathered.is_wanted();
        assert!(!wanted(), "nothing is lent to it");
        let lent: Arc<dyn Lent> = Arc::new(Nothing);
        let place = sockets.place(Arc::downgrade(&lent)).unwrap();
        let (socket, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        place.watch(&socket).unwrap();
        assert!(!wanted(), "it waits, and nothing has arrived");
        std::io::Write::write_all(&mut &peer, b"frame").unwrap();
        assert!(wanted());
        assert!(wanted(), "it has not come by");
        std::io::Read::read_exact(&mut &socket, &mut [0; 5]).unwrap();
        sockets.serve();
        assert!(wanted(), "it is about to answer");
        assert!(!wanted(), "it has had its chance");
    }
}
