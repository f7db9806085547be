//! Both ends of a connection and the way between them, without sockets, in a time of its own.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event, StreamEvent, StreamId};

use super::*;
use crate::clock;
use crate::congestion::MAX_ACK_DELAY;
use crate::tls::{Identity, Trust, development_certificate};

/// From one end to the other.
const WAY: Duration = Duration::from_millis(10);

/// More than an end may send before anything is acknowledged, some times over.
const BODY_BYTES: usize = 64 * 1024;

/// Until both ends know each other and have nothing more to say.
const HANDSHAKE: Duration = Duration::from_millis(500);

/// Longer than the body needs, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(10);

struct End {
    endpoint: Endpoint,
    peer: SocketAddr,
    connection: Option<(ConnectionHandle, Connection)>,
    arriving: VecDeque<(Instant, BytesMut)>,
    reading: Option<StreamId>,
    received: usize,
}

impl End {
    fn new(server: Option<Arc<quinn::ServerConfig>>, peer: SocketAddr) -> Self {
        let config = Arc::new(Packets::ANYWHERE.endpoint_config());
        End {
            endpoint: Endpoint::new(config, server, true, None),
            peer,
            connection: None,
            arriving: VecDeque::new(),
            reading: None,
            received: 0,
        }
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.connection.as_mut().unwrap().1
    }

    fn send_body(&mut self) {
        let stream = self.connection().streams().open(Dir::Uni).unwrap();
        let mut stream = self.connection().send_stream(stream);
        let written = stream.write_chunks(&mut [Bytes::from(vec![0; BODY_BYTES])]).unwrap();
        assert_eq!(written.bytes, BODY_BYTES);
        stream.finish().unwrap();
    }

    /// When something is to be done here.
    fn deadline(&mut self) -> Option<Instant> {
        let timeout = self.connection.as_mut().and_then(|(_, connection)| connection.poll_timeout());
        self.arriving.front().map(|(at, _)| *at).into_iter().chain(timeout).min()
    }

    /// Takes what has arrived, and returns the packets that leave.
    fn turn(&mut self) -> Vec<BytesMut> {
        let now = clock::now();
        let mut memory = Vec::new();
        while self.arriving.front().is_some_and(|(at, _)| *at <= now) {
            let (_, packet) = self.arriving.pop_front().unwrap();
            match self.endpoint.handle(now, self.peer, None, None, packet, &mut memory) {
                Some(DatagramEvent::ConnectionEvent(_, event)) => self.connection().handle_event(event),
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let accepted = self.endpoint.accept(incoming, now, &mut memory, None);
                    let (handle, mut connection) = accepted.map_err(|error| error.cause).unwrap();
                    connection.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
                    connection.set_max_concurrent_streams(Dir::Uni, VarInt::from_u32(MAX_CONCURRENT_FRAMES));
                    self.connection = Some((handle, connection));
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
        let Some((handle, connection)) = &mut self.connection else { return Vec::new() };
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            if let Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) = event {
                self.reading = connection.streams().accept(Dir::Uni);
            }
        }
        if let Some(stream) = self.reading
            && let Ok(mut chunks) = connection.recv_stream(stream).read(true)
        {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                self.received += chunk.bytes.len();
            }
            let _ = chunks.finalize();
        }
        let mut leaving = Vec::new();
        memory.clear();
        while let Some(sent) = connection.poll_transmit(now, 10, &mut memory) {
            let packet = sent.segment_size.unwrap_or(sent.size);
            leaving.extend(memory[..sent.size].chunks(packet).map(BytesMut::from));
            memory.clear();
        }
        leaving
    }
}

/// Lets time pass until `done`, at most for `limit`; returns the longest time for which neither end sent anything.
async fn run(ends: &mut [End; 2], limit: Duration, done: impl Fn(&[End; 2]) -> bool) -> Duration {
    let end = clock::now() + limit;
    let mut last_sent = clock::now();
    let mut silence = Duration::ZERO;
    loop {
        for number in 0..2 {
            let leaving = ends[number].turn();
            let now = clock::now();
            if !leaving.is_empty() {
                silence = silence.max(now - last_sent);
                last_sent = now;
            }
            ends[1 - number].arriving.extend(leaving.into_iter().map(|packet| (now + WAY, packet)));
        }
        let next = ends.iter_mut().filter_map(End::deadline).min();
        let Some(next) = next.filter(|next| *next < end && !done(ends)) else { return silence };
        tokio::time::advance(next.saturating_duration_since(clock::now())).await;
    }
}

/// Both ends of an established connection.
async fn connected() -> [End; 2] {
    let made = development_certificate().unwrap();
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
    let options = QuicOptions::default();
    let addresses = ["192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap()];
    let server = Configs::new(&ServerTls::from(&identity), &options, None).unwrap().anywhere;
    let mut ends = [End::new(Some(server), addresses[1]), End::new(None, addresses[0])];
    let trust = ClientTls::from(&Trust::Certificates(made.certificate.into_bytes()));
    let (tls, _) = trust.config(&options.alpn).unwrap();
    let mut client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    client.transport_config(Arc::new(transport_config(&options, Packets::ANYWHERE)));
    ends[1].connection =
        Some(ends[1].endpoint.connect(clock::now(), client, addresses[0], "localhost").unwrap());
    run(&mut ends, HANDSHAKE, |_| false).await;
    ends
}

#[tokio::test(start_paused = true)]
async fn two_ends_that_have_sent_as_much_as_they_may_acknowledge_all_the_same() {
    let mut ends = connected().await;
    for end in &mut ends {
        end.send_body();
    }
    let arrived = |ends: &[End; 2]| ends.iter().all(|end| end.received == BODY_BYTES);
    let silence = run(&mut ends, PATIENCE, arrived).await;
    assert!(arrived(&ends));
    let longest = WAY + 2 * MAX_ACK_DELAY;
    assert!(silence <= longest, "silent for {silence:?}, which is more than {longest:?}");
}
