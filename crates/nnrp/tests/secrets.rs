//! Credentials show up in no log, at whatever level, and in nothing that is printed for a person; who asks for none says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fmt::{Debug, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use nnrp::{
    ClientConfig, ClientSession, Identity, Listener, ServerConfig, Trust, Verdict, development_certificate,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const SECRET: &str = "hunter2-is-the-token";

/// Writes down every event and span of every level, libraries included.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = self.0.lock().unwrap();
        write!(text, "\n{}", span.metadata().name()).unwrap();
        span.record(&mut Writer(&mut text));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Writer(&mut self.0.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        write!(text, "\n{} {}", event.metadata().level(), event.metadata().target()).unwrap();
        event.record(&mut Writer(&mut text));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Fails when `text` shows the secret as text, as hex digits, or as a list of numbers.
fn check(text: &str) {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = SECRET.bytes().map(|byte| byte.to_string()).collect();
    for form in [SECRET, &hex, &hex.to_uppercase(), &numbers.join(", ")] {
        let at = text.find(form);
        assert!(at.is_none(), "{}", &text[at.unwrap_or(0).saturating_sub(400)..at.unwrap_or(0) + form.len()]);
    }
}

/// Lets a client in, refuses it, and sends it away.
async fn shake_hands(listener: &Listener, dial: impl AsyncFn(ClientConfig) -> bool) {
    for expected in [true, false, false] {
        let config = ClientConfig::new().auth_block(SECRET);
        check(&format!("{config:?}"));
        if expected {
            let (accepted, dialled) = tokio::join!(listener.accept(), dial(config));
            let session = accepted.unwrap();
            assert!(dialled);
            check(&format!("{session:?} {:?}", session.hello()));
        } else {
            tokio::select! {
                _ = listener.accept() => panic!("a second client was admitted"),
                dialled = dial(config) => assert!(!dialled),
            }
        }
    }
}

#[tokio::test]
async fn no_log_shows_an_auth_block() {
    let log = Everything::default();
    let _listening = tracing::subscriber::set_default(log.clone());
    let config = || {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        ServerConfig::new().authenticate(move |hello| {
            let turn = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let right = hello.hello.auth_block == SECRET;
            async move {
                match turn {
                    0 => Verdict::from(right),
                    1 => Verdict::Refuse,
                    _ => Verdict::Busy { retry_after: std::time::Duration::from_secs(1) },
                }
            }
        })
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));

    let tcp = Listener::bind_tcp(address, config()).await.unwrap();
    let to = tcp.local_addr();
    shake_hands(&tcp, async |config| ClientSession::connect_tcp(to, config).await.is_ok()).await;

    let made = development_certificate().unwrap();
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
    let quic = Listener::bind_quic(address, &identity, config()).await.unwrap();
    let to = quic.local_addr();
    let trust = Trust::Certificates(made.certificate.into_bytes());
    shake_hands(&quic, async |config| {
        ClientSession::connect_quic(to, "localhost", &trust, config).await.is_ok()
    })
    .await;

    let text = log.0.lock().unwrap().clone();
    assert!(text.contains("authentication refused"), "the log misses what it should show");
    assert!(text.contains("TRACE quinn"), "the log misses what libraries say");
    check(&text);
}

#[tokio::test]
async fn a_listener_that_lets_everybody_in_says_so_once() {
    let log = Everything::default();
    let _listening = tracing::subscriber::set_default(log.clone());
    let warnings = || log.0.lock().unwrap().matches("everybody who reaches this address is let in").count();
    let bind = |host: Ipv4Addr, config| Listener::bind_tcp(SocketAddr::from((host, 0)), config);
    for quiet in [
        bind(Ipv4Addr::LOCALHOST, ServerConfig::new()).await.unwrap(),
        bind(Ipv4Addr::UNSPECIFIED, ServerConfig::new().authenticate(async |_| true)).await.unwrap(),
    ] {
        assert!(quiet.accept().now_or_never().is_none());
    }
    assert_eq!(warnings(), 0);
    let open = bind(Ipv4Addr::UNSPECIFIED, ServerConfig::new()).await.unwrap();
    for _ in 0..2 {
        assert!(open.accept().now_or_never().is_none());
    }
    assert_eq!(warnings(), 1);
}

#[test]
#[should_panic(expected = "hunter2")]
fn the_check_finds_a_secret() {
    check(&format!("auth_block={:?}", bytes::Bytes::from(SECRET)));
}
