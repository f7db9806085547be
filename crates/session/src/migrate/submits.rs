//! What a client keeps of a session that may move to another path: submits the server may not have, and how many results
//! of each frame have arrived.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nnrp_wire::EncodedPacket;

use super::KEPT_OVERHEAD;
use super::table::{MAX_ROWS, Table};
use crate::FrameKey;

/// Frames whose results are counted: twice as many as the server remembers, because the two forget in different orders.
const MAX_COUNTED: usize = 2 * MAX_ROWS;

/// Submits without an answer, and results counted.
#[derive(Debug)]
pub(crate) struct KeptSubmits {
    /// Bytes that are kept at most; the newest submit is, whatever it takes.
    most: usize,
    /// By frame id, then view: the order of submitting them again.
    submits: BTreeMap<(u32, u16), EncodedPacket>,
    bytes: usize,
    received: HashMap<FrameKey, u64>,
    /// The same frames, oldest first.
    counted: VecDeque<FrameKey>,
    /// Since the last migration: for each frame the server knew, the number of the first result the new path brings,
    /// and how many it has brought.
    switch: Option<HashMap<FrameKey, Brought>>,
    /// The number of the next result of each frame on the path that was left; 1 for frames that are not here. Not the
    /// number handed out: that path may still be repeating what an earlier one had lost.
    late: HashMap<FrameKey, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Brought {
    first: u64,
    count: u64,
}

/// What to do with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The next one of its frame.
    Take,
    /// It has been handed out.
    Ignore,
    /// One or more before it are lost.
    Gap,
}

fn cost(packet: &EncodedPacket) -> usize {
    packet.len() + KEPT_OVERHEAD
}

impl KeptSubmits {
    pub(crate) fn new(most: usize) -> Self {
        KeptSubmits {
            most,
            submits: BTreeMap::new(),
            bytes: 0,
            received: HashMap::new(),
            counted: VecDeque::new(),
            switch: None,
            late: HashMap::new(),
        }
    }

    /// A submit goes out.
    pub(crate) fn sent(&mut self, packet: &EncodedPacket) {
        let header = packet.header();
        self.bytes += cost(packet);
        if let Some(old) = self.submits.insert((header.frame_id, header.view_id), packet.clone()) {
            self.bytes -= cost(&old);
        }
        while self.bytes > self.most && self.submits.len() > 1 {
            if let Some((_, old)) = self.submits.pop_first() {
                self.bytes -= cost(&old);
            }
        }
    }

    /// The server has it, or it does not matter any more.
    pub(crate) fn settled(&mut self, key: FrameKey) {
        if let Some(old) = self.submits.remove(&(key.frame_id, key.view_id)) {
            self.bytes -= cost(&old);
        }
    }

    pub(crate) fn holds(&self, key: FrameKey) -> bool {
        self.submits.contains_key(&(key.frame_id, key.view_id))
    }

    fn count(&mut self, key: FrameKey) {
        if let Some(count) = self.received.get_mut(&key) {
            *count += 1;
            return;
        }
        self.received.insert(key, 1);
        self.counted.push_back(key);
        if self.counted.len() > MAX_COUNTED
            && let Some(old) = self.counted.pop_front()
        {
            self.received.remove(&old);
        }
    }

    /// A result or drop arrived on the path in use, of a frame that is `live` or not.
    pub(crate) fn arrived(&mut self, key: FrameKey, live: bool) -> Verdict {
        self.settled(key);
        let handed_out = self.received.get(&key).copied();
        if let Some(brought) = self.switch.as_mut().and_then(|switch| switch.get_mut(&key)) {
            let number = brought.first + brought.count;
            brought.count += 1;
            let expected = match handed_out {
                Some(count) => count + 1,
                None if live => 1,
                // So long over that it is forgotten.
                None => return Verdict::Ignore,
            };
            if number < expected {
                return Verdict::Ignore;
            }
            if number > expected {
                return Verdict::Gap;
            }
        }
        self.count(key);
        Verdict::Take
    }

    /// The same on the path the session has left: only what the new one will not bring is taken.
    pub(crate) fn arrived_late(&mut self, key: FrameKey) -> Verdict {
        let next = self.late.entry(key).or_insert(1);
        let number = *next;
        *next += 1;
        // A server that says nothing repeats nothing.
        if let Some(switch) = &self.switch {
            let expected = self.received.get(&key).copied().unwrap_or(0) + 1;
            if number < expected || switch.get(&key).is_some_and(|brought| number >= brought.first) {
                return Verdict::Ignore;
            }
            if number > expected {
                return Verdict::Gap;
            }
        }
        self.settled(key);
        self.count(key);
        Verdict::Take
    }

    /// The session has moved. Returns what to submit again, in order of frame ids.
    pub(crate) fn switch(&mut self, resume_from: u32, table: Option<Table>) -> Vec<EncodedPacket> {
        let arrived = |key: &FrameKey| match &table {
            Some(table) => table.contains_key(key),
            None => key.frame_id < resume_from,
        };
        self.submits.retain(|(frame_id, view_id), packet| {
            let missing = !arrived(&FrameKey { frame_id: *frame_id, view_id: *view_id });
            if !missing {
                self.bytes -= cost(packet);
            }
            missing
        });
        let before = self.switch.take().unwrap_or_default();
        self.late = self.received.iter().map(|(key, count)| (*key, count + 1)).collect();
        self.late.extend(before.into_iter().map(|(key, brought)| (key, brought.first + brought.count)));
        self.switch = table
            .map(|table| table.into_iter().map(|(key, first)| (key, Brought { first, count: 0 })).collect());
        self.submits.values().cloned().collect()
    }

    /// Whether the path that was left has results of this frame still to bring: the one in use begins behind them.
    pub(crate) fn is_short_of(&self, key: FrameKey) -> bool {
        let received = self.received.get(&key).copied().unwrap_or(0);
        let brought = self.switch.as_ref().and_then(|switch| switch.get(&key));
        brought.is_some_and(|brought| brought.first + brought.count > received + 1)
    }

    /// Whether the server knew this frame when the session moved.
    pub(crate) fn server_knew(&self, key: FrameKey) -> bool {
        self.switch.as_ref().is_some_and(|switch| switch.contains_key(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use nnrp_wire::{Header, MessageType, Packet};

    const MOST: usize = 8 << 20;
    const KEY: FrameKey = FrameKey { view_id: 0, frame_id: 1 };

    fn submit(frame_id: u32, bytes: usize) -> EncodedPacket {
        let mut header = Header::new(MessageType::FrameSubmit);
        header.frame_id = frame_id;
        Packet::build(header, Bytes::new(), vec![0; bytes].into()).encode()
    }

    #[test]
    fn repeated_results_are_counted_and_not_handed_out() {
        let mut kept = KeptSubmits::new(MOST);
        assert_eq!([kept.arrived(KEY, true), kept.arrived(KEY, true)], [Verdict::Take; 2]);
        kept.switch(2, Some([(KEY, 1)].into()));
        assert_eq!([kept.arrived(KEY, true), kept.arrived(KEY, true)], [Verdict::Ignore; 2]);
        assert_eq!(kept.arrived(KEY, true), Verdict::Take);
        assert_eq!(kept.arrived_late(KEY), Verdict::Ignore);
    }

    #[test]
    fn the_old_path_brings_what_the_new_one_does_not() {
        let mut kept = KeptSubmits::new(MOST);
        kept.switch(2, Some([(KEY, 3)].into()));
        assert_eq!([kept.arrived_late(KEY), kept.arrived_late(KEY)], [Verdict::Take; 2]);
        assert_eq!(kept.arrived_late(KEY), Verdict::Ignore);
        assert_eq!(kept.arrived(KEY, true), Verdict::Take);
    }

    #[test]
    fn a_path_that_was_left_while_it_repeated_things_brings_none_of_them_twice() {
        let mut kept = KeptSubmits::new(MOST);
        assert_eq!([kept.arrived(KEY, true), kept.arrived(KEY, true)], [Verdict::Take; 2]);
        kept.switch(2, Some([(KEY, 1)].into()));
        assert_eq!(kept.arrived(KEY, true), Verdict::Ignore);
        // It has the second to repeat, and a third of its own, which the next path does not repeat.
        kept.switch(2, Some([(KEY, 4)].into()));
        assert_eq!([kept.arrived_late(KEY), kept.arrived_late(KEY)], [Verdict::Ignore, Verdict::Take]);
        assert_eq!(kept.arrived_late(KEY), Verdict::Ignore);
        assert_eq!(kept.arrived(KEY, true), Verdict::Take);
    }

    #[test]
    fn a_result_that_nobody_kept_is_noticed() {
        let mut kept = KeptSubmits::new(MOST);
        kept.switch(2, Some([(KEY, 3)].into()));
        assert_eq!(kept.arrived(KEY, true), Verdict::Gap);
    }

    #[test]
    fn submits_the_server_lacks_are_repeated_in_order() {
        let mut kept = KeptSubmits::new(MOST);
        for id in [1, 2, 4, 3, 5] {
            kept.sent(&submit(id, 1));
        }
        kept.settled(FrameKey::new(1));
        let ids =
            |packets: Vec<EncodedPacket>| packets.iter().map(|p| p.header().frame_id).collect::<Vec<_>>();
        let table = [(FrameKey::new(2), 1), (FrameKey::new(4), 1)].into();
        assert_eq!(ids(kept.switch(5, Some(table))), [3, 5]);
        assert_eq!(ids(kept.switch(5, None)), [5], "a server that says nothing has all below");
    }

    #[test]
    fn kept_submits_are_bounded() {
        let mut kept = KeptSubmits::new(MOST);
        for id in 1..200 {
            kept.sent(&submit(id, 100_000));
        }
        assert!(kept.bytes <= MOST && !kept.holds(FrameKey::new(1)) && kept.holds(FrameKey::new(199)));
    }
}
