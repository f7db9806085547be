//! What has arrived and was not taken yet.
//!
//! Receivers say what they want with a [`Filter`] and are served first come, first served. An item is put aside
//! for the receiver it wakes and stays here until that receiver takes it: a receiver that is dropped after it
//! was woken gives the item back in its old place, so cancelling a receive loses nothing and reorders nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use nnrp_session::{FailedFrame, FrameKey};
use nnrp_wire::{MessageType, Packet};

use crate::budget::Share;
use crate::error::Closed;
use crate::item::{Filter, Item, QUEUES, Queue};

/// Control packets kept for an application that does not read them. When full, the oldest hint or flow update
/// goes first: it is the one most likely outdated.
pub(crate) const MAX_CONTROL_ITEMS: usize = 1024;

/// Bytes of those packets: some dozens of the largest a session takes. One packet is kept whatever its size.
pub(crate) const MAX_CONTROL_BYTES: usize = 4 * 1024 * 1024;

/// Datagrams kept for an application that does not read them.
const MAX_DATAGRAMS: usize = 1024;

/// Bytes of those datagrams: as many of the usual size.
const MAX_DATAGRAM_BYTES: usize = 2 * 1024 * 1024;

/// Refused packets kept for an application that does not ask. Enough to see a pattern in; the oldest go first.
const MAX_REFUSALS: usize = 256;

/// Room an item takes from the receive budget, that of a frame and that of its body where they were taken one after the other;
/// returned when the application takes the item.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "held only to be dropped")]
pub(crate) struct Room(pub(crate) Option<Share>, pub(crate) Option<Share>);

#[derive(Debug)]
struct Entry {
    seq: u64,
    item: Item,
    room: Room,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    filter: Filter,
    waker: Waker,
    slot: Option<Entry>,
    /// The frame it waits for has been given up.
    given_up: Option<FrameKey>,
}

impl Waiter {
    fn is_served(&self) -> bool {
        self.slot.is_some() || self.given_up.is_some()
    }
}

#[derive(Debug, Default)]
struct State {
    queues: [VecDeque<Entry>; QUEUES],
    /// Bytes of the items of each queue.
    bytes: [usize; QUEUES],
    /// Those who wait, in the order of their tickets: mostly one, or served in about that order.
    waiters: VecDeque<Waiter>,
    next_seq: u64,
    next_ticket: u64,
    /// No more submits or results of the peer will come (it said CLOSE), though packets still may.
    frames_over: Option<Closed>,
    closed: Option<Closed>,
    discarded: u64,
    /// Refused packets among the submits.
    refusals: usize,
}

/// The inbox of one connection.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<State>);

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers an item to the first receiver that wants it, or keeps it.
    pub(crate) fn push(&self, item: Item, room: Room) {
        if let Some(waker) = self.place(item, room) {
            waker.wake();
        }
    }

    /// The same; returns who is to be woken.
    pub(crate) fn place(&self, item: Item, room: Room) -> Option<Waker> {
        let mut state = self.lock();
        let seq = state.next_seq;
        state.next_seq += 1;
        state.place(Entry { seq, item, room })
    }

    /// No more frames; receivers of frames get `closed` once the queue is empty.
    pub(crate) fn end_frames(&self, closed: Closed) {
        let mut state = self.lock();
        state.frames_over.get_or_insert(closed);
        wake_all(state);
    }

    /// The end: receivers get what is left, then `closed`.
    pub(crate) fn close(&self, closed: Closed) {
        let mut state = self.lock();
        state.closed.get_or_insert(closed);
        wake_all(state);
    }

    /// Takes the packets a raw connection has received, to hand them to the session built on it.
    pub(crate) fn take_packets(&self) -> Vec<(Packet, Room)> {
        let mut state = self.lock();
        let mut entries: Vec<Entry> = Vec::new();
        for queue in &mut state.queues {
            let (packets, others) =
                std::mem::take(queue).into_iter().partition(|entry| matches!(entry.item, Item::Packet(_)));
            *queue = others;
            entries.extend::<VecDeque<Entry>>(packets);
        }
        let bytes = state.queues.each_ref().map(|queue| queue.iter().map(|entry| entry.item.bytes()).sum());
        state.bytes = bytes;
        entries.sort_by_key(|entry| entry.seq);
        entries
            .into_iter()
            .filter_map(|entry| match entry.item {
                Item::Packet(packet) => Some((*packet, entry.room)),
                _ => None,
            })
            .collect()
    }

    /// Throws away what is kept for a frame; returns how many items.
    pub(crate) fn discard_results(&self, frame_id: u32, view_id: u16) -> usize {
        let mut state = self.lock();
        let wanted = Filter::ResultOf { frame_id, view_id: Some(view_id) };
        let kind = Queue::Result;
        let mut removed = 0;
        while let Some(index) = state
            .queues
            .get(kind as usize)
            .and_then(|queue| queue.iter().position(|entry| wanted.matches(&entry.item)))
        {
            state.remove(kind, index);
            removed += 1;
        }
        removed
    }

    /// A frame was given up here: who waits for it, and for no other, is told. Returns whom to wake.
    pub(crate) fn give_up(&self, key: FrameKey) -> Vec<Waker> {
        let mut told = Vec::new();
        for waiter in &mut self.lock().waiters {
            if !waiter.is_served() && waiter.filter.is_for(key) {
                waiter.given_up = Some(key);
                told.push(waiter.waker.clone());
            }
        }
        told
    }

    /// Items thrown away because nobody read them.
    pub(crate) fn discarded(&self) -> u64 {
        self.lock().discarded
    }

    /// What `filter` wants and is there already, without a place in the line of those who wait.
    pub(crate) fn take_now(&self, filter: Filter) -> Option<Result<Item, Closed>> {
        let mut state = self.lock();
        match state.take(filter) {
            Some(entry) => {
                drop(state);
                Some(Ok(entry.item))
            }
            None => state.over(filter).map(Err),
        }
    }

    fn poll(
        &self,
        ticket: &mut Option<u64>,
        filter: Filter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Item, Closed>> {
        let mut state = self.lock();
        if let Some(number) = *ticket {
            if let Some(waiter) = state.waiter(number) {
                if !waiter.is_served() {
                    waiter.waker.clone_from(cx.waker());
                } else {
                    let waiter = state.dismiss(number);
                    *ticket = None;
                    drop(state);
                    let given_up = waiter.as_ref().and_then(|waiter| waiter.given_up);
                    let item = waiter.and_then(|waiter| waiter.slot).map(|entry| entry.item);
                    let failed =
                        || given_up.map(|key| Item::FrameFailed(Box::new(FailedFrame::given_up(key))));
                    return item.or_else(failed).map_or(Poll::Pending, |item| Poll::Ready(Ok(item)));
                }
            }
        } else if let Some(entry) = state.take(filter) {
            drop(state);
            return Poll::Ready(Ok(entry.item));
        }
        if let Some(closed) = state.over(filter) {
            if let Some(number) = ticket.take() {
                state.dismiss(number);
            }
            return Poll::Ready(Err(closed));
        }
        if ticket.is_none() {
            let number = state.next_ticket;
            state.next_ticket += 1;
            let waker = cx.waker().clone();
            state.waiters.push_back(Waiter { ticket: number, filter, waker, slot: None, given_up: None });
            *ticket = Some(number);
        }
        Poll::Pending
    }

    fn abandon(&self, ticket: u64) {
        let mut state = self.lock();
        let slot = state.dismiss(ticket).and_then(|waiter| waiter.slot);
        let waker = slot.and_then(|entry| state.place(entry));
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn wake_all(state: MutexGuard<'_, State>) {
    let wakers: Vec<Waker> = state.waiters.iter().map(|waiter| waiter.waker.clone()).collect();
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

impl State {
    /// Who waits with this ticket.
    fn waiter(&mut self, ticket: u64) -> Option<&mut Waiter> {
        let at = self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
        self.waiters.get_mut(at)
    }

    /// Who waits with this ticket waits no longer.
    fn dismiss(&mut self, ticket: u64) -> Option<Waiter> {
        let at = self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
        self.waiters.remove(at)
    }

    /// Gives the entry to the longest waiting receiver that wants it, else queues it in order of arrival.
    fn place(&mut self, entry: Entry) -> Option<Waker> {
        for waiter in &mut self.waiters {
            if !waiter.is_served() && waiter.filter.matches(&entry.item) {
                waiter.slot = Some(entry);
                // It is woken once.
                return Some(std::mem::replace(&mut waiter.waker, Waker::noop().clone()));
            }
        }
        let kind = entry.item.queue();
        self.refusals += usize::from(entry.item.is_refusal());
        if let (Some(queue), Some(bytes)) =
            (self.queues.get_mut(kind as usize), self.bytes.get_mut(kind as usize))
        {
            *bytes += entry.item.bytes();
            match queue.back() {
                // Given back by a receiver that has gone.
                Some(last) if last.seq > entry.seq => {
                    let at = queue.partition_point(|queued| queued.seq < entry.seq);
                    queue.insert(at, entry);
                }
                _ => queue.push_back(entry),
            }
        }
        self.trim(kind);
        None
    }

    fn remove(&mut self, kind: Queue, index: usize) -> Option<Entry> {
        let entry = self.queues.get_mut(kind as usize)?.remove(index)?;
        if let Some(bytes) = self.bytes.get_mut(kind as usize) {
            *bytes -= entry.item.bytes();
        }
        self.refusals -= usize::from(entry.item.is_refusal());
        Some(entry)
    }

    /// Frames are bounded by the receive budget; control packets and datagrams are bounded here.
    fn trim(&mut self, kind: Queue) {
        let (most, most_bytes) = match kind {
            Queue::Control => (MAX_CONTROL_ITEMS, MAX_CONTROL_BYTES),
            Queue::Datagram => (MAX_DATAGRAMS, MAX_DATAGRAM_BYTES),
            Queue::Submit if self.refusals > MAX_REFUSALS => return self.forget_a_refusal(),
            _ => return,
        };
        while let (Some(queue), Some(bytes)) = (self.queues.get(kind as usize), self.bytes.get(kind as usize))
            && (queue.len() > most || (*bytes > most_bytes && queue.len() > 1))
        {
            let stale = queue.iter().position(|entry| {
                entry.item.packet().is_some_and(|p| {
                    matches!(p.header.msg_type, MessageType::ResultHint | MessageType::FlowUpdate)
                })
            });
            self.remove(kind, stale.unwrap_or(0));
            self.discarded += 1;
        }
    }

    fn forget_a_refusal(&mut self) {
        let queue = self.queues.get(Queue::Submit as usize);
        let oldest = queue.and_then(|queue| queue.iter().position(|entry| entry.item.is_refusal()));
        if let Some(oldest) = oldest {
            self.remove(Queue::Submit, oldest);
            self.discarded += 1;
        }
    }

    fn take(&mut self, filter: Filter) -> Option<Entry> {
        let mut best: Option<(u64, Queue, usize)> = None;
        for kind in filter.queues() {
            let found = self.queues.get(*kind as usize).and_then(|queue| {
                queue
                    .iter()
                    .enumerate()
                    .find(|(_, e)| filter.matches(&e.item))
                    .map(|(i, e)| (e.seq, *kind, i))
            });
            if let Some(found) = found
                && best.is_none_or(|(seq, ..)| found.0 < seq)
            {
                best = Some(found);
            }
        }
        let (_, kind, index) = best?;
        self.remove(kind, index)
    }

    /// Whether nothing `filter` wants can come any more.
    fn over(&self, filter: Filter) -> Option<Closed> {
        let frames_only = matches!(filter, Filter::Submit);
        self.closed.clone().or_else(|| self.frames_over.clone().filter(|_| frames_only))
    }
}

/// A receive in progress. Cancel-safe: dropping it loses nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Receive {
    inbox: Arc<Inbox>,
    filter: Filter,
    ticket: Option<u64>,
}

impl Receive {
    pub(crate) fn new(inbox: Arc<Inbox>, filter: Filter) -> Self {
        Receive { inbox, filter, ticket: None }
    }
}

impl Future for Receive {
    type Output = Result<Item, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.inbox.poll(&mut this.ticket, this.filter, cx)
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.inbox.abandon(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use nnrp_session::{Fault, RejectedPacket};
    use nnrp_wire::ErrorCode;

    fn refusal() -> Item {
        let fault = Fault::refusal(ErrorCode::InvalidState, "no");
        Item::Rejected(Box::new(RejectedPacket { fault, packet: None }))
    }

    fn control(message: MessageType, bytes: usize) -> Item {
        let header = nnrp_wire::Header::new(message);
        Item::Packet(Box::new(Packet::build(header, Bytes::new(), Bytes::from(vec![0; bytes]))))
    }

    fn kept(inbox: &Inbox, kind: Queue) -> (usize, usize) {
        let state = inbox.lock();
        (state.queues[kind as usize].len(), state.bytes[kind as usize])
    }

    #[test]
    fn control_packets_nobody_reads_are_bounded_by_number_and_by_bytes() {
        let inbox = Inbox::default();
        for _ in 0..2 * MAX_CONTROL_ITEMS {
            inbox.push(control(MessageType::Pong, 0), Room::default());
        }
        assert_eq!(kept(&inbox, Queue::Control), (MAX_CONTROL_ITEMS, 0));
        // Hints go first, then the oldest.
        inbox.push(control(MessageType::ResultHint, 16), Room::default());
        assert_eq!(kept(&inbox, Queue::Control), (MAX_CONTROL_ITEMS, 0));
        for _ in 0..1000 {
            inbox.push(control(MessageType::Error, 60_000), Room::default());
        }
        assert_eq!(kept(&inbox, Queue::Control), (69, 69 * 60_000));
        // One packet is kept, and can be taken, whatever its size.
        inbox.push(control(MessageType::Error, 2 * MAX_CONTROL_BYTES), Room::default());
        assert_eq!(kept(&inbox, Queue::Control), (1, 2 * MAX_CONTROL_BYTES));
        assert!(inbox.lock().take(Filter::Control).is_some());
        assert_eq!(kept(&inbox, Queue::Control), (0, 0));
    }

    #[test]
    fn datagrams_nobody_reads_are_bounded_by_number_and_by_bytes() {
        let inbox = Inbox::default();
        for _ in 0..2 * MAX_DATAGRAMS {
            inbox.push(Item::Datagram(Bytes::from_static(b"small")), Room::default());
        }
        assert_eq!(kept(&inbox, Queue::Datagram).0, MAX_DATAGRAMS);
        for _ in 0..100 {
            inbox.push(Item::Datagram(Bytes::from(vec![0; 60_000])), Room::default());
        }
        assert_eq!(kept(&inbox, Queue::Datagram), (34, 34 * 60_000));
    }

    #[test]
    fn refusals_nobody_asks_for_are_bounded() {
        let inbox = Inbox::default();
        for _ in 0..10 * MAX_REFUSALS {
            inbox.push(refusal(), Room::default());
        }
        assert_eq!(inbox.lock().queues.iter().map(VecDeque::len).sum::<usize>(), MAX_REFUSALS);
        assert_eq!(inbox.discarded(), 9 * MAX_REFUSALS as u64);
        for _ in 0..MAX_REFUSALS {
            assert!(inbox.lock().take(Filter::Submit).is_some());
        }
        assert_eq!(inbox.lock().refusals, 0);
    }
}
