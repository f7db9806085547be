//! Measuring a server before choosing how to reach it.

use nnrp::{ProbeOptions, ServerConfig, choose, probe_by};

use super::harness::{Kind, Server};

/// A server that waits for its first client; probing is none.
fn accept(server: &Server) -> tokio::task::JoinHandle<()> {
    let listener = server.listener.clone();
    tokio::spawn(async move {
        assert!(listener.accept().await.is_none(), "nobody says hello");
    })
}

// Rules R-STATE-4
pub(crate) async fn a_server_is_measured_before_any_hello(kind: Kind) {
    if kind == Kind::Memory {
        return;
    }
    let server = Server::start(kind, ServerConfig::new()).await;
    let _accepting = accept(&server);
    let options = ProbeOptions { warm_up: true, ..ProbeOptions::default() };
    let connect = || async { Ok(server.dial_raw(kind).await) };
    let probed = probe_by(kind.transport(), connect, &options).await;
    assert_eq!((probed.round_trips.len(), probed.failures), (3, 0));
    assert!(probed.throughput().unwrap() > 0.0);
    assert_eq!(choose(&[probed]), Some(kind.transport()));
}

pub(crate) async fn a_server_that_does_not_answer_has_failed_samples(kind: Kind) {
    if kind == Kind::Memory {
        return;
    }
    let mut settings = nnrp::ServerSettings::default();
    settings.answer_probes = false;
    let server = Server::start(kind, ServerConfig::new().settings(settings)).await;
    let _accepting = accept(&server);
    let options = ProbeOptions { samples: 1, ..ProbeOptions::default() };
    let connect = || async { Ok(server.dial_raw(kind).await) };
    let probed = probe_by(kind.transport(), connect, &options).await;
    assert_eq!((probed.round_trips.len(), probed.failures), (0, 1));
    assert_eq!(choose(&[probed]), None);
}
