//! What the native side has to say, in Python's `logging`.
//!
//! Events go into a bounded queue, and one thread of its own hands them to Python: the network threads never take the
//! interpreter's lock, and a slow log handler never holds up a packet.

mod queue;

use std::fmt::{Debug, Write};
use std::iter;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use self::queue::Queue;
use crate::threads;

/// How long a change of a logger's level may take to reach the network threads. `logging` tells nobody of it, and asking
/// takes some microseconds.
const LEVEL_CHECK: Duration = Duration::from_secs(1);

/// Where an event goes.
#[derive(Clone, Copy)]
enum Logger {
    Client,
    Server,
    Transport,
}

const LOGGERS: [(Logger, &str); 3] =
    [(Logger::Client, "nnrp.client"), (Logger::Server, "nnrp.server"), (Logger::Transport, "nnrp.transport")];

/// The lowest of Python's levels that each logger lets through.
static LOWEST: [AtomicU8; LOGGERS.len()] = [const { AtomicU8::new(u8::MAX) }; LOGGERS.len()];

impl Logger {
    /// The one for events of a module, `None` for other people's modules.
    fn of(target: &str) -> Option<Logger> {
        let mut path = target.split("::");
        match (path.next(), path.next()) {
            (Some("nnrp"), Some("client" | "credit")) => Some(Logger::Client),
            (Some("nnrp"), _) => Some(Logger::Server),
            (Some("nnrp_transport" | "nnrp_session"), _) => Some(Logger::Transport),
            _ => None,
        }
    }

    fn lets_through(self, level: Level) -> bool {
        python_level(level) >= LOWEST[self as usize].load(Ordering::Relaxed)
    }
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

/// Takes events and ignores spans.
struct Forwarder;

impl Subscriber for Forwarder {
    // Asked once for each place that logs, and again when a level changes: in between, one that is off costs the
    // network threads a look at one atomic.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && Logger::of(metadata.target()).is_some_and(|logger| logger.lets_through(*metadata.level()))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let Some(logger) = Logger::of(metadata.target()) else { return };
        let queue = Queue::ours();
        if queue.loses_one() {
            return;
        }
        let mut line = Line::new(logger, python_level(*metadata.level()));
        event.record(&mut line);
        queue.push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event: its message, then its fields, and what it is about.
struct Line {
    logger: Logger,
    level: u8,
    message: String,
    fields: String,
    session_id: Option<u64>,
    frame_id: Option<u64>,
    view_id: Option<u64>,
    trace_id: Option<u64>,
    peer: Option<String>,
}

impl Line {
    fn new(logger: Logger, level: u8) -> Self {
        Self {
            logger,
            level,
            message: String::new(),
            fields: String::new(),
            session_id: None,
            frame_id: None,
            view_id: None,
            trace_id: None,
            peer: None,
        }
    }

    /// The text. What a peer said stays in its line, whatever it contains.
    fn text(&self) -> String {
        let mut text = String::with_capacity(self.message.len() + self.fields.len());
        for character in self.message.chars().chain(self.fields.chars()) {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text
    }

    /// The attributes of the record, the same for every record of this package.
    fn extra<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let extra = PyDict::new(py);
        extra.set_item(intern!(py, "session_id"), self.session_id)?;
        extra.set_item(intern!(py, "frame_id"), self.frame_id)?;
        extra.set_item(intern!(py, "view_id"), self.view_id)?;
        extra.set_item(intern!(py, "trace_id"), self.trace_id)?;
        extra.set_item(intern!(py, "peer"), &self.peer)?;
        Ok(extra)
    }

    fn write(&self, py: Python<'_>) -> PyResult<()> {
        let arguments = (self.level, intern!(py, "%s"), self.text());
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "extra"), self.extra(py)?)?;
        python_logger(py, LOGGERS[self.logger as usize].1)?
            .call_method(intern!(py, "log"), arguments, Some(&keywords))
            .map(drop)
    }
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let kept = match field.name() {
            "session" => &mut self.session_id,
            "frame" => &mut self.frame_id,
            "view" => &mut self.view_id,
            "trace" => &mut self.trace_id,
            _ => return self.record_debug(field, &value),
        };
        *kept = Some(value);
        // The view and the trace that everybody has who uses neither are left out of the text.
        if value != 0 || matches!(field.name(), "session" | "frame") {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name} {value:?}"),
        };
        if field.name() == "peer" {
            self.peer = Some(format!("{value:?}"));
        }
    }
}

/// Starts the thread, once in each process.
fn ensure_thread(py: Python<'_>) -> PyResult<()> {
    if threads::closed() {
        return Ok(());
    }
    Queue::ours().serve(|| threads::start(py, c"nnrp-log", hand_over))
}

/// The thread: it lasts as long as the interpreter.
fn hand_over(py: Python<'_>) {
    loop {
        threads::wait(py, || Queue::ours().wait(LEVEL_CHECK));
        write_waiting(py);
    }
}

/// Gives the lines that wait to `logging`, and asks it for its levels. A handler that fails has nobody to tell.
fn write_waiting(py: Python<'_>) {
    let queue = Queue::ours();
    for line in iter::from_fn(|| queue.pop()).take(queue.len()) {
        if let Err(error) = line.write(py) {
            error.write_unraisable(py, None);
        }
        if threads::closed() {
            return;
        }
    }
    let lost = queue.lost();
    if lost > 0 {
        let mut line = Line::new(Logger::Transport, python_level(Level::WARN));
        line.message = format!("{lost} records were not logged: the handlers are too slow");
        if let Err(error) = line.write(py) {
            error.write_unraisable(py, None);
        }
    }
    if let Err(error) = read_levels(py) {
        error.write_unraisable(py, None);
    }
}

/// Waits a moment until `logging` has what there is; the interpreter is about to go.
pub(crate) fn flush(py: Python<'_>) {
    py.detach(|| Queue::ours().flush());
}

/// Makes what a forked child needs, which has no other threads yet.
pub(crate) fn after_fork() {
    Queue::ours();
}

fn python_logger<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static GET_LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET_LOGGER.import(py, "logging", "getLogger")?.call1((name,))
}

/// The lowest level that a logger lets through.
fn lowest(py: Python<'_>, name: &str) -> PyResult<u8> {
    let logger = python_logger(py, name)?;
    for level in [10, 20, 30, 40] {
        if logger.call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()? {
            return Ok(level);
        }
    }
    Ok(u8::MAX)
}

fn read_levels(py: Python<'_>) -> PyResult<()> {
    let mut changed = false;
    for (logger, name) in LOGGERS {
        let level = lowest(py, name)?;
        changed |= LOWEST[logger as usize].swap(level, Ordering::Relaxed) != level;
    }
    if changed {
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(())
}

/// Asks `logging` for its levels, for a listener or connection that is about to be made. The thread goes on asking.
pub(crate) fn check_levels(py: Python<'_>) {
    if let Err(error) = read_levels(py).and_then(|()| ensure_thread(py)) {
        error.write_unraisable(py, None);
    }
}

/// Begins to forward events.
pub(crate) fn install() {
    // Another default would have to be set inside this very library, which nobody does.
    let _ = tracing::subscriber::set_global_default(Forwarder);
}
