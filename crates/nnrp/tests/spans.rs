//! Spans: one for a session, one for each frame inside it, from its arrival to its answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nnrp::wire::SubmitFrame;
use nnrp::{Admission, ClientConfig, ClientSession, Outcome, PendingSession, memory};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Metadata, Subscriber};

/// Writes down what becomes of spans, and the events of this test.
#[derive(Clone, Default)]
struct Diary {
    lines: Arc<Mutex<Vec<String>>>,
    ids: Arc<AtomicU64>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Diary {
    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn position(&self, wanted: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .position(|line| line.starts_with(wanted))
            .unwrap_or_else(|| panic!("{wanted:?}: {lines:#?}"))
    }
}

impl Subscriber for Diary {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || metadata.target().starts_with("spans")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        let parent = span.parent().map_or(0, Id::into_u64);
        self.write(format!("{} in {parent}: {id}{}", span.metadata().name(), fields.0));
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.write(format!("event {}", event.metadata().name()));
    }
    fn enter(&self, id: &Id) {
        self.write(format!("enter {}", id.into_u64()));
    }
    fn exit(&self, _: &Id) {}
    fn try_close(&self, id: Id) -> bool {
        self.write(format!("close {}", id.into_u64()));
        true
    }
}

// One thread, so that what the session does on its own happens under the same subscriber.
#[tokio::test]
async fn a_frame_has_a_span_in_that_of_its_session() {
    let diary = Diary::default();
    let _guard = tracing::subscriber::set_default(diary.clone());
    let (near, far) = memory::pair();
    let accepting = async {
        let pending = PendingSession::read(far, Default::default(), None).await.unwrap();
        pending.admit(Admission { model_name: "resolver".to_owned(), ..Admission::default() }).unwrap()
    };
    let (client, server) = tokio::join!(ClientSession::open(near, ClientConfig::new()), accepting);
    let client = client.unwrap();

    let frame = SubmitFrame::new(7).view(2).trace(99).budget(std::time::Duration::from_millis(250));
    let serving = async {
        let submit = server.recv().await.unwrap().unwrap();
        let span = submit.span().clone();
        submit.reply(Outcome::complete()).instrument(span).await.unwrap();
    };
    let (reply, ()) = tokio::join!(client.submit(&frame), serving);
    reply.unwrap();

    let lines = diary.lines.lock().unwrap().clone();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).cloned().collect::<Vec<_>>();
    let sessions = of("nnrp.session in 0: ");
    assert_eq!(sessions.len(), 2, "one at each end: {lines:#?}");
    for session in &sessions {
        assert!(session.contains("session_id=1 transport=TCP") && session.contains("model=\"resolver\""));
    }
    let server_id = server.span().id().unwrap().into_u64();
    let frames = of("nnrp.frame in ");
    let [frame] = frames.as_slice() else { panic!("{lines:#?}") };
    assert!(frame.starts_with(&format!("nnrp.frame in {server_id}: ")), "{frame}");
    assert!(frame.ends_with(" frame_id=7 view_id=2 trace_id=99 budget_ms=250"), "{frame}");
    let id = frame.split(' ').nth(3).unwrap().to_owned();
    let began = diary.position("nnrp.frame");
    assert!(diary.position(&format!("enter {id}")) > began);
}
