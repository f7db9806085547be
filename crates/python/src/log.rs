//! What the native side has to say, in Python's `logging`.
//!
//! Events go into a bounded queue, and one thread of its own hands them to Python: the network threads never take the
//! interpreter's lock, and a slow log handler never holds up a packet.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::runtime::{epoch, lock};

/// Events that wait for the thread; what comes when it is full is not logged. Enough for every connection of a busy
/// listener to fail at once.
const MAX_WAITING: usize = 1024;

static WAITING: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());
static ARRIVED: Condvar = Condvar::new();
/// The fork count of the process whose thread hands lines over; `u32::MAX` before there is one.
static THREAD_OF: Mutex<u32> = Mutex::new(u32::MAX);
static CLOSED: AtomicBool = AtomicBool::new(false);
/// The lowest of Python's levels that is worth queueing.
static LOWEST: AtomicU8 = AtomicU8::new(u8::MAX);

struct Line {
    logger: &'static str,
    level: u8,
    text: String,
}

/// The level of `logging` that means the same.
fn python_level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

/// The logger for events of a module, `None` for other people's modules.
fn logger(target: &str) -> Option<&'static str> {
    match target.split("::").collect::<Vec<_>>().as_slice() {
        ["nnrp", "client", ..] => Some("nnrp.client"),
        ["nnrp", ..] => Some("nnrp.server"),
        ["nnrp_transport" | "nnrp_session", ..] => Some("nnrp.transport"),
        _ => None,
    }
}

/// Takes events and ignores spans.
struct Forwarder;

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && python_level(*metadata.level()) >= LOWEST.load(Ordering::Relaxed)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let Some(logger) = logger(metadata.target()) else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let line = Line { logger, level: python_level(*metadata.level()), text: text.finish() };
        let mut waiting = lock(&WAITING);
        if waiting.len() < MAX_WAITING {
            waiting.push_back(line);
        }
        drop(waiting);
        ARRIVED.notify_one();
        ensure_thread();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event as one line: its message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        self.message
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, ", {} {value:?}", field.name())
        };
    }
}

/// Starts the thread, once in each process.
fn ensure_thread() {
    let mut owner = lock(&THREAD_OF);
    if *owner == epoch() || CLOSED.load(Ordering::Relaxed) {
        return;
    }
    if std::thread::Builder::new().name("nnrp-log".to_owned()).spawn(hand_over).is_ok() {
        *owner = epoch();
    }
}

/// The thread: ends with the interpreter.
fn hand_over() {
    loop {
        let mut waiting = lock(&WAITING);
        while waiting.is_empty() {
            waiting = ARRIVED.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        drop(waiting);
        if Python::try_attach(write_waiting).is_none() || CLOSED.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Gives the lines that wait to `logging`. A handler that fails has nobody to tell.
fn write_waiting(py: Python<'_>) {
    static GET_LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let lines = std::mem::take(&mut *lock(&WAITING));
    for line in lines {
        let written = GET_LOGGER
            .import(py, "logging", "getLogger")
            .and_then(|get_logger| get_logger.call1((line.logger,)))
            .and_then(|logger| logger.call_method1(intern!(py, "log"), (line.level, "%s", line.text)));
        if let Err(error) = written {
            error.write_unraisable(py, None);
        }
    }
}

/// Reads the level that `logging` is set to; called when the runtime starts.
pub(crate) fn read_level(py: Python<'_>) {
    let level = py
        .import("logging")
        .and_then(|logging| logging.call_method1("getLogger", ("nnrp",)))
        .and_then(|logger| logger.call_method0("getEffectiveLevel"))
        .and_then(|level| level.extract::<u64>());
    let lowest = level.ok().and_then(|level| u8::try_from(level).ok()).unwrap_or(u8::MAX);
    LOWEST.store(lowest, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Begins to forward events.
pub(crate) fn install() {
    // Another default would have to be set inside this very library, which nobody does.
    let _ = tracing::subscriber::set_global_default(Forwarder);
}

/// Writes what is left; the interpreter is about to go.
pub(crate) fn close(py: Python<'_>) {
    CLOSED.store(true, Ordering::Relaxed);
    write_waiting(py);
}
