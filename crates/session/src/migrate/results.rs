//! What a server keeps of a session that may move to another path: which frames it has, and results that may have been
//! lost with the path they went out on.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use nnrp_wire::{EncodedPacket, FlowUpdateMetadata, FlowUpdateScopeKind, Header, MessageType};

use super::KEPT_OVERHEAD;
use super::table::{self, MAX_ROWS};
use crate::FrameKey;

/// The frames of a migratable session and the results on their way.
#[derive(Debug)]
pub(crate) struct KeptResults {
    /// Bytes that are kept at most; the newest packet is, whatever it takes.
    most: usize,
    /// Results sent so far, for each frame that is remembered.
    frames: HashMap<FrameKey, u64>,
    /// The same frames, oldest first.
    arrived: VecDeque<FrameKey>,
    /// The highest frame id ever received.
    highest: Option<u32>,
    /// Of frames up to this id it may have been forgotten that they were received.
    forgotten: u32,
    /// Sent and not known to have arrived, in the order of sending; tickets ascend.
    ring: VecDeque<Kept>,
    bytes: usize,
    next_ticket: u64,
    /// Lowest frame id that may be submitted since the last migration; behind the last id there is none.
    resume_from: u64,
    /// The client asked to have repeated what was lost: it repeats submits, too.
    pub(crate) repeats: bool,
    /// The newest FLOW_UPDATE of each scope that is no frame's: the client must not wait for credit that was lost.
    flow: [Option<EncodedPacket>; 2],
}

#[derive(Debug)]
struct Kept {
    ticket: u64,
    key: FrameKey,
    number: u64,
    packet: EncodedPacket,
    delivered: bool,
}

/// What to do with a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New.
    Take,
    /// The server has it already; the client could not know.
    Ignore,
    /// Below the frame id to resume from (R-MIG-9).
    Refuse,
}

fn cost(packet: &EncodedPacket) -> usize {
    packet.len() + KEPT_OVERHEAD
}

impl KeptResults {
    pub(crate) fn new(most: usize) -> Self {
        KeptResults {
            most,
            frames: HashMap::new(),
            arrived: VecDeque::new(),
            highest: None,
            forgotten: 0,
            ring: VecDeque::new(),
            bytes: 0,
            next_ticket: 0,
            resume_from: 0,
            repeats: false,
            flow: [None, None],
        }
    }

    /// Whether a submit may run. A frame never runs twice.
    pub(crate) fn judge(&self, key: FrameKey) -> Verdict {
        if u64::from(key.frame_id) >= self.resume_from {
            return Verdict::Take;
        }
        if !self.repeats || key.frame_id <= self.forgotten {
            return Verdict::Refuse;
        }
        if self.frames.contains_key(&key) { Verdict::Ignore } else { Verdict::Take }
    }

    /// As the wire has it: 32 bits (R-MIG-7).
    pub(crate) fn resume_from(&self) -> u32 {
        u32::try_from(self.resume_from).unwrap_or(u32::MAX)
    }

    /// A frame was received, whatever becomes of it.
    pub(crate) fn received(&mut self, key: FrameKey) {
        self.highest = self.highest.max(Some(key.frame_id));
        if self.frames.contains_key(&key) {
            return;
        }
        self.frames.insert(key, 0);
        self.arrived.push_back(key);
        if self.arrived.len() > MAX_ROWS
            && let Some(old) = self.arrived.pop_front()
        {
            self.frames.remove(&old);
            self.forgotten = self.forgotten.max(old.frame_id);
        }
    }

    /// A packet of the frame lane goes out; its ticket, 0 when it is not kept.
    pub(crate) fn sent(&mut self, packet: &EncodedPacket) -> u64 {
        let key = FrameKey::from(packet.header());
        // What nobody asked for, or long ago, is not numbered.
        let Some(count) = self.frames.get_mut(&key) else { return 0 };
        *count += 1;
        self.next_ticket += 1;
        let kept =
            Kept { ticket: self.next_ticket, key, number: *count, packet: packet.clone(), delivered: false };
        self.bytes += cost(packet);
        self.ring.push_back(kept);
        // The newest is always kept: what is still queued is then always the end of what is kept.
        while self.bytes > self.most && self.ring.len() > 1 {
            self.forget_oldest();
        }
        self.next_ticket
    }

    fn forget_oldest(&mut self) {
        if let Some(old) = self.ring.pop_front() {
            self.bytes -= cost(&old.packet);
        }
    }

    /// A FLOW_UPDATE goes out.
    pub(crate) fn flow_sent(&mut self, packet: &EncodedPacket) {
        let Ok(update) = FlowUpdateMetadata::decode(packet.metadata()) else { return };
        let [connection, session] = &mut self.flow;
        match update.scope_kind {
            FlowUpdateScopeKind::Connection => *connection = Some(packet.clone()),
            FlowUpdateScopeKind::Session => *session = Some(packet.clone()),
            _ => {}
        }
    }

    /// The peer's transport has this one. It is kept while an earlier one is missing: the client counts.
    pub(crate) fn delivered(&mut self, ticket: u64) {
        let at = self.ring.partition_point(|kept| kept.ticket < ticket);
        if let Some(kept) = self.ring.get_mut(at).filter(|kept| kept.ticket == ticket) {
            kept.delivered = true;
        }
        while self.ring.front().is_some_and(|kept| kept.delivered) {
            self.forget_oldest();
        }
    }

    /// Whether a packet with this ticket is kept.
    #[cfg(test)]
    pub(crate) fn holds(&self, ticket: u64) -> bool {
        self.ring.binary_search_by_key(&ticket, |kept| kept.ticket).is_ok()
    }

    /// On one ordered stream, a client that has a result of frame `last` has everything sent before that frame's first. Says
    /// nothing when that first one is not kept any more: what stands before a later one may be missing.
    pub(crate) fn ordered_up_to(&mut self, last: u32) {
        if last == 0 || last <= self.forgotten {
            return;
        }
        // The wire does not say of which view it was.
        let answered = self.frames.iter().filter(|(key, sent)| key.frame_id == last && **sent > 0);
        let firsts: Option<Vec<usize>> = answered
            .map(|(key, _)| self.ring.iter().position(|kept| kept.key == *key && kept.number == 1))
            .collect();
        if let Some(at) = firsts.and_then(|firsts| firsts.into_iter().min()) {
            (0..at).for_each(|_| self.forget_oldest());
        }
    }

    /// The session moves: fixes the frame id to resume from, and returns the answer's body, for a client that asked.
    pub(crate) fn switch(&mut self, repeats: bool) -> Bytes {
        self.repeats = repeats;
        self.resume_from = self.highest.map_or(0, |highest| u64::from(highest) + 1);
        if !repeats {
            self.ring.clear();
            self.bytes = 0;
            return Bytes::new();
        }
        self.ring.iter_mut().for_each(|kept| kept.delivered = false);
        let mut first: HashMap<FrameKey, u64> = HashMap::new();
        for kept in &self.ring {
            first.entry(kept.key).or_insert(kept.number);
        }
        table::encode(self.arrived.iter().map(|key| {
            let next = self.frames.get(key).map_or(1, |sent| sent + 1);
            (*key, first.get(key).copied().unwrap_or(next))
        }))
    }

    /// Everything kept, in the order of sending, with its ticket.
    pub(crate) fn repeats(&self) -> impl Iterator<Item = (u64, EncodedPacket)> {
        // What is not in the table the client would not recognise as a repetition.
        self.ring
            .iter()
            .filter(|kept| self.frames.contains_key(&kept.key))
            .map(|kept| (kept.ticket, kept.packet.clone()))
    }

    /// The credit in force.
    pub(crate) fn flow_updates(&self) -> impl Iterator<Item = EncodedPacket> {
        self.flow.iter().flatten().cloned()
    }
}

/// Whether a packet is a FLOW_UPDATE: the one control message whose loss would last.
pub(crate) fn is_flow_update(header: &Header) -> bool {
    header.msg_type == MessageType::FlowUpdate
}

#[cfg(test)]
mod tests {
    use super::*;
    use nnrp_wire::Packet;

    const MOST: usize = 8 << 20;

    fn result(frame_id: u32, bytes: usize) -> EncodedPacket {
        let mut header = Header::new(MessageType::ResultPush);
        header.frame_id = frame_id;
        Packet::build(header, Bytes::new(), vec![0; bytes].into()).encode()
    }

    fn kept(frames: &[u32]) -> KeptResults {
        let mut kept = KeptResults::new(MOST);
        for id in frames {
            kept.received(FrameKey::new(*id));
        }
        kept
    }

    #[test]
    fn what_arrived_is_kept_only_behind_something_that_did_not() {
        let mut kept = kept(&[1, 2]);
        let [one, two, three] = [result(1, 1), result(2, 1), result(1, 1)].map(|packet| kept.sent(&packet));
        kept.delivered(two);
        assert!(kept.holds(two), "a result before it is missing");
        kept.delivered(one);
        assert!(!kept.holds(one) && !kept.holds(two) && kept.holds(three));
        kept.delivered(three);
        assert_eq!((kept.ring.len(), kept.bytes), (0, 0));
    }

    #[test]
    fn the_bound_forgets_the_oldest_and_never_the_newest() {
        let mut kept = kept(&[1]);
        let first = kept.sent(&result(1, 1000));
        let big = kept.sent(&result(1, 2 * MOST));
        assert!(!kept.holds(first) && kept.holds(big));
        for _ in 0..3 * MOST / 100_000 {
            kept.sent(&result(1, 100_000));
            assert!(kept.bytes <= MOST || kept.ring.len() == 1);
        }
    }

    #[test]
    fn one_result_says_that_those_before_it_arrived_only_if_it_was_the_first_of_its_frame() {
        let big = MOST / 2 - 1000;
        let sent = |first: u32| {
            let mut kept = kept(&[1, 2, 3]);
            for (id, bytes) in [(first, big), (3, 1), (2, 1), (2, 1)] {
                kept.sent(&result(id, bytes));
            }
            kept
        };
        let mut whole = sent(1);
        whole.ordered_up_to(2);
        assert_eq!(whole.ring.len(), 2, "frames 1 and 3 have arrived");
        // Of frame 2 the client may have only what is forgotten here.
        let mut cut = sent(2);
        cut.sent(&result(1, big));
        cut.sent(&result(1, 1000));
        assert!(cut.ring.iter().all(|kept| (kept.key.frame_id, kept.number) != (2, 1)));
        let left = cut.ring.len();
        cut.ordered_up_to(2);
        assert_eq!(cut.ring.len(), left);
        // Nor which view of it the client means.
        let mut views = kept(&[1]);
        let other = FrameKey { view_id: 1, frame_id: 2 };
        views.received(FrameKey::new(2));
        views.received(other);
        views.frames.insert(other, 1);
        views.sent(&result(1, 1));
        views.sent(&result(2, 1));
        views.ordered_up_to(2);
        assert_eq!(views.ring.len(), 2);
    }

    #[test]
    fn a_frame_is_never_taken_twice() {
        let mut kept = kept(&[1, 2, 5]);
        kept.switch(true);
        assert_eq!(kept.resume_from(), 6);
        assert_eq!(kept.judge(FrameKey::new(6)), Verdict::Take);
        assert_eq!(kept.judge(FrameKey::new(4)), Verdict::Take, "lost on the way");
        assert_eq!(kept.judge(FrameKey::new(5)), Verdict::Ignore);
        kept.switch(false);
        assert_eq!(kept.judge(FrameKey::new(4)), Verdict::Refuse);
    }

    #[test]
    fn behind_the_last_frame_id_there_is_none() {
        let mut kept = kept(&[u32::MAX]);
        kept.switch(true);
        assert_eq!((kept.resume_from(), kept.judge(FrameKey::new(u32::MAX))), (u32::MAX, Verdict::Ignore));
        kept.switch(false);
        assert_eq!(kept.judge(FrameKey::new(u32::MAX)), Verdict::Refuse);
    }

    #[test]
    fn memory_of_frames_is_bounded_and_what_is_forgotten_is_refused() {
        let mut kept = kept(&(1..=10_000).collect::<Vec<_>>());
        kept.switch(true);
        assert_eq!(kept.frames.len(), MAX_ROWS);
        assert_eq!(kept.judge(FrameKey::new(10_000 - 4095)), Verdict::Refuse);
        assert_eq!(kept.judge(FrameKey::new(9_000)), Verdict::Ignore);
    }
}
