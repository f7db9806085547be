//! A bad network between a real client and a real server: a UDP relay that loses, delays and reorders datagrams, and
//! changes its own address, as an address translator does that has forgotten a connection.
//!
//! It does in user space what `tc netem` does in the kernel, so the tests that need it run on every machine.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_transport::clock;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::random::Random;

/// Largest datagram of IPv4.
const MAX_DATAGRAM: usize = 65_535;

/// The largest that Ethernet carries. Larger ones vanish without a word, as on many paths; they are not counted among those lost.
const MAX_CARRIED: usize = 1_472;

/// Datagrams under way at once; what comes beyond is lost, as in a real queue.
const MAX_UNDER_WAY: usize = 8192;

/// What happens to each datagram, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Time it needs.
    pub delay: Duration,
    /// Additional time or less, by up to this much, at random: datagrams overtake each other.
    pub jitter: Duration,
    /// How many get lost, in percent.
    pub loss_percent: u64,
}

/// What a relay did.
#[derive(Debug, Default)]
struct Counters {
    passed: AtomicU64,
    lost: AtomicU64,
}

/// A relay for one client. It ends when it is dropped.
#[derive(Debug)]
pub struct UdpRelay {
    address: SocketAddr,
    counters: Arc<Counters>,
    rebind: Arc<Notify>,
    swallow: Arc<AtomicBool>,
    rate: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for UdpRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl UdpRelay {
    /// Starts a relay to `server` whose accidents follow from `seed`. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub async fn start(server: SocketAddr, weather: Weather, seed: u64) -> io::Result<Self> {
        let towards_client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = towards_client.local_addr()?;
        let counters = Arc::new(Counters::default());
        let rebind = Arc::new(Notify::new());
        let swallow = Arc::new(AtomicBool::new(false));
        let rate = Arc::new(AtomicU64::new(0));
        let relaying = Relaying {
            towards_client,
            towards_server: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            client: None,
            server,
            weather,
            random: Random::new(seed),
            under_way: BTreeMap::new(),
            number: 0,
            counters: counters.clone(),
            rebind: rebind.clone(),
            swallow: swallow.clone(),
            rate: rate.clone(),
            line_free_at: clock::now(),
        };
        let task = tokio::spawn(async move {
            // Sockets of a test fail when it is over.
            let _ = relaying.run().await;
        });
        Ok(UdpRelay { address, counters, rebind, swallow, rate, task })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the server sees the client under another address; what it sends to the old one is lost.
    pub fn change_address(&self) {
        self.rebind.notify_one();
    }

    /// Swallows everything from now on.
    pub fn fall_silent(&self) {
        self.swallow.store(true, Ordering::Relaxed);
    }

    /// From now on the way to the client carries only so many bytes a second, and what does not fit waits.
    pub fn slow_down(&self, bytes_per_second: u64) {
        self.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Datagrams passed on, and datagrams lost.
    pub fn datagrams(&self) -> (u64, u64) {
        (self.counters.passed.load(Ordering::Relaxed), self.counters.lost.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Copy, Debug)]
enum Towards {
    Client,
    Server,
}

struct Relaying {
    towards_client: UdpSocket,
    towards_server: UdpSocket,
    client: Option<SocketAddr>,
    server: SocketAddr,
    weather: Weather,
    random: Random,
    under_way: BTreeMap<(Instant, u64), (Towards, Bytes)>,
    number: u64,
    counters: Arc<Counters>,
    rebind: Arc<Notify>,
    swallow: Arc<AtomicBool>,
    /// Bytes a second towards the client; 0 is no limit.
    rate: Arc<AtomicU64>,
    /// When the last of what waits for that has passed.
    line_free_at: Instant,
}

impl Relaying {
    async fn run(mut self) -> io::Result<()> {
        let mut from_client = vec![0; MAX_DATAGRAM];
        let mut from_server = vec![0; MAX_DATAGRAM];
        loop {
            let next = self.under_way.first_key_value().map(|((at, _), _)| *at);
            tokio::select! {
                received = self.towards_client.recv_from(&mut from_client) => {
                    let (len, client) = received?;
                    self.client = Some(client);
                    self.accept(Towards::Server, from_client.get(..len).unwrap_or(&[]));
                }
                // A port that is closed answers with an error; the peer is then simply not there.
                received = self.towards_server.recv_from(&mut from_server) => {
                    if let Ok((len, _)) = received {
                        self.accept(Towards::Client, from_server.get(..len).unwrap_or(&[]));
                    }
                }
                () = clock::sleep_until(next) => self.pass_on().await?,
                () = self.rebind.notified() => {
                    self.towards_server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                }
            }
        }
    }

    fn accept(&mut self, towards: Towards, datagram: &[u8]) {
        if datagram.len() > MAX_CARRIED {
            return;
        }
        let lost = self.random.chance(self.weather.loss_percent);
        let jitter = u64::try_from(self.weather.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(self.random.below(2 * jitter + 1));
        if lost || self.swallow.load(Ordering::Relaxed) || self.under_way.len() >= MAX_UNDER_WAY {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let at = (clock::now() + self.weather.delay + jitter).checked_sub(self.weather.jitter);
        let mut at = at.unwrap_or_else(clock::now);
        let micros = (datagram.len() as u64 * 1_000_000).checked_div(self.rate.load(Ordering::Relaxed));
        if let (Towards::Client, Some(micros)) = (towards, micros) {
            at = at.max(self.line_free_at) + Duration::from_micros(micros);
            self.line_free_at = at;
        }
        self.number += 1;
        self.under_way.insert((at, self.number), (towards, Bytes::copy_from_slice(datagram)));
    }

    async fn pass_on(&mut self) -> io::Result<()> {
        let now = clock::now();
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let (towards, datagram) = entry.remove();
            self.counters.passed.fetch_add(1, Ordering::Relaxed);
            let _ = match (towards, self.client) {
                (Towards::Server, _) => self.towards_server.send_to(&datagram, self.server).await,
                (Towards::Client, Some(client)) => self.towards_client.send_to(&datagram, client).await,
                (Towards::Client, None) => Ok(0),
            };
        }
        Ok(())
    }
}
