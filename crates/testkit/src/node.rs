//! One end of a [`SimulatedLink`]: a machine, and what a transport driver does for it, without sockets and tasks.
//!
//! It follows the drivers of the transport crate step by step: two-step reading, lanes, barriers, the goodbye of each
//! transport, and [`Order`] for the results of one frame.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use nnrp_session::{
    Arrival, DRAIN_TIME, Event, FrameKey, HeaderVerdict, Lane, Machine, Origin, Side, Transmit, TransportEnd,
};
use nnrp_transport::order::{ORDER_PATIENCE, Order};
use nnrp_wire::{Header, MessageType, Packet, TransportId};

use crate::link::{Delivery, LinkKind, Path, SimulatedLink};

/// A machine that asks again and again to be woken at a time that is over would spin a driver. One that has several
/// things due at once may ask a few times.
const MAX_WAKES_AT_ONCE: usize = 64;

/// One end.
#[derive(Debug)]
pub struct Node {
    /// The machine.
    pub machine: Machine,
    /// What it had to say, not looked at yet.
    pub events: VecDeque<Event>,
    /// Whether the transport is gone.
    pub gone: bool,
    kind: LinkKind,
    held: VecDeque<Transmit>,
    control: Reader,
    frames: BTreeMap<u64, Reader>,
    order: Order<Packet>,
    /// The first incoming stream that was not opened yet.
    next_incoming: u64,
    next_outgoing: u64,
    unacknowledged: BTreeSet<Path>,
    barrier_until: Option<Instant>,
    /// The code to close with, and when at the latest.
    goodbye: Option<(u32, Instant)>,
    input_ended: bool,
    paused_until: Option<Instant>,
    unread: VecDeque<Delivery>,
}

/// Cuts packets out of the bytes of one path.
#[derive(Debug, Default)]
struct Reader {
    buffer: BytesMut,
    /// The header under examination and what the machine said about it.
    pending: Option<(Header, HeaderVerdict)>,
    stopped: bool,
    /// Until when a stream without a header holds others back.
    patience: Option<Instant>,
}

impl Reader {
    /// The next whole packet, `None` when more bytes are needed. Header verdicts are taken from `examine`.
    fn next(
        &mut self,
        mut examine: impl FnMut(&[u8; Header::LEN]) -> (HeaderVerdict, Option<Header>),
    ) -> Option<Packet> {
        loop {
            if self.stopped {
                self.buffer.clear();
                return None;
            }
            let (header, verdict) = match self.pending {
                Some(pending) => pending,
                None => {
                    let bytes = *self.buffer.first_chunk::<{ Header::LEN }>()?;
                    match examine(&bytes) {
                        (HeaderVerdict::Stop, _) | (_, None) => {
                            self.stopped = true;
                            continue;
                        }
                        (verdict, Some(header)) => *self.pending.insert((header, verdict)),
                    }
                }
            };
            let len = usize::try_from(header.packet_len()).unwrap_or(usize::MAX);
            if self.buffer.len() < len {
                return None;
            }
            self.pending = None;
            let mut packet = self.buffer.split_to(len).freeze();
            let head = packet.split_to(Header::LEN + header.meta_len as usize);
            let metadata = head.slice(Header::LEN..);
            match verdict {
                HeaderVerdict::Read(_) => return Some(Packet { header, metadata, body: packet }),
                HeaderVerdict::ReadHead => return Some(Packet { header, metadata, body: Bytes::new() }),
                _ => {}
            }
        }
    }
}

impl Node {
    /// An end of a link of this kind, nothing sent yet.
    pub fn new(side: Side, kind: LinkKind) -> Self {
        let transport = match kind {
            LinkKind::Stream => TransportId::Tcp,
            LinkKind::Lanes => TransportId::Quic,
        };
        let (ours, theirs) = if side == Side::Client { (2, 3) } else { (3, 2) };
        Node {
            machine: Machine::new(side, transport),
            events: VecDeque::new(),
            gone: false,
            kind,
            held: VecDeque::new(),
            control: Reader::default(),
            frames: BTreeMap::new(),
            order: Order::default(),
            next_incoming: theirs,
            next_outgoing: ours,
            unacknowledged: BTreeSet::new(),
            barrier_until: None,
            goodbye: None,
            input_ended: false,
            paused_until: None,
            unread: VecDeque::new(),
        }
    }

    fn side(&self) -> Side {
        self.machine.side()
    }

    /// When [`Node::handle_timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        if self.gone {
            return None;
        }
        let patience = self.frames.values().filter_map(|reader| reader.patience).min();
        let goodbye = self.goodbye.map(|(_, until)| until);
        [self.machine.poll_timeout(), self.barrier_until, goodbye, patience, self.paused_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Passes on what the machine and its transport want to do at this time.
    ///
    /// # Errors
    ///
    /// A sentence, when the machine asks for ever to be woken at a time that is over.
    pub fn handle_timeout(&mut self, now: Instant, link: &mut SimulatedLink) -> Result<(), String> {
        let mut wakes = 0;
        while !self.gone && self.machine.poll_timeout().is_some_and(|at| at <= now) {
            wakes += 1;
            if wakes > MAX_WAKES_AT_ONCE {
                return Err(format!("the {:?} asks for ever to be woken in the past", self.side()));
            }
            self.machine.handle_timeout(now);
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.machine.handle_reading(now, false);
            for delivery in std::mem::take(&mut self.unread) {
                self.take_delivery(now, delivery, link);
            }
        }
        if self.barrier_until.is_some_and(|until| until <= now) {
            // What is not acknowledged by now is no longer waited for.
            self.barrier_until = None;
            self.unacknowledged.retain(|path| *path == Path::Control);
        }
        let silent: Vec<u64> = self
            .frames
            .iter()
            .filter(|(_, reader)| reader.patience.is_some_and(|until| until <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            if let Some(reader) = self.frames.get_mut(&id) {
                reader.patience = None;
            }
            let released = self.order.gave_up(id);
            self.hand_over(now, released);
        }
        self.pump(now, link);
        Ok(())
    }

    /// Writes what the machine wants to send, as far as there is room, and collects its events.
    pub fn pump(&mut self, now: Instant, link: &mut SimulatedLink) {
        while !self.gone && link.has_room(self.side()) {
            let Some(transmit) = self.held.pop_front().or_else(|| self.machine.poll_transmit()) else {
                break;
            };
            match transmit {
                Transmit::Packet { lane, origin, packet, .. } => {
                    if origin == Origin::Library {
                        self.machine.handle_replies_written(1);
                    }
                    let path = self.path_of(lane);
                    let frame = path != Path::Control;
                    link.send(now, self.side(), path, &packet.to_bytes(), frame);
                    if frame {
                        self.unacknowledged.insert(path);
                    }
                }
                Transmit::Barrier => {
                    let waits = self.unacknowledged.iter().any(|path| *path != Path::Control);
                    if waits {
                        self.barrier_until.get_or_insert(now + DRAIN_TIME);
                        self.held.push_front(Transmit::Barrier);
                        break;
                    }
                    self.barrier_until = None;
                }
                Transmit::Shutdown { code, .. } => {
                    self.goodbye = Some((code, now + DRAIN_TIME));
                    link.send(now, self.side(), Path::Control, &Bytes::new(), true);
                    if self.kind == LinkKind::Lanes {
                        self.unacknowledged.insert(Path::Control);
                    }
                }
            }
        }
        self.finish_goodbye(now, link);
        self.collect();
    }

    fn path_of(&mut self, lane: Lane) -> Path {
        if self.kind == LinkKind::Stream || lane != Lane::Frame {
            return Path::Control;
        }
        self.next_outgoing += 4;
        Path::Frame(self.next_outgoing - 4)
    }

    /// The transport closes once the peer has everything (lanes), or has closed its half, too (stream).
    fn finish_goodbye(&mut self, now: Instant, link: &mut SimulatedLink) {
        let Some((code, until)) = self.goodbye else { return };
        let said = match self.kind {
            LinkKind::Stream => self.input_ended,
            LinkKind::Lanes => self.unacknowledged.is_empty(),
        };
        if self.gone || !(said || until <= now) {
            return;
        }
        if self.kind == LinkKind::Lanes {
            link.close(now, self.side(), code);
        }
        self.end(&TransportEnd { clean: true, text: "closed".into() });
    }

    fn end(&mut self, end: &TransportEnd) {
        self.machine.handle_transport_closed(end);
        self.gone = true;
        self.collect();
    }

    /// Takes what has arrived. Nothing reaches an end that is gone.
    pub fn handle_delivery(&mut self, now: Instant, delivery: Delivery, link: &mut SimulatedLink) {
        if self.paused_until.is_some() {
            return self.unread.push_back(delivery);
        }
        self.take_delivery(now, delivery, link);
    }

    /// Reads nothing until then, as a driver does whose application has not taken what has arrived.
    pub fn pause_reading(&mut self, now: Instant, until: Instant) {
        if self.kind == LinkKind::Stream && !self.gone {
            self.paused_until = Some(until);
            self.machine.handle_reading(now, true);
        }
    }

    fn take_delivery(&mut self, now: Instant, delivery: Delivery, link: &mut SimulatedLink) {
        if self.gone {
            return;
        }
        match delivery {
            Delivery::Bytes(Path::Control, bytes) => {
                self.control.buffer.extend_from_slice(&bytes);
                while let Some(packet) = self.control.next(|bytes| self.machine.handle_header(now, bytes)) {
                    self.machine.handle_packet(now, packet, Arrival::Control);
                }
            }
            Delivery::Bytes(Path::Frame(id), bytes) => self.handle_frame_bytes(now, id, &bytes),
            Delivery::Bytes(Path::Datagram, bytes) => self.handle_datagram(now, &bytes),
            Delivery::End(Path::Frame(id)) => {
                self.open_streams(now, id);
                self.end_frame(now, id);
            }
            Delivery::End(_) if self.kind == LinkKind::Stream => self.end_stream(now, link),
            // The peer is about to close the connection; or it is closed for it (see `finish_goodbye`).
            Delivery::End(_) => {}
            Delivery::Acknowledged(path) => {
                self.unacknowledged.remove(&path);
            }
            Delivery::Closed(end) => {
                // Streams that are not complete never will be.
                for id in std::mem::take(&mut self.frames).into_keys() {
                    let released = self.order.gave_up(id);
                    self.hand_over(now, released);
                }
                self.end(&end);
            }
        }
        self.pump(now, link);
    }

    /// The peer has closed its half of the one stream.
    fn end_stream(&mut self, now: Instant, link: &mut SimulatedLink) {
        self.input_ended = true;
        if self.control.stopped {
            return;
        }
        let between = self.control.buffer.is_empty() && self.control.pending.is_none();
        link.send(now, self.side(), Path::Control, &Bytes::new(), true);
        self.end(&TransportEnd { clean: between, text: "closed by peer".into() });
    }

    /// A stream becomes known with all that have a lower number.
    fn open_streams(&mut self, now: Instant, id: u64) {
        while self.next_incoming <= id {
            self.order.opened(self.next_incoming);
            let reader = Reader { patience: Some(now + ORDER_PATIENCE), ..Reader::default() };
            self.frames.insert(self.next_incoming, reader);
            self.next_incoming += 4;
        }
    }

    fn handle_frame_bytes(&mut self, now: Instant, id: u64, bytes: &Bytes) {
        self.open_streams(now, id);
        let Some(mut reader) = self.frames.remove(&id) else { return };
        reader.buffer.extend_from_slice(bytes);
        loop {
            let had_header = reader.pending.is_some();
            let packet = reader.next(|bytes| match self.machine.handle_header(now, bytes) {
                (HeaderVerdict::Read(lane), header) => (HeaderVerdict::Read(lane), header),
                (_, header) => (HeaderVerdict::Stop, header),
            });
            if let Some((header, _)) = reader.pending.filter(|_| !had_header) {
                reader.patience = None;
                let released = self.order.named(id, FrameKey::from(&header));
                self.hand_over(now, released);
            }
            let Some(packet) = packet else { break };
            reader.patience = None;
            let key = FrameKey::from(&packet.header);
            let released = if self.side() == Side::Client && is_result(&packet) {
                self.order.completed(id, key, packet)
            } else {
                self.machine.handle_packet(now, packet, Arrival::Stream(id));
                Vec::new()
            };
            self.hand_over(now, released);
        }
        if reader.stopped {
            reader.patience = None;
            let released = self.order.gave_up(id);
            self.hand_over(now, released);
        }
        self.frames.insert(id, reader);
    }

    fn end_frame(&mut self, now: Instant, id: u64) {
        let Some(reader) = self.frames.remove(&id) else { return };
        if !reader.stopped {
            match reader.pending {
                Some((header, _)) => self.machine.handle_truncated(now, &header),
                None if reader.buffer.is_empty() => {}
                None => self.machine.handle_truncated_header(now, reader.buffer.len()),
            }
        }
        let released = self.order.gave_up(id);
        self.hand_over(now, released);
    }

    fn hand_over(&mut self, now: Instant, released: Vec<(u64, Packet)>) {
        for (stream, packet) in released {
            self.machine.handle_packet(now, packet, Arrival::Stream(stream));
        }
    }

    /// R-QUIC-10.
    fn handle_datagram(&mut self, now: Instant, bytes: &Bytes) {
        let Some(head) = bytes.first_chunk::<{ Header::LEN }>() else { return };
        let Ok(header) = Header::decode(head) else { return };
        let allowed =
            matches!(header.msg_type, MessageType::FrameCancel | MessageType::Ping | MessageType::Pong);
        if allowed && bytes.len() == Header::LEN {
            let packet = Packet::build(header, Bytes::new(), Bytes::new());
            self.machine.handle_packet(now, packet, Arrival::Datagram);
        }
    }

    fn collect(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            self.events.push_back(event);
        }
    }
}

fn is_result(packet: &Packet) -> bool {
    matches!(packet.header.msg_type, MessageType::ResultPush | MessageType::ResultDrop)
}
