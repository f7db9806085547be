//! Results of one frame in the order they were sent, though each has a QUIC stream of its own.
//!
//! The peer numbers its streams in the order of sending. A finished packet waits only for streams with a lower
//! number that carry the *same* frame; a stream whose header has not arrived might, so it is waited for too, but
//! not longer than [`ORDER_PATIENCE`]. Other frames never wait for each other.

use std::collections::BTreeMap;
use std::time::Duration;

use nnrp_session::FrameKey;

/// How long a stream without a header may hold back its successors. Longer than a bad path takes to repeat what was lost
/// several times in a row, and than a phone takes to change networks: giving up hands out the results of one frame with a
/// gap or out of order. Only a peer that opens streams and sends nothing makes anybody wait for it.
pub const ORDER_PATIENCE: Duration = Duration::from_secs(10);

/// The streams that are open or hold a packet back, each packet with whatever `T` belongs to it.
#[derive(Debug)]
pub struct Order<T>(BTreeMap<u64, Slot<T>>);

impl<T> Default for Order<T> {
    fn default() -> Self {
        Order(BTreeMap::new())
    }
}

#[derive(Debug)]
enum Slot<T> {
    /// No header yet.
    Unknown,
    /// The header named this frame.
    Receiving(FrameKey),
    /// Complete, held back. Normally one packet; a peer that sends more on one stream gets them all delivered.
    Complete(FrameKey, Vec<T>),
}

impl<T> Order<T> {
    /// A stream was opened.
    pub fn opened(&mut self, stream: u64) {
        self.0.insert(stream, Slot::Unknown);
    }

    /// A stream's header names its frame.
    pub fn named(&mut self, stream: u64, key: FrameKey) -> Vec<(u64, T)> {
        let slot = self.0.entry(stream).or_insert(Slot::Unknown);
        if !matches!(slot, Slot::Complete(..)) {
            *slot = Slot::Receiving(key);
        }
        self.release()
    }

    /// Whether a packet of frame `key`, on a stream opened after all of these, has nothing to wait for.
    pub fn lets_pass(&self, key: FrameKey) -> bool {
        self.0.values().all(|slot| match slot {
            Slot::Unknown => false,
            Slot::Receiving(other) | Slot::Complete(other, _) => *other != key,
        })
    }

    /// A stream's packet, of frame `key`, is complete.
    pub fn completed(&mut self, stream: u64, key: FrameKey, packet: T) -> Vec<(u64, T)> {
        match self.0.entry(stream).or_insert(Slot::Unknown) {
            Slot::Complete(_, held) => held.push(packet),
            slot => *slot = Slot::Complete(key, vec![packet]),
        }
        self.release()
    }

    /// A stream ended, or has been silent for too long, and brings nothing more to wait for.
    pub fn gave_up(&mut self, stream: u64) -> Vec<(u64, T)> {
        if !matches!(self.0.get(&stream), Some(Slot::Complete(..))) {
            self.0.remove(&stream);
        }
        self.release()
    }

    /// Nothing more is waited for that has not even begun to arrive.
    pub fn forget_unknown(&mut self) -> Vec<(u64, T)> {
        self.0.retain(|_, slot| !matches!(slot, Slot::Unknown));
        self.release()
    }

    /// Whether a stream holds back packets that have arrived: it must not wait for room that they occupy.
    pub fn holds_back(&self, stream: u64, key: FrameKey) -> bool {
        // Only the first of its frame: were every one excused, the bound would be none.
        let first = self.0.range(..stream).all(|(_, slot)| match slot {
            Slot::Unknown => false,
            Slot::Receiving(other) | Slot::Complete(other, _) => *other != key,
        });
        first
            && self
                .0
                .range(stream + 1..)
                .any(|(_, slot)| matches!(slot, Slot::Complete(other, _) if *other == key))
    }

    /// Takes out, in order, every packet nothing stands in front of.
    fn release(&mut self) -> Vec<(u64, T)> {
        let mut busy: Vec<FrameKey> = Vec::new();
        let mut ready = Vec::new();
        for (stream, slot) in &self.0 {
            match slot {
                Slot::Unknown => break,
                Slot::Receiving(key) => busy.push(*key),
                Slot::Complete(key, _) if busy.contains(key) => {}
                Slot::Complete(..) => ready.push(*stream),
            }
        }
        ready
            .into_iter()
            .flat_map(|stream| match self.0.remove(&stream) {
                Some(Slot::Complete(_, held)) => {
                    held.into_iter().map(|packet| (stream, packet)).collect::<Vec<_>>()
                }
                _ => Vec::new(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(released: Vec<(u64, ())>) -> Vec<u64> {
        released.into_iter().map(|(stream, ..)| stream).collect()
    }

    #[test]
    fn one_frame_keeps_its_order_and_others_do_not_wait() {
        let mut order = Order::default();
        for stream in [3, 7, 11] {
            order.opened(stream);
        }
        order.named(3, FrameKey::new(1));
        order.named(7, FrameKey::new(2));
        order.named(11, FrameKey::new(1));
        assert!(ids(order.completed(11, FrameKey::new(1), ())).is_empty());
        assert_eq!(ids(order.completed(7, FrameKey::new(2), ())), [7]);
        assert_eq!(ids(order.completed(3, FrameKey::new(1), ())), [3, 11]);
    }

    #[test]
    fn the_end_of_a_stream_does_not_lose_what_it_brought() {
        let mut order = Order::default();
        for stream in [3, 7] {
            order.opened(stream);
            order.named(stream, FrameKey::new(1));
        }
        assert!(ids(order.completed(7, FrameKey::new(1), ())).is_empty());
        assert!(ids(order.gave_up(7)).is_empty());
        assert_eq!(ids(order.gave_up(3)), [7]);
    }

    #[test]
    fn an_unknown_stream_is_waited_for_until_it_is_given_up() {
        let mut order = Order::default();
        order.opened(3);
        order.opened(7);
        order.named(7, FrameKey::new(1));
        assert!(ids(order.completed(7, FrameKey::new(1), ())).is_empty());
        assert_eq!(ids(order.gave_up(3)), [7]);
    }

    #[test]
    fn a_new_stream_passes_others_unless_they_carry_its_frame_or_nobody_knows() {
        let (one, two) = (FrameKey::new(1), FrameKey::new(2));
        let mut order = Order::default();
        assert!(order.lets_pass(one));
        order.named(3, one);
        assert!(!order.lets_pass(one), "that one was sent first");
        assert!(order.lets_pass(two));
        order.opened(7);
        assert!(!order.lets_pass(two), "it may be what was sent first");
        assert!(order.completed(11, two, ()).is_empty());
        order.gave_up(3);
        assert_eq!(ids(order.gave_up(7)), [11]);
        assert!(order.lets_pass(one) && order.lets_pass(two));
    }
}
