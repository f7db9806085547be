//! What has become of the bytes that the system took from us on TCP.
//!
//! That it takes a PING says nothing: its buffer is empty. That it has bytes of ours which it cannot get rid of says that nobody can
//! have answered yet what is behind them, and that the peer confirms some of these now and then, that there is somebody. Bytes that the
//! peer's system has confirmed to the last one are another matter: it does so for a process that stands still, too.

/// What the system knows of the bytes written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// That the peer's system has confirmed, since the connection began.
    pub(crate) confirmed: u64,
    /// Some are on their way, or wait for their turn.
    pub(crate) pending: bool,
}

impl Outgoing {
    /// Whether there was a sign of life since `before`.
    pub(crate) fn moves_since(&self, before: Option<Outgoing>) -> bool {
        self.pending && before.is_none_or(|before| self.confirmed > before.confirmed)
    }
}

/// `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(crate) fn of(stream: &impl std::os::fd::AsFd) -> Option<Outgoing> {
    linux::ask(stream)
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of<T>(_: &T) -> Option<Outgoing> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsFd;
    use std::sync::LazyLock;

    use nix::libc;
    use nix::sys::socket::{GetSockOpt, sockopt};

    use super::Outgoing;

    /// The first Linux that says all of [`TcpInfo`]; an older one fills a part of it, and `nix` insists on the whole.
    const SINCE: (u32, u32) = (4, 6);

    /// The beginning of what Linux says of a TCP connection (`struct tcp_info` of linux/tcp.h), as far as it is of interest here.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub(super) struct TcpInfo {
        /// States and counters of a byte each.
        _states: [u8; 8],
        /// Times, sizes of segments.
        _estimates: [u32; 4],
        /// Segments that are on their way.
        unacked: u32,
        /// More of all that.
        _more: [u32; 19],
        /// Pacing.
        _rates: [u64; 2],
        /// Bytes that the peer has acknowledged.
        bytes_acked: u64,
        _bytes_received: u64,
        _segments: [u32; 2],
        /// Bytes that wait for their turn.
        notsent_bytes: u32,
        _min_rtt: u32,
    }

    #[derive(Clone, Copy, Debug)]
    struct AskTcp;

    nix::getsockopt_impl!(AskTcp, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfo, sockopt::GetStruct<TcpInfo>);

    pub(super) fn ask(stream: &impl AsFd) -> Option<Outgoing> {
        static TELLS: LazyLock<bool> =
            LazyLock::new(|| version(&rustix::system::uname().release().to_string_lossy()) >= Some(SINCE));
        if !*TELLS {
            return None;
        }
        let info = AskTcp.get(stream).ok()?;
        Some(Outgoing { confirmed: info.bytes_acked, pending: info.unacked > 0 || info.notsent_bytes > 0 })
    }

    /// Major and minor number of a release such as "6.1.0-18-amd64".
    fn version(release: &str) -> Option<(u32, u32)> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    use crate::clock;

    /// Asks until the system says what is expected: confirmations come when they come.
    fn until(stream: &TcpStream, expected: impl Fn(Outgoing) -> bool) -> Outgoing {
        let begun = clock::now();
        loop {
            let said = of(stream).unwrap();
            if expected(said) {
                return said;
            }
            assert!(clock::now() < begun + Duration::from_secs(10), "{said:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_the_system_of_the_peer_has_is_no_sign_of_life_and_what_waits_for_the_peer_is_one_while_it_moves()
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let before = of(&ours).unwrap();
        ours.write_all(b"PING").unwrap();
        let asked = until(&ours, |said| !said.pending);
        assert!(asked.confirmed > before.confirmed && !asked.moves_since(Some(before)));

        // More than both systems take.
        ours.set_nonblocking(true).unwrap();
        let mut written = 4;
        while let Ok(more) = ours.write(&[0; 64 * 1024]) {
            written += more;
        }
        let stuck = until(&ours, |said| said.pending);
        assert!(!stuck.moves_since(Some(stuck)), "nothing was read");
        let mut buffer = vec![0; written / 2];
        peer.read_exact(&mut buffer).unwrap();
        until(&ours, |said| said.pending && said.moves_since(Some(stuck)));
    }
}
