//! Measuring transports before choosing one (wire reference 17).

use std::cmp::Ordering;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "quic")]
use nnrp_transport::quic::{self, QuicOptions};
#[cfg(feature = "tcp")]
use nnrp_transport::tcp::{self, TcpOptions};
use nnrp_transport::tls::ClientTls;
use nnrp_transport::{Connection, Filter, Item, clock};
use nnrp_wire::{
    Header, MessageType, Packet, TransportId, TransportProbeAckMetadata, TransportProbeMetadata,
};

use crate::ConnectError;
use crate::address::{Address, Scheme};

/// Samples of each transport that count: the least from which a median says more than its parts.
const SAMPLES: usize = 3;
/// Bytes of a probe: some round trips of a window that has only begun to open.
const PAYLOAD_BYTES: usize = 32 * 1024;
/// Most that a probe may carry (R-LIM-2); a server refuses more.
pub const MAX_PROBE_BYTES: usize = 1024 * 1024;
/// Time for one sample, connecting included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How to measure.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Samples of each transport, one after the other, each on a connection of its own; 3 by default, at least 1.
    pub samples: usize,
    /// Whether one more is taken first and not counted; off by default.
    pub warm_up: bool,
    /// Bytes each probe carries, at most [`MAX_PROBE_BYTES`]; 32 KiB by default.
    pub payload_bytes: usize,
    /// Time for one sample, connecting included; 10 s by default. A sample that takes longer has failed.
    pub timeout: Duration,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        ProbeOptions { samples: SAMPLES, warm_up: false, payload_bytes: PAYLOAD_BYTES, timeout: TIMEOUT }
    }
}

/// What was measured of one transport.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Which one.
    pub transport: TransportId,
    /// From sending a probe to its answer, connecting not included; one for each sample that succeeded.
    pub round_trips: Vec<Duration>,
    /// Samples that failed: no connection, no answer in time, or a wrong one.
    pub failures: usize,
    /// Bytes each probe carried.
    pub payload_bytes: usize,
}

impl Probed {
    /// The median round trip, in whole microseconds; `None` if no sample succeeded.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = median(self.round_trips.iter().map(micros).collect())?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "truncated as the rule says"
        )]
        Some(Duration::from_micros(micros as u64))
    }

    /// The median of payload by round trip, in bytes per second; `None` if no sample succeeded.
    pub fn throughput(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "payloads are at most a megabyte")]
        let bytes = self.payload_bytes as f64;
        median(self.round_trips.iter().map(|trip| bytes * 1e6 / micros(trip)).collect())
    }
}

/// A round trip in microseconds, at least one.
fn micros(trip: &Duration) -> f64 {
    (trip.as_secs_f64() * 1e6).trunc().max(1.0)
}

/// The middle value, or the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(values.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The transport to use: that with more successful samples, then with the higher median throughput, then with the lower
/// median round trip, then QUIC. `None` when nothing succeeded.
pub fn choose(probed: &[Probed]) -> Option<TransportId> {
    let better = |one: &&Probed, other: &&Probed| -> Ordering {
        let throughput = |of: &Probed| of.throughput().unwrap_or(0.0);
        (one.round_trips.len().cmp(&other.round_trips.len()))
            .then_with(|| throughput(one).total_cmp(&throughput(other)))
            .then_with(|| other.round_trip().cmp(&one.round_trip()))
            .then_with(|| other.transport.value().cmp(&one.transport.value()))
    };
    probed.iter().filter(|of| !of.round_trips.is_empty()).max_by(better).map(|of| of.transport)
}

/// Measures QUIC, and TCP with TLS, to an address, both at the same time. With an `nnrp://` address there is only plain TCP
/// to measure, and a transport whose feature is off is not measured. [`choose`] says which is better. Cancel-safe: what is
/// open is closed.
///
/// ```no_run
/// use nnrp::{Address, ClientConfig, ClientSession, ProbeOptions, Trust, choose, probe};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let address: Address = "nnrps://example.org:4433".parse()?;
/// let probed = probe(&address, &Trust::Platform.into(), &ProbeOptions::default()).await?;
/// let transport = choose(&probed).ok_or("neither transport answers")?;
/// let session = ClientSession::connect(&address, transport, Trust::Platform, ClientConfig::new()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ConnectError`] if the name of the host is not known. A transport that does not answer is no error: its samples have
/// failed.
pub async fn probe(
    address: &Address,
    tls: &ClientTls,
    options: &ProbeOptions,
) -> Result<Vec<Probed>, ConnectError> {
    let found = address.resolve().await?;
    let Some(to) = found.first().copied() else { return Err(address.unknown()) };
    if address.scheme() == Scheme::Plain {
        return Ok(probe_plain(to, options).await.into_iter().collect());
    }
    let host = address.host();
    let (quic, tcp) = tokio::join!(probe_quic(to, host, tls, options), probe_tcp(to, host, tls, options));
    Ok(quic.into_iter().chain(tcp).collect())
}

/// Defines a function that measures a transport, if its feature is on, and otherwise finds none to measure.
macro_rules! probe_if {
    ($feature:literal, async fn $name:ident($($argument:ident: $Type:ty),*) -> Option<Probed> $body:block) => {
        #[cfg(feature = $feature)]
        async fn $name($($argument: $Type),*) -> Option<Probed> $body

        #[cfg(not(feature = $feature))]
        async fn $name($(_: $Type),*) -> Option<Probed> {
            None
        }
    };
}

probe_if! {
    "tcp",
    async fn probe_plain(to: SocketAddr, options: &ProbeOptions) -> Option<Probed> {
        let (tcp, limit) = (TcpOptions::default(), Some(options.timeout));
        Some(probe_by(TransportId::Tcp, || tcp::connect(to, &tcp, limit), options).await)
    }
}

probe_if! {
    "tcp",
    async fn probe_tcp(to: SocketAddr, host: &str, tls: &ClientTls, options: &ProbeOptions) -> Option<Probed> {
        let (tcp, limit) = (TcpOptions::default(), Some(options.timeout));
        let connect = || tcp::connect_tls(to, host, tls.clone(), &tcp, limit);
        Some(probe_by(TransportId::Tcp, connect, options).await)
    }
}

probe_if! {
    "quic",
    async fn probe_quic(to: SocketAddr, host: &str, tls: &ClientTls, options: &ProbeOptions) -> Option<Probed> {
        let (quic, limit) = (QuicOptions::default(), Some(options.timeout));
        let connect = || quic::connect(to, host, tls.clone(), &quic, limit);
        Some(probe_by(TransportId::Quic, connect, options).await)
    }
}

/// Measures one transport by way of connections that `connect` makes, one for each sample. Cancel-safe.
pub async fn probe_by<F, C>(transport: TransportId, connect: F, options: &ProbeOptions) -> Probed
where
    F: Fn() -> C,
    C: Future<Output = Result<Connection, ConnectError>>,
{
    let payload_bytes = options.payload_bytes.min(MAX_PROBE_BYTES);
    let payload = Bytes::from(vec![0; payload_bytes]);
    let mut probed = Probed { transport, round_trips: Vec::new(), failures: 0, payload_bytes };
    let warm_up = usize::from(options.warm_up);
    let mut probe_id = 0u32;
    for number in 0..options.samples.max(1) + warm_up {
        probe_id = probe_id.wrapping_add(1);
        let sample = async {
            let connection = CloseOnDrop(connect().await.ok()?);
            round_trip(&connection.0, probe_id, payload.clone()).await
        };
        let sample = tokio::time::timeout(options.timeout, sample).await.ok().flatten();
        match sample {
            _ if number < warm_up => {}
            Some(trip) => probed.round_trips.push(trip),
            None => probed.failures += 1,
        }
    }
    probed
}

/// One probe and its answer; `None` if the sample failed (R-PROBE-3, R-PROBE-4).
async fn round_trip(connection: &Connection, probe_id: u32, payload: Bytes) -> Option<Duration> {
    let probe_payload_bytes = u32::try_from(payload.len()).ok()?;
    let metadata =
        TransportProbeMetadata { probe_id, probe_payload_bytes, ..TransportProbeMetadata::default() };
    let metadata = Bytes::copy_from_slice(&metadata.encode());
    let sent = clock::now();
    connection.send(Packet::build(Header::new(MessageType::TransportProbe), metadata, payload)).await.ok()?;
    loop {
        let Item::Packet(answer) = connection.receive(Filter::Any).await.ok()? else { return None };
        let taken = clock::now().saturating_duration_since(sent);
        if answer.header.msg_type != MessageType::TransportProbeAck {
            return None;
        }
        let acknowledged = TransportProbeAckMetadata::decode(&answer.metadata).ok()?;
        if acknowledged.probe_id == probe_id {
            return answer.body.is_empty().then_some(taken);
        }
    }
}

/// A connection that was only for measuring goes at once.
struct CloseOnDrop(Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.abort(0, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(transport: TransportId, micros: &[u64]) -> Probed {
        let round_trips = micros.iter().copied().map(Duration::from_micros).collect();
        Probed { transport, round_trips, failures: 3 - micros.len(), payload_bytes: 1000 }
    }

    #[test]
    fn the_ranking_is_the_reference_s() {
        use TransportId::{Quic, Tcp};
        let best = |quic: &[u64], tcp: &[u64]| choose(&[probed(Tcp, tcp), probed(Quic, quic)]);
        assert_eq!(best(&[9, 9], &[99, 99, 99]), Some(Tcp), "more successes come first");
        assert_eq!(best(&[20, 20, 20], &[10, 10, 99]), Some(Tcp), "then the median throughput");
        assert_eq!(best(&[10, 10, 10], &[10, 10, 10]), Some(Quic), "then QUIC");
        assert_eq!(best(&[], &[10]), Some(Tcp));
        assert_eq!(best(&[], &[]), None);
    }

    #[test]
    fn an_even_number_has_the_mean_of_the_middle_two() {
        let of = probed(TransportId::Quic, &[10, 21]);
        assert_eq!(of.round_trip(), Some(Duration::from_micros(15)));
        let throughput = of.throughput().unwrap();
        assert!((throughput - f64::midpoint(1e9 / 10.0, 1e9 / 21.0)).abs() < 1.0);
    }
}
