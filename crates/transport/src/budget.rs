//! How much may wait at once: a number of things, and bytes of them.
//!
//! What a pair of semaphores would do, for the way of every packet: taking is one atomic step for both, and so is giving back.
//! Only who finds no room waits in a line, one for things and one for bytes; nobody overtakes those in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify};

/// Bits of a number of bytes. A terabyte is more than anybody has; things have the rest of a word.
const BYTE_BITS: u32 = 40;

/// The largest number of bytes.
const MAX_BYTES: u64 = (1 << BYTE_BITS) - 1;

/// So many things, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount(u64);

impl Amount {
    /// One thing whose bytes are not known yet, or counted elsewhere.
    pub(crate) const ONE: Amount = Amount(1 << BYTE_BITS);

    /// Bytes of something that is counted already.
    pub(crate) fn bytes(bytes: usize) -> Self {
        Amount(u64::try_from(bytes).unwrap_or(u64::MAX).min(MAX_BYTES))
    }

    /// One thing of so many bytes.
    pub(crate) fn one_of(bytes: usize) -> Self {
        Amount(Self::ONE.0 | Self::bytes(bytes).0)
    }

    fn with(self, other: Amount) -> Amount {
        let bytes = (self.bytes_part() + other.bytes_part()).min(MAX_BYTES);
        Amount((self.things_part() + other.things_part()) << BYTE_BITS | bytes)
    }

    fn without(self, other: Amount) -> Amount {
        let things = self.things_part().saturating_sub(other.things_part());
        Amount(things << BYTE_BITS | self.bytes_part().saturating_sub(other.bytes_part()))
    }

    fn things_part(self) -> u64 {
        self.0 >> BYTE_BITS
    }

    fn bytes_part(self) -> u64 {
        self.0 & MAX_BYTES
    }
}

/// Room for so many things, and so many bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    /// An [`Amount`].
    used: AtomicU64,
    things: u64,
    bytes: AtomicU64,
    for_things: Line,
    for_bytes: Line,
}

/// Those who wait, in the order they came.
#[derive(Debug, Default)]
struct Line {
    length: AtomicUsize,
    first: Mutex<()>,
    /// There may be room for the first.
    freed: Notify,
}

/// A place in it.
struct Place<'a>(&'a Line);

impl Line {
    fn join(&self) -> Place<'_> {
        self.length.fetch_add(1, Ordering::SeqCst);
        Place(self)
    }

    fn is_empty(&self) -> bool {
        self.length.load(Ordering::SeqCst) == 0
    }

    fn call_first(&self) {
        if !self.is_empty() {
            self.freed.notify_one();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Budget {
    /// Room for `things` (less than 2^23 of them), with `bytes` in all.
    pub(crate) fn new(things: usize, bytes: usize) -> Self {
        Budget {
            used: AtomicU64::new(0),
            things: things as u64,
            bytes: AtomicU64::new(Amount::bytes(bytes).0),
            for_things: Line::default(),
            for_bytes: Line::default(),
        }
    }

    /// From now on there is room for so many bytes. What is there stays.
    pub(crate) fn set_bytes(&self, bytes: usize) {
        self.bytes.store(Amount::bytes(bytes).0, Ordering::SeqCst);
        self.for_bytes.call_first();
    }

    /// Bytes taken.
    pub(crate) fn used_bytes(&self) -> usize {
        usize::try_from(Amount(self.used.load(Ordering::SeqCst)).bytes_part()).unwrap_or(usize::MAX)
    }

    /// Takes `amount`, if there is room and nobody waits for it. Larger than all of the budget, it fits when there are no other
    /// bytes: none waits for more than there can ever be.
    pub(crate) fn take_now(&self, amount: Amount) -> bool {
        let waited_for = amount.things_part() > 0 && !self.for_things.is_empty()
            || amount.bytes_part() > 0 && !self.for_bytes.is_empty();
        !waited_for && self.add(amount)
    }

    fn add(&self, amount: Amount) -> bool {
        let total = self.bytes.load(Ordering::SeqCst);
        let more = |used: u64| {
            let (before, after) = (Amount(used), used.checked_add(amount.0)?);
            let fits = before.bytes_part() == 0 || before.bytes_part() + amount.bytes_part() <= total;
            let fits = fits || amount.bytes_part() == 0;
            (fits && Amount(after).things_part() <= self.things).then_some(after)
        };
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Waits until there is room for `amount`, which is of things or of bytes, and takes it. Cancel-safe: nothing is taken then.
    pub(crate) async fn take(&self, amount: Amount) {
        if self.take_now(amount) {
            return;
        }
        let line = if amount.things_part() > 0 { &self.for_things } else { &self.for_bytes };
        let _place = line.join();
        let _first = line.first.lock().await;
        loop {
            let freed = line.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.add(amount) {
                return;
            }
            freed.await;
        }
    }

    /// Gives back what was taken; never more than there is.
    pub(crate) fn give_back(&self, amount: Amount) {
        let less = |used| Some(Amount(used).without(amount).0);
        let _ = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        // Who joins a line looks for room after that: either sees the other.
        if amount.things_part() > 0 {
            self.for_things.call_first();
        }
        if amount.bytes_part() > 0 {
            self.for_bytes.call_first();
        }
    }
}

/// What was taken of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Budget>,
    amount: Amount,
}

impl Share {
    /// See [`Budget::take_now`].
    pub(crate) fn take_now(of: &Arc<Budget>, amount: Amount) -> Option<Self> {
        of.take_now(amount).then(|| Share { of: of.clone(), amount })
    }

    /// Takes more, if it is of that budget and there is room.
    pub(crate) fn grow_now(&mut self, of: &Arc<Budget>, amount: Amount) -> bool {
        let grows = Arc::ptr_eq(&self.of, of) && of.take_now(amount);
        if grows {
            self.amount = self.amount.with(amount);
        }
        grows
    }

    /// See [`Budget::take`].
    pub(crate) async fn take(of: &Arc<Budget>, amount: Amount) -> Self {
        of.take(amount).await;
        Share { of: of.clone(), amount }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use futures_util::FutureExt;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn there_is_room_for_so_many_things_and_so_many_bytes() {
        let budget = Arc::new(Budget::new(2, 100));
        let first = Share::take_now(&budget, Amount::one_of(60)).unwrap();
        assert!(Share::take_now(&budget, Amount::one_of(41)).is_none(), "too many bytes");
        assert!(!budget.take_now(Amount::bytes(41)));
        let second = Share::take_now(&budget, Amount::one_of(40)).unwrap();
        assert!(Share::take_now(&budget, Amount::ONE).is_none(), "too many things");
        assert!(budget.take_now(Amount::bytes(0)), "nothing always fits");
        assert_eq!(budget.used_bytes(), 100);
        drop(first);
        assert!(Share::take_now(&budget, Amount::one_of(61)).is_none());
        assert!(Share::take_now(&budget, Amount::ONE).is_some());
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.take_now(Amount::one_of(30)));
        budget.give_back(Amount::bytes(70));
        assert_eq!(budget.used_bytes(), 0, "what is given back twice is not owed");
        assert!(budget.take_now(Amount::ONE));
        assert!(!budget.take_now(Amount::ONE));
    }

    #[test]
    fn what_is_larger_than_the_budget_fits_alone() {
        let budget = Arc::new(Budget::new(10, 100));
        let small = Share::take_now(&budget, Amount::one_of(1)).unwrap();
        assert!(Share::take_now(&budget, Amount::one_of(1000)).is_none());
        drop(small);
        let large = Share::take_now(&budget, Amount::one_of(1000)).unwrap();
        assert!(Share::take_now(&budget, Amount::one_of(1)).is_none());
        assert!(Share::take_now(&budget, Amount::ONE).is_some(), "it has no bytes");
        drop(large);
        budget.set_bytes(0);
        assert!(Share::take_now(&budget, Amount::one_of(1)).is_some());
    }

    #[test]
    fn a_share_grows_where_it_was_taken_and_gives_back_all_of_it() {
        let (budget, other) = (Arc::new(Budget::new(2, 100)), Arc::new(Budget::new(2, 100)));
        let mut share = Share::take_now(&budget, Amount::ONE).unwrap();
        assert!(!share.grow_now(&other, Amount::bytes(10)), "it is not of that one");
        assert!(share.grow_now(&budget, Amount::bytes(60)));
        assert!(!share.grow_now(&budget, Amount::bytes(41)), "there is no room");
        assert_eq!((budget.used_bytes(), other.used_bytes()), (60, 0));
        drop(share);
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.take_now(Amount(2 << BYTE_BITS)), "and the thing");
    }

    #[tokio::test]
    async fn nobody_overtakes_those_who_wait() {
        let budget = Arc::new(Budget::new(10, 100));
        let most = Share::take_now(&budget, Amount::one_of(90)).unwrap();
        let mut large = Box::pin(Share::take(&budget, Amount::bytes(50)));
        assert!((&mut large).now_or_never().is_none());
        let mut small = Box::pin(Share::take(&budget, Amount::bytes(5)));
        assert!((&mut small).now_or_never().is_none(), "there is room, but not for the first");
        assert!(!budget.take_now(Amount::one_of(5)));
        assert!(budget.take_now(Amount::ONE), "things are another line");
        drop(most);
        let large = tokio::time::timeout(PATIENCE, large).await.unwrap();
        let small = tokio::time::timeout(PATIENCE, small).await.unwrap();
        assert_eq!(budget.used_bytes(), 55);
        drop((large, small));
        assert!(budget.take_now(Amount::one_of(5)));
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_line() {
        let budget = Arc::new(Budget::new(1, 100));
        let taken = Share::take_now(&budget, Amount::ONE).unwrap();
        let mut first = Box::pin(Share::take(&budget, Amount::ONE));
        let mut second = Box::pin(Share::take(&budget, Amount::ONE));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(taken);
        // It was called, and does not come.
        drop(first);
        let second = tokio::time::timeout(PATIENCE, second).await.unwrap();
        drop(second);
        assert!(budget.take_now(Amount::ONE), "the line is empty");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_is_lost_between_threads() {
        const ROUNDS: usize = 20_000;
        let budget = Arc::new(Budget::new(1, 10));
        let tasks = [0, 1, 2].map(|_| {
            let budget = budget.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    drop(Share::take(&budget, Amount::ONE).await);
                }
            })
        });
        for task in tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("a call was lost").unwrap();
        }
    }
}
