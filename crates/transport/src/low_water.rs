//! Lets the reader of a large body sleep until there is something to do.
//!
//! A socket wakes who waits for it with each segment. The reader of a megabyte, on another core than the peer that writes it, is
//! quicker than that one: it reads 64 KiB, sleeps, and is woken again, which costs the peer more than half of its time. So while the
//! reader waits for the rest of a large body, the kernel is told how much of it must be there before it wakes anybody
//! (SO_RCVLOWAT). The end of the stream, its failure, and a receive buffer that can take no more wake the reader all the same.
//!
//! Not where the peer writes on the reader's own core, as far as that core's cache can hold the body: the two run in turns there, and a
//! reader that is woken early finds its bytes still in the cache.
//!
//! Not with TLS: there both sides compute, at the same time as long as the reader takes what there is.

use std::time::Duration;

use crate::socket::Socket;

/// Bytes that are waited for at most. With a quarter of it the reader of eight megabytes is woken twice as often; the kernel makes
/// room in its receive buffer for all of it, so that more would be much memory for each connection.
const MOST: usize = 1024 * 1024;

/// What is not worth the two system calls: where less is missing the reader is woken as always.
const LEAST: usize = 192 * 1024;

/// A body up to this size is read as it comes where its writer is on the same core: two of it are about what a core's cache holds of
/// what was written and what was read. Of four megabytes only a part is still there, and fewer turns are worth more.
const CACHED: usize = 2 * 1024 * 1024;

/// How long the mark stays where less than that comes. The rest of such a body is read as it comes: a peer on a slow line is heard
/// of at least this often.
const PATIENCE: Duration = Duration::from_secs(1);

/// The mark of one socket.
#[derive(Debug)]
pub(crate) struct LowWater {
    socket: Option<Socket>,
    /// What the kernel was told last.
    mark: usize,
    /// The rest of this body is read as it comes.
    slow: bool,
}

impl LowWater {
    /// Without a socket there is none.
    pub(crate) fn of(socket: Option<Socket>) -> Self {
        LowWater { socket, mark: 1, slow: false }
    }

    /// The reader is about to wait for the `missing` bytes of a body of `len`.
    pub(crate) fn wait_for(&mut self, len: usize, missing: usize) {
        let mark = self.mark_for(missing);
        let early = mark > 1 && len <= CACHED && self.socket.as_ref().is_some_and(Socket::is_fed_here);
        self.set(if early { 1 } else { mark });
    }

    fn mark_for(&self, missing: usize) -> usize {
        if missing < LEAST || self.slow { 1 } else { missing.min(MOST) }
    }

    /// How long to wait for them at most, if the peer may be silent for `limit`: less than that where less than the mark may have
    /// arrived by then, which is to be found in the rest of the time ([`LowWater::give_up`]).
    pub(crate) fn patience(&self, missing: usize, limit: Option<Duration>) -> Option<Duration> {
        if self.socket.is_none() || self.mark_for(missing) == 1 {
            return limit;
        }
        Some(limit.map_or(PATIENCE, |limit| PATIENCE.min(limit / 2)))
    }

    /// The peer is slow, or has gone: the rest of the body is read as it comes.
    pub(crate) fn give_up(&mut self) {
        self.slow = true;
        self.set(1);
    }

    /// The body is there: whatever comes next wakes the reader.
    pub(crate) fn end(&mut self) {
        self.slow = false;
        self.set(1);
    }

    fn set(&mut self, mark: usize) {
        if self.mark == mark {
            return;
        }
        match &self.socket {
            Some(socket) if socket.set_low_water(mark) => self.mark = mark,
            _ => self.socket = None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// A body that is waited for together wherever it is written.
    const HUGE: usize = 8 * MOST;

    /// A peer's end, ours as the kernel sees it, and its mark.
    fn connected() -> (TcpStream, TcpStream, LowWater) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(ours.try_clone().unwrap()).unwrap();
        (peer, ours, LowWater::of(Some(Socket::new(stream))))
    }

    /// On loopback what was written is there when the call returns.
    fn would_wake(socket: &TcpStream) -> bool {
        let mut waiting = [PollFd::new(socket, PollFlags::IN)];
        poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[tokio::test]
    async fn the_rest_of_a_body_wakes_its_reader_together() {
        let (mut peer, ours, mut low_water) = connected();
        // The mark of a large body would be more than the peer gets rid of before anybody reads.
        low_water.set(1000);
        peer.write_all(&[0; 999]).unwrap();
        assert!(!would_wake(&ours));
        peer.write_all(&[0]).unwrap();
        assert!(would_wake(&ours));
    }

    /// The cores this thread may run on.
    fn cores() -> Vec<usize> {
        let allowed = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
    }

    fn stay_on(core: usize) {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).unwrap();
    }

    #[tokio::test]
    async fn what_its_own_core_writes_wakes_the_reader_as_it_comes() {
        let (mut peer, ours, mut low_water) = connected();
        stay_on(cores()[0]);
        peer.write_all(&[0]).unwrap();
        low_water.wait_for(CACHED, MOST);
        assert!(would_wake(&ours));
        low_water.wait_for(CACHED + 1, MOST);
        assert!(!would_wake(&ours), "its cache does not hold as much");
    }

    #[tokio::test]
    async fn what_another_core_writes_wakes_the_reader_together() {
        let [first, second, ..] = cores()[..] else { return };
        let (mut peer, ours, mut low_water) = connected();
        let written = std::thread::spawn(move || {
            stay_on(first);
            peer.write_all(&[0]).unwrap();
            peer
        });
        let _peer = written.join().unwrap();
        stay_on(second);
        low_water.wait_for(CACHED, MOST);
        assert!(!would_wake(&ours));
    }

    #[tokio::test]
    async fn whatever_comes_behind_a_body_wakes_the_reader() {
        let (mut peer, ours, mut low_water) = connected();
        low_water.wait_for(HUGE, MOST);
        peer.write_all(&[0]).unwrap();
        assert!(!would_wake(&ours));
        low_water.end();
        assert!(would_wake(&ours));
        low_water.wait_for(HUGE, LEAST - 1);
        assert!(would_wake(&ours), "for so little nobody is told anything");
    }

    #[tokio::test]
    async fn a_slow_peer_is_read_by_what_it_sends_until_its_body_is_there() {
        let (mut peer, ours, mut low_water) = connected();
        let idle_timeout = Some(Duration::from_secs(60));
        assert_eq!(low_water.patience(MOST, idle_timeout), Some(PATIENCE));
        low_water.wait_for(HUGE, MOST);
        low_water.give_up();
        peer.write_all(&[0]).unwrap();
        assert!(would_wake(&ours));
        low_water.wait_for(HUGE, MOST);
        assert!(would_wake(&ours));
        assert_eq!(low_water.patience(MOST, idle_timeout), idle_timeout);
        low_water.end();
        low_water.wait_for(HUGE, MOST);
        assert!(!would_wake(&ours), "the next body may be a quick one");
    }

    #[tokio::test]
    async fn the_end_of_the_stream_wakes_whoever_waits_for_more() {
        let (peer, ours, mut low_water) = connected();
        low_water.wait_for(HUGE, MOST);
        assert!(!would_wake(&ours));
        drop(peer);
        assert!(would_wake(&ours));
    }

    #[tokio::test]
    async fn there_is_time_left_to_find_what_came_below_the_mark() {
        let (_, _, low_water) = connected();
        let limit = Duration::from_millis(500);
        assert_eq!(low_water.patience(MOST, Some(limit)), Some(limit / 2));
        assert_eq!(low_water.patience(MOST, None), Some(PATIENCE));
        assert_eq!(low_water.patience(LEAST - 1, None), None, "there is no mark");
    }
}
