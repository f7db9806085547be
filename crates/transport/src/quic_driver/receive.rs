//! Frames that arrive: as many as the application has room for, and those that have arrived whole in one turn on the machine.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use futures_util::FutureExt;
use nnrp_session::{Arrival, FrameKey, HeaderVerdict, Lane, Machine, Side};
use nnrp_wire::Packet;
use tokio::task::JoinSet;

use super::Driver;
use super::frame::Begun;
use super::frame_stream::{FrameStream, SmallPackets};
use super::ordering::{Ordered, SharedOrder};
use crate::clock;
use crate::inbox::Room;
use crate::order::Order;
use crate::path::{FrameRoom, Path, Standing, handle_header, handle_packet};
use crate::publish::Wakes;
use crate::shared::Shared;
use crate::stream_reader::LENT_BODY;

/// Streams looked at in one turn: how long an application's call may have to wait for the machine.
const BATCH: usize = 64;

/// How often the tasks of streams get a turn before a path that the session has left counts as read.
const DRAIN_ROUNDS: usize = 16;

/// A stream that was opened, the room its frame has, and what has been done with it.
struct Opened {
    stream: FrameStream,
    room: FrameRoom,
    begun: Begun,
}

impl Opened {
    fn new(stream: quinn::RecvStream, room: FrameRoom) -> Self {
        Opened { stream: FrameStream::begin(stream), room, begun: Begun::Nothing }
    }
}

impl Driver {
    pub(super) async fn accept_frames(self) {
        self.path.link.until_claimed().await;
        let order = Arc::new(SharedOrder::default());
        let mut streams = JoinSet::new();
        let mut opened = Vec::new();
        let mut spare = None;
        let left = self.path.link.until_left();
        tokio::pin!(left);
        let mut drained = false;
        loop {
            tokio::select! {
                accepted = self.next_streams(&mut opened, &mut spare) => {
                    if !accepted {
                        break;
                    }
                    self.path.link.frames_released().await;
                    self.begin_frames(&mut streams, &mut opened, &order);
                }
                Some(_) = streams.join_next() => {}
                () = &mut left, if !drained => {
                    drained = true;
                    // What the peer counts as received has arrived by now, and comes before what the new path brings.
                    for _ in 0..DRAIN_ROUNDS {
                        tokio::task::yield_now().await;
                    }
                    while let Some(Ok(stream)) = self.quic.accept_uni().now_or_never() {
                        opened.push(Opened::new(stream, FrameRoom(None)));
                        self.begin_frames(&mut streams, &mut opened, &order);
                    }
                    order.change(&self.path, Order::forget_unknown);
                    self.path.link.say_drained();
                }
            }
        }
        self.path.link.say_drained();
        while streams.join_next().await.is_some() {}
    }

    /// Waits for a stream, and takes those that were opened with it, as long as there is room for their frames. False at the end
    /// of the connection. `spare` is the room of the stream after those. Cancel-safe.
    async fn next_streams(&self, opened: &mut Vec<Opened>, spare: &mut Option<FrameRoom>) -> bool {
        if self.path.side() == Side::Server {
            // Every frame is owed an answer, also one that is refused unread.
            self.path.replies_fit().await;
        }
        // Room is given out in the order of the streams, so that a later one never takes it from an earlier.
        if spare.is_none() {
            *spare = self.path.frame_room_now();
        }
        if spare.is_none() {
            *spare = self.path.frame_room().await;
        }
        if spare.is_none() {
            return false;
        }
        let Ok(first) = self.quic.accept_uni().await else { return false };
        let mut next = Some(first);
        while let Some(stream) = next.take()
            && let Some(room) = spare.take()
        {
            opened.push(Opened::new(stream, room));
            *spare = self.path.frame_room_now();
            if opened.len() < BATCH && spare.is_some() {
                next = self.quic.accept_uni().now_or_never().and_then(Result::ok);
            }
        }
        true
    }

    /// Handles what has arrived, in the order it was sent, and starts tasks for the streams of which more has to come.
    fn begin_frames(&self, streams: &mut JoinSet<()>, opened: &mut Vec<Opened>, order: &Arc<SharedOrder>) {
        self.handle_whole(opened, order);
        for Opened { stream, room, begun } in opened.drain(..) {
            if matches!(begun, Begun::Everything) {
                continue;
            }
            let mut frame = Box::pin(self.clone().read_frame(stream, begun, order.clone(), room));
            if (&mut frame).now_or_never().is_none() {
                streams.spawn(frame);
            }
        }
    }

    /// Handles the packets that have arrived whole, in one turn on the machine, and says of each stream what was done.
    fn handle_whole(&self, opened: &mut [Opened], shared_order: &SharedOrder) {
        let client = self.path.side() == Side::Client;
        let mut order = client.then(|| shared_order.lock());
        let round_trip = client.then(|| self.quic.rtt());
        self.path.locked(|session, mut machine, standing| {
            if let Some(round_trip) = round_trip.filter(|_| standing == Standing::InUse) {
                machine.set_round_trip(round_trip);
            }
            let now = clock::now();
            let (wakes, small) = (Wakes::default(), SmallPackets::of(opened.len()));
            let mut turn = Turn { path: &self.path, session, machine, standing, now, wakes, small };
            for Opened { stream, room, begun } in opened.iter_mut() {
                *begun = turn.begin(stream, room, order.as_deref_mut());
                turn.small.next();
            }
            match standing {
                Standing::InUse => session.finish_on(&self.path.link, turn.machine, now, turn.wakes),
                _ => session.finish(turn.machine, now, turn.wakes),
            }
        });
        if order.take().is_some() {
            shared_order.tell();
        }
    }
}

/// A turn on the machine, which is locked.
struct Turn<'a> {
    path: &'a Path,
    session: &'a Shared,
    machine: MutexGuard<'a, Machine>,
    standing: Standing,
    now: Instant,
    wakes: Wakes,
    small: SmallPackets,
}

impl Turn<'_> {
    /// Does with a stream what can be done with what has arrived of it. `order` is there where results have one.
    fn begin(
        &mut self,
        stream: &mut FrameStream,
        room: &mut FrameRoom,
        order: Option<&mut Order<Ordered>>,
    ) -> Begun {
        let id = stream.id();
        if stream.header().is_none() {
            stream.read_on();
        }
        let Some(bytes) = stream.header() else {
            if let Some(order) = order {
                order.opened(id);
            }
            return Begun::Nothing;
        };
        let (verdict, header) = handle_header(&mut self.machine, self.standing, self.now, &bytes);
        if self.machine.has_events() {
            self.session.publish(&mut self.machine, &mut Room::default(), &mut self.wakes);
        }
        let (HeaderVerdict::Read(lane), Some(header)) = (verdict, header) else {
            stream.refuse();
            return Begun::Everything;
        };
        stream.skip_header();
        if header.body_len as usize > LENT_BODY
            && let Some(quic) = &self.path.link.quic
        {
            quic.expect_bulk();
        }
        if !stream.has_rest(&header) {
            stream.read_on();
        }
        let key = FrameKey::from(&header);
        let room = match lane {
            _ if !stream.has_rest(&header) => None,
            Lane::Frame => self.path.body_room_now(self.session, room, header.body_len as usize),
            _ => Some(Room::default()),
        };
        let Some(room) = room else {
            if let Some(order) = order {
                let free = order.named(id, key);
                self.deliver(free);
            }
            return Begun::Header(lane, header);
        };
        let packet = stream.take_packet(header, &self.path.link.pool, &mut self.small);
        match order.filter(|order| lane == Lane::Frame && !order.lets_pass(key)) {
            Some(order) => {
                let free = order.completed(id, key, (packet, room));
                self.deliver(free);
            }
            None => self.packet(id, packet, room),
        }
        if stream.is_over() { Begun::Everything } else { Begun::Packet }
    }

    fn deliver(&mut self, free: Vec<(u64, Ordered)>) {
        for (stream, (packet, room)) in free {
            self.packet(stream, packet, room);
        }
    }

    fn packet(&mut self, stream: u64, packet: Packet, mut room: Room) {
        let arrival = Arrival::Stream(stream);
        self.path.count(self.session, &packet, arrival, &room);
        handle_packet(&mut self.machine, self.standing, self.now, packet, arrival);
        self.session.publish(&mut self.machine, &mut room, &mut self.wakes);
    }
}
