//! When frames left, when their results were there, and the two lines a client prints about it.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::options::Options;

/// Every frame of every contender carries these bytes.
pub(crate) fn payload(size: usize) -> Bytes {
    let pattern: Vec<u8> = (1..=251).collect();
    let mut payload = pattern.repeat(size.div_ceil(pattern.len()));
    payload.truncate(size);
    payload.into()
}

/// Looks at what arrived: that it is as long as it should be, and begins and ends as it should.
pub(crate) fn looks_right(arrived: &[u8], sent: &[u8]) -> bool {
    arrived.len() == sent.len() && arrived.first() == sent.first() && arrived.last() == sent.last()
}

/// What all sessions of a client measure together.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Measured>);

#[derive(Debug)]
struct Measured {
    begin: Instant,
    end: Instant,
    stage: Stage,
    /// Results that have to be there before the warm-up is over: every place of every window was used once by then, and what a
    /// process needs for its first frames only, as fresh memory, is not measured.
    cold: usize,
    /// When the warm-up is over regardless.
    patience: Instant,
    /// Nanoseconds of each frame whose result came between `begin` and `end`; 4 s saturate.
    latencies: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    WarmUp,
    Measuring,
    Over,
}

/// Latencies there is room for from the start, so that growing costs no measured frame anything.
const EXPECTED_FRAMES: usize = 1 << 20;

/// How long a warm-up may go on beyond its time for the first results.
const WARM_UP_PATIENCE: Duration = Duration::from_secs(2);

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(86_400);

impl Recorder {
    /// Starts the clock of the warm-up.
    pub(crate) fn new(options: &Options) -> Self {
        let begin = Instant::now() + options.warm_up;
        let mut latencies = Vec::with_capacity(EXPECTED_FRAMES);
        // Its pages are there from now on, too.
        latencies.resize(EXPECTED_FRAMES, 1);
        latencies.clear();
        Recorder(Mutex::new(Measured {
            begin,
            end: begin + options.seconds,
            stage: Stage::WarmUp,
            cold: options.sessions * options.in_flight,
            patience: begin + WARM_UP_PATIENCE,
            latencies,
        }))
    }

    /// For sessions that go on until the others are done, and say nothing.
    pub(crate) fn silent(options: &Options) -> Self {
        let recorder = Recorder::new(&Options { warm_up: FOR_EVER, ..options.clone() });
        recorder.lock().latencies = Vec::new();
        recorder
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A result is there whose frame left at `sent`; whether to send another one.
    pub(crate) fn arrived(&self, sent: Instant) -> bool {
        let now = Instant::now();
        self.lock().arrived(sent, now)
    }
}

impl Measured {
    fn arrived(&mut self, sent: Instant, now: Instant) -> bool {
        self.cold = self.cold.saturating_sub(1);
        if self.stage == Stage::WarmUp && now >= self.begin && (self.cold == 0 || now >= self.patience) {
            (self.begin, self.end) = (now, self.end + (now - self.begin));
            self.stage = Stage::Measuring;
            say("{\"mark\": \"begin\"}");
            return true;
        }
        if self.stage == Stage::Measuring {
            self.latencies.push(u32::try_from((now - sent).as_nanos()).unwrap_or(u32::MAX));
            if now >= self.end {
                self.stage = Stage::Over;
                say("{\"mark\": \"end\"}");
                self.report(now - self.begin);
            }
        }
        self.stage != Stage::Over
    }

    fn report(&mut self, took: Duration) {
        let frames = self.latencies.len();
        let latencies = &mut self.latencies;
        latencies.sort_unstable();
        let at = |per_cent: usize| {
            let index = (frames * per_cent / 100).min(frames - 1);
            f64::from(latencies[index]) / 1000.0
        };
        say(&format!(
            "{{\"frames\": {frames}, \"seconds\": {:.6}, \"p50_us\": {:.2}, \"p99_us\": {:.2}, \
             \"max_us\": {:.2}}}",
            took.as_secs_f64(),
            at(50),
            at(99),
            at(100),
        ));
    }
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

/// When each frame of one session left, found by its number.
#[derive(Debug)]
pub(crate) struct Departures(Vec<Instant>);

/// A frame may be overtaken by this many times the frames in flight before its departure is forgotten.
const OVERTAKING: usize = 64;

impl Departures {
    /// For a session with `in_flight` frames at a time.
    pub(crate) fn new(in_flight: usize) -> Self {
        Departures(vec![Instant::now(); (in_flight * OVERTAKING).next_power_of_two()])
    }

    /// Frame `id` leaves now.
    pub(crate) fn note(&mut self, id: u32) {
        let slot = self.slot(id);
        self.0[slot] = Instant::now();
    }

    /// When frame `id` left.
    pub(crate) fn of(&self, id: u32) -> Instant {
        self.0[self.slot(id)]
    }

    fn slot(&self, id: u32) -> usize {
        id as usize & (self.0.len() - 1)
    }
}
