//! Two machines in one thread, joined by a perfect link, under a clock that moves only when told to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_session::{
    Admission, Arrival, ClientSettings, Event, HeaderVerdict, Lane, Machine, Origin, ServerSettings, Side,
    Transmit,
};
use nnrp_wire::{ClientHello, Header, MessageType, Packet, Revision, TransportId};

use crate::packets;

/// One end of a [`Pair`]: its machine, and what came out of it.
#[derive(Debug)]
pub struct End {
    /// The machine.
    pub machine: Machine,
    /// Events not looked at yet.
    pub events: VecDeque<Event>,
    /// Every packet it has sent.
    pub sent: Vec<Packet>,
    /// The code it closed the transport with.
    pub shut_down: Option<u32>,
    next_stream: u64,
}

impl End {
    fn new(side: Side, transport: TransportId) -> Self {
        let next_stream = if side == Side::Client { 2 } else { 3 };
        End {
            machine: Machine::new(side, transport),
            events: VecDeque::new(),
            sent: Vec::new(),
            shut_down: None,
            next_stream,
        }
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Feeds bytes as if they had arrived on the control path (or on TCP).
    pub fn receive(&mut self, now: Instant, bytes: &Bytes) -> HeaderVerdict {
        self.receive_on(now, bytes, Arrival::Control)
    }

    fn receive_on(&mut self, now: Instant, bytes: &Bytes, arrival: Arrival) -> HeaderVerdict {
        let Some(head) = bytes.first_chunk::<{ Header::LEN }>() else { return HeaderVerdict::Stop };
        let (verdict, header) = self.machine.handle_header(now, head);
        if let (HeaderVerdict::Read(_) | HeaderVerdict::ReadHead, Some(header)) = (verdict, header) {
            let metadata = bytes.slice(Header::LEN..Header::LEN + header.meta_len as usize);
            let body = bytes.slice(Header::LEN + header.meta_len as usize..);
            self.machine.handle_packet(now, Packet { header, metadata, body }, arrival);
        }
        verdict
    }

    /// Messages this end has sent, in order.
    pub fn sent_types(&self) -> Vec<MessageType> {
        self.sent.iter().map(|packet| packet.header.msg_type).collect()
    }

    /// What waits to be sent, with the tickets of [`Machine::handle_delivered`]; its events are put aside.
    fn collect(&mut self) -> Vec<(Packet, Arrival, u64)> {
        let mut packets = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit() {
            match transmit {
                Transmit::Barrier => {}
                Transmit::Packet { lane, packet, origin, ticket } => {
                    if origin == Origin::Library {
                        self.machine.handle_replies_written(1);
                    }
                    let packet = packet.to_packet();
                    self.sent.push(packet.clone());
                    let arrival = match lane {
                        Lane::Control | Lane::Ping => Arrival::Control,
                        Lane::Datagram => Arrival::Datagram,
                        Lane::Frame => {
                            self.next_stream += 4;
                            Arrival::Stream(self.next_stream - 4)
                        }
                    };
                    packets.push((packet, arrival, ticket));
                }
                Transmit::Shutdown { code, .. } => self.shut_down = Some(code),
            }
        }
        while let Some(event) = self.machine.poll_event() {
            self.events.push_back(event);
        }
        packets
    }
}

/// A client and a server.
#[derive(Debug)]
pub struct Pair {
    /// The client's end.
    pub client: End,
    /// The server's end.
    pub server: End,
    /// The time both believe it is.
    pub now: Instant,
}

impl Pair {
    /// Two raw connections over `transport`.
    pub fn raw(transport: TransportId) -> Self {
        Pair {
            client: End::new(Side::Client, transport),
            server: End::new(Side::Server, transport),
            now: epoch(),
        }
    }

    /// A server that waits for its client's hello.
    pub fn serving(transport: TransportId, settings: ServerSettings) -> Self {
        let mut pair = Pair::raw(transport);
        pair.server.machine.serve(settings);
        pair
    }

    /// A client that has sent `hello`, and a server that has it and has not decided.
    pub fn knocking(hello: &ClientHello) -> Self {
        Pair::knocking_over(TransportId::Quic, hello)
    }

    /// The same over `transport`.
    pub fn knocking_over(transport: TransportId, hello: &ClientHello) -> Self {
        let mut pair = Pair::serving(transport, ServerSettings::default());
        let opened = pair.client.machine.open(pair.now, hello, ClientSettings::default());
        assert!(opened.is_ok(), "{opened:?}");
        pair.drive();
        pair
    }

    /// A session over QUIC with default settings.
    pub fn connected() -> Self {
        Pair::connected_with(ServerSettings::default())
    }

    /// A session over QUIC.
    pub fn connected_with(settings: ServerSettings) -> Self {
        Pair::connected_as(&packets::hello(), settings)
    }

    /// A session over QUIC whose client said `hello`.
    pub fn connected_as(hello: &ClientHello, settings: ServerSettings) -> Self {
        let mut pair = Pair::knocking(hello);
        pair.server.machine.set_server_settings(settings);
        let admitted = pair.server.machine.admit(pair.now, &Admission::default());
        assert!(admitted.is_ok(), "{admitted:?}");
        pair.drive();
        pair.client.events.clear();
        pair.server.events.clear();
        pair.client.sent.clear();
        pair.server.sent.clear();
        pair
    }

    /// Delivers packets both ways until nothing moves.
    pub fn drive(&mut self) {
        loop {
            let to_server = self.client.collect();
            let to_client = self.server.collect();
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
            for (packet, arrival, _) in to_server {
                self.server.receive_on(self.now, &packet.to_bytes(), arrival);
            }
            for (packet, arrival, ticket) in to_client {
                self.client.receive_on(self.now, &packet.to_bytes(), arrival);
                self.server.machine.handle_delivered(ticket);
            }
        }
    }

    /// The link loses everything both have to send just now.
    pub fn lose(&mut self) {
        self.client.collect();
        self.server.collect();
    }

    /// Lets time pass, firing every deadline on the way in its turn.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        loop {
            let next = [self.client.machine.poll_timeout(), self.server.machine.poll_timeout()];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.client.machine.handle_timeout(self.now);
            self.server.machine.handle_timeout(self.now);
            self.drive();
        }
        self.now = until;
        self.drive();
    }

    /// Lets the server receive `packet` on the control path.
    pub fn tell_server(&mut self, packet: &Packet) {
        self.server.receive(self.now, &packet.to_bytes());
        self.drive();
    }

    /// Submits the test frame `frame_id`.
    pub fn submit(&mut self, frame_id: u32) {
        let packet = packets::submit_packet(self.client.machine.session_id(), frame_id);
        let sent = self.client.machine.submit(self.now, packet.encode());
        assert!(sent.is_ok(), "{sent:?}");
        self.drive();
    }

    /// Answers frame `frame_id` with the test result.
    pub fn answer(&mut self, frame_id: u32) {
        let result = packets::result(frame_id).encode(self.server.machine.session_id(), Revision::Current);
        let sent = result.map(|packet| self.server.machine.push_result(self.now, packet));
        assert!(matches!(sent, Ok(Ok(()))), "{sent:?}");
        self.drive();
    }

    /// Proves that the session works: a frame there, a result back.
    pub fn echo(&mut self, frame_id: u32) {
        self.client.events.clear();
        self.server.events.clear();
        self.submit(frame_id);
        assert!(matches!(self.server.event(), Some(Event::Submit(_))));
        self.answer(frame_id);
        assert!(matches!(self.client.event(), Some(Event::Result(_))));
    }
}

/// Where virtual time starts. `Instant` has no constant, so the real clock is read once.
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; only differences matter")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}
