//! How long frames take, in buckets that double.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// The first bucket ends here. Nothing that crosses a network and a model is faster in a way that matters.
const FIRST_MICROS: u64 = 64;

/// Buckets with an end, the last at 67 s: a frame that takes longer has long been given up. Each is twice as wide as the one
/// before it, so a quantile is known within a factor of two everywhere, for 21 counters.
const BOUNDED: usize = 21;

/// How long frames took, counted in buckets that double. Recording is a subtraction and two additions, so it is always on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The last one has no end.
    buckets: [u64; BOUNDED + 1],
    sum_micros: u64,
}

impl Latency {
    /// Counts a frame that began at `since` and was answered at `now`.
    pub(crate) fn record(&mut self, since: Instant, now: Instant) {
        let micros = u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX);
        self.sum_micros = self.sum_micros.saturating_add(micros);
        // A bucket holds what is at most its end: 64 µs are in the first, 65 in the second.
        let doublings = micros.div_ceil(FIRST_MICROS).max(1).next_power_of_two().trailing_zeros();
        let bucket = usize::try_from(doublings).unwrap_or(BOUNDED).min(BOUNDED);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Each bucket: its end, which belongs to it, and how many frames are in it and in none before. The last one has no end.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + use<> {
        self.buckets.into_iter().enumerate().map(|(at, count)| (end(at), count))
    }

    /// Frames counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time of all of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// The end of the bucket in which the given share of the frames is complete, from 0 to 1: at most twice the true value.
    /// `None` without frames, and when the share is only complete beyond the last end.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let mut seen = 0;
        let count = self.count();
        let (end, _) = self.buckets().find(|(_, frames)| {
            seen += frames;
            // Counts are far below 2^52, where this is exact.
            #[expect(clippy::cast_precision_loss)]
            let complete = seen > 0 && seen as f64 >= share * count as f64;
            complete
        })?;
        end
    }

    /// The higher one of each counter.
    pub(crate) fn max(mut self, other: Latency) -> Latency {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own = other.max(*own);
        }
        self.sum_micros = self.sum_micros.max(other.sum_micros);
        self
    }
}

/// Where a bucket ends.
fn end(at: usize) -> Option<Duration> {
    (at < BOUNDED).then(|| Duration::from_micros(FIRST_MICROS << at))
}

impl AddAssign for Latency {
    fn add_assign(&mut self, other: Latency) {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "only differences matter")]
    fn began() -> Instant {
        Instant::now()
    }

    fn of(micros: &[u64]) -> Latency {
        let began = began();
        let mut latency = Latency::default();
        for micros in micros {
            latency.record(began, began + Duration::from_micros(*micros));
        }
        latency
    }

    /// In which bucket a single frame is.
    fn bucket(micros: u64) -> Option<Duration> {
        of(&[micros]).buckets().find(|(_, count)| *count == 1).and_then(|(end, _)| end)
    }

    #[test]
    fn a_bucket_holds_its_end_and_not_that_of_the_one_before() {
        let micros = |micros| Some(Duration::from_micros(micros));
        assert_eq!(bucket(0), micros(64));
        assert_eq!(bucket(64), micros(64));
        assert_eq!(bucket(65), micros(128));
        assert_eq!(bucket(128), micros(128));
        assert_eq!(bucket(129), micros(256));
        assert_eq!(bucket(64 << 20), micros(64 << 20));
        assert_eq!(bucket((64 << 20) + 1), None);
        assert_eq!(bucket(u64::MAX >> 20), None);
    }

    #[test]
    fn time_that_runs_backwards_counts_as_none() {
        let now = began();
        let mut latency = Latency::default();
        latency.record(now + Duration::from_secs(1), now);
        assert_eq!((latency.count(), latency.sum()), (1, Duration::ZERO));
    }

    #[test]
    fn quantiles_are_ends_of_buckets() {
        assert_eq!(of(&[]).quantile(0.5), None);
        let latency = of(&[10, 100, 100, 1000, 100_000_000]);
        assert_eq!(latency.quantile(0.0), Some(Duration::from_micros(64)));
        assert_eq!(latency.quantile(0.5), Some(Duration::from_micros(128)));
        assert_eq!(latency.quantile(0.8), Some(Duration::from_micros(1024)));
        assert_eq!(latency.quantile(1.0), None, "beyond the last end");
    }

    #[test]
    fn two_of_them_add_up() {
        let mut both = of(&[10, 100]);
        both += of(&[100, 5000]);
        assert_eq!(both, of(&[10, 100, 100, 5000]));
        assert_eq!((both.count(), both.sum()), (4, Duration::from_micros(5210)));
        assert_eq!(both.max(of(&[10])), Latency { sum_micros: 5210, ..both });
    }
}
