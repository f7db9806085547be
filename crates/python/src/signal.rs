//! How native threads wake an event loop: a queue of tokens and one bell.
//!
//! Ringing never touches Python, so a native thread is never held up by the interpreter's lock; and the bell rings only
//! when the queue was empty, so a burst of completions costs the loop one wake-up.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Wake;

use nnrp::LoopSockets;

use crate::runtime::lock;

/// Names one waiting operation on one loop.
pub(crate) type Token = u64;

/// The tokens of operations that can make progress, and the bell that tells the loop about them.
pub(crate) struct Signal {
    tokens: Mutex<Tokens>,
    bell: Bell,
}

#[derive(Default)]
struct Tokens {
    queued: Vec<Token>,
    /// The loop itself is at work on what may push some, and takes them right after.
    muted: bool,
}

enum Bell {
    /// A descriptor that the loop watches.
    #[cfg(unix)]
    Descriptor(descriptor::Bell),
    /// A condition that a thread of its own waits for, on loops that cannot watch a descriptor.
    Condition(Condvar),
}

impl Signal {
    /// A signal with a descriptor that an event loop can watch.
    #[cfg(unix)]
    pub(crate) fn watched() -> std::io::Result<Self> {
        Ok(Self { tokens: Mutex::default(), bell: Bell::Descriptor(descriptor::Bell::new()?) })
    }

    /// A signal that a thread waits for with [`wait`](Self::wait).
    pub(crate) fn awaited() -> Self {
        Self { tokens: Mutex::default(), bell: Bell::Condition(Condvar::new()) }
    }

    /// The descriptor to watch for readability, if there is one.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<i32> {
        match &self.bell {
            Bell::Descriptor(bell) => Some(bell.number()),
            Bell::Condition(_) => None,
        }
    }

    /// Adds `token` and rings if nothing was waiting to be taken.
    pub(crate) fn push(&self, token: Token) {
        let rings = {
            let mut tokens = lock(&self.tokens);
            let rings = tokens.queued.is_empty() && !tokens.muted;
            tokens.queued.push(token);
            rings
        };
        if rings {
            self.ring();
        }
    }

    /// Takes all tokens and silences the bell. Called by the loop.
    pub(crate) fn take(&self) -> Vec<Token> {
        // Silencing comes first: a token pushed after it is either taken below or finds the queue empty and rings again.
        #[cfg(unix)]
        if let Bell::Descriptor(bell) = &self.bell {
            bell.silence();
        }
        mem::take(&mut lock(&self.tokens).queued)
    }

    /// What `work` and others push meanwhile, without a bell for it. Called by the loop.
    pub(crate) fn collect(&self, work: impl FnOnce()) -> Vec<Token> {
        lock(&self.tokens).muted = true;
        work();
        let mut tokens = lock(&self.tokens);
        tokens.muted = false;
        mem::take(&mut tokens.queued)
    }

    /// Waits until there are tokens; returns at once when there is no condition to wait for. Blocks, so never call it
    /// attached.
    pub(crate) fn wait(&self) {
        let Bell::Condition(condition) = &self.bell else { return };
        let mut tokens = lock(&self.tokens);
        while tokens.queued.is_empty() {
            tokens = condition.wait(tokens).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn ring(&self) {
        match &self.bell {
            #[cfg(unix)]
            Bell::Descriptor(bell) => {
                LoopSockets::note_call();
                bell.ring();
            }
            Bell::Condition(condition) => condition.notify_all(),
        }
    }
}

/// What a pending Rust future holds: pushes its token when it can make progress.
pub(crate) struct Waking {
    pub(crate) signal: Arc<Signal>,
    pub(crate) token: Token,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.signal.push(self.token);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.signal.push(self.token);
    }
}

#[cfg(unix)]
mod descriptor {
    //! A descriptor that is readable while the bell has been rung: an eventfd, or a pipe where there is none.

    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    pub(super) struct Bell {
        read: OwnedFd,
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        write: OwnedFd,
    }

    impl Bell {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        pub(super) fn new() -> io::Result<Self> {
            use rustix::event::{EventfdFlags, eventfd};
            Ok(Self { read: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
        }

        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        pub(super) fn new() -> io::Result<Self> {
            use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
            let (read, write) = rustix::pipe::pipe()?;
            for end in [&read, &write] {
                fcntl_setfd(end, FdFlags::CLOEXEC)?;
                ioctl_fionbio(end, true)?;
            }
            Ok(Self { read, write })
        }

        pub(super) fn number(&self) -> i32 {
            self.read.as_raw_fd()
        }

        /// Makes the descriptor readable. A full counter or pipe is readable already, so the result does not matter.
        pub(super) fn ring(&self) {
            #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
            let end = &self.read;
            #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
            let end = &self.write;
            let _ = rustix::io::write(end, &1_u64.to_ne_bytes());
        }

        /// Makes the descriptor unreadable. A pipe may keep bytes of later rings, which only costs an idle wake-up.
        pub(super) fn silence(&self) {
            let _ = rustix::io::read(&self.read, &mut [0_u8; 64]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bell_rings_once_for_a_batch() {
        let signal = Signal::watched().unwrap();
        for token in 1..=3 {
            signal.push(token);
        }
        assert_eq!(signal.take(), [1, 2, 3]);
        assert!(signal.take().is_empty());
        signal.push(4);
        assert_eq!(signal.take(), [4]);
    }

    #[test]
    fn what_the_loop_collects_itself_rings_no_bell() {
        let signal = Signal::watched().unwrap();
        signal.push(1);
        let collected = signal.collect(|| {
            signal.push(2);
        });
        assert_eq!(collected, [1, 2], "nothing that was there before is left behind");
        signal.push(3);
        assert_eq!(signal.take(), [3]);
        assert!(signal.collect(|| ()).is_empty());
    }

    #[test]
    fn a_token_ends_the_wait() {
        let signal = Arc::new(Signal::awaited());
        let waiter = std::thread::spawn({
            let signal = Arc::clone(&signal);
            move || {
                signal.wait();
                signal.take()
            }
        });
        signal.push(7);
        assert_eq!(waiter.join().unwrap(), [7]);
    }
}
