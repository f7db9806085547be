use nnrp::wire::ErrorCode;
use nnrp::{ClientConfig, ListenerStats, ServerConfig, Verdict};

use super::harness::{Kind, Server, bulky, frame, soon, text_result};

/// Waits until a listener's counters are as they should be: connections go away when their driver has seen the end.
async fn counted(server: &Server, fits: impl Fn(&ListenerStats) -> bool) -> ListenerStats {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    let counting = async {
        loop {
            let stats = server.listener.stats();
            if fits(&stats) {
                return stats;
            }
            ticks.tick().await;
        }
    };
    match tokio::time::timeout(std::time::Duration::from_secs(10), counting).await {
        Ok(stats) => stats,
        Err(_) => panic!("{:#?}", server.listener.stats()),
    }
}

pub(crate) async fn a_listener_counts_its_sessions_and_their_traffic_when_they_are_gone_too(kind: Kind) {
    let server = Server::start(kind, ServerConfig::new().max_body_bytes(100_000)).await;
    let mut bytes = 0;
    for round in 1..=3 {
        let (client, session) =
            tokio::join!(server.dial(kind, ClientConfig::new()), server.listener.accept());
        let (client, session) = (client.unwrap(), session.unwrap());
        client.send(&frame(1)).await.unwrap();
        let submit = soon("a frame", session.recv()).await.unwrap().unwrap();
        submit.reply(text_result(1, "done")).await.unwrap();
        soon("a result", client.receive()).await.unwrap();
        client.send(&bulky(2, 200_000)).await.unwrap();
        soon("a drop", client.receive()).await.unwrap();
        let stats = counted(&server, |stats| stats.traffic.limits_hit == round).await;
        assert_eq!((stats.sessions, stats.connections, stats.pending), (1, 1, 0));
        assert_eq!((stats.clients.accepted, stats.traffic.frames.results), (round, round));
        assert!(stats.traffic.bytes_received > bytes, "{stats:?}");
        bytes = stats.traffic.bytes_received;
        client.close("done").await;
        session.closed().await;
        drop((client, session));
        counted(&server, |stats| stats.sessions == 0 && stats.connections == 0).await;
    }
    let stats = server.listener.stats();
    assert_eq!(stats.traffic.frames.frames_delivered, 3);
    assert_eq!(stats.traffic.frames.latency.count(), 3);
    assert!(stats.traffic.bytes_received >= bytes);
    assert_eq!(stats.clients.refused_authentication + stats.clients.left, 0);
}

pub(crate) async fn clients_are_counted_by_why_they_were_refused(kind: Kind) {
    let config = ServerConfig::new().authenticate(|hello| async move {
        match &hello.hello.auth_block[..] {
            b"later" => Verdict::Busy { retry_after: std::time::Duration::from_secs(1) },
            token => Verdict::from(token == b"yes"),
        }
    });
    let server = Server::start(kind, config).await;
    let listener = server.listener.clone();
    let accepting = tokio::spawn(async move { while listener.accept().await.is_some() {} });
    for (token, times) in [(&b"no"[..], 2), (b"later", 3), (b"yes", 1)] {
        for _ in 0..times {
            let admitted = server.dial(kind, ClientConfig::new().auth_block(token)).await;
            assert_eq!(admitted.is_ok(), token == b"yes");
        }
    }
    drop(server.dial_raw(kind).await);
    let clients = counted(&server, |stats| stats.clients.left == 1).await.clients;
    assert_eq!((clients.refused_authentication, clients.refused_busy, clients.accepted), (2, 3, 1));
    server.listener.close();
    accepting.await.unwrap();
}

pub(crate) async fn every_client_is_counted_once(kind: Kind) {
    let server = Server::start(kind, ServerConfig::new()).await;
    let options = nnrp::HandshakeOptions::default();
    let (dialled, pending) = tokio::join!(server.dial(kind, ClientConfig::new()), async {
        let pending = server.listener.accept_hello(&options).await.unwrap().unwrap();
        assert_eq!(server.listener.stats().pending, 1);
        server.listener.put_back(pending);
        let pending = server.listener.accept_hello(&options).await.unwrap().unwrap();
        pending.refuse(ErrorCode::InvalidState, "not today");
    });
    drop((dialled, pending));
    let stats = counted(&server, |stats| stats.pending == 0).await;
    assert_eq!(stats.clients.named().map(|(_, count)| count).sum::<u64>(), 1, "{stats:?}");
    assert_eq!(stats.clients.refused_other, 1);
}

pub(crate) async fn both_ends_say_over_what_they_talk(kind: Kind) {
    let ends = super::harness::session(kind).await;
    ends.echo(1).await;
    let (client, server) = (&ends.client, &ends.server);
    assert_eq!((client.transport(), server.transport()), (kind.transport(), kind.transport()));
    // A QUIC socket does not know which of the machine's addresses it uses.
    assert_eq!(client.peer_addr().port(), server.connection().local_addr().port());
    assert_eq!(server.peer_addr().port(), client.connection().local_addr().port());
    for round_trip in [client.rtt(), server.rtt()] {
        assert_eq!(round_trip.is_some(), kind.is_quic(), "{round_trip:?}");
    }
    assert_eq!((client.stats().frames.frames_submitted, server.stats().frames.frames_submitted), (1, 1));
}
