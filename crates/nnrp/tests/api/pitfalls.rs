//! What the server manual warns of, each removed. The fifth, admitting everybody without saying so, is Python's.

use std::time::{Duration, Instant};

use nnrp::wire::{ResultHintReason, SubmitFrame};
use nnrp::{ClientConfig, Reply, ServerConfig, ServerSettings, clock};

use super::harness::{Kind, Server, drop_reason, frame, session, session_with, soon, text_result};

pub(crate) async fn one_a_busy_application_never_costs_the_connection(kind: Kind) {
    let ends = session(kind).await;
    ends.client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    // A handler that computes on a thread of the runtime and yields to nobody.
    let computing = tokio::task::spawn_blocking(|| {
        let until: Instant = clock::now() + Duration::from_millis(300);
        while clock::now() < until {
            std::hint::spin_loop();
        }
    });
    while !computing.is_finished() {
        ends.client.ping(Duration::from_secs(5)).await.unwrap();
        clock::sleep_until(Some(clock::now() + Duration::from_millis(20))).await;
    }
    submit.reply(text_result(0, "done")).await.unwrap();
    assert!(matches!(soon("a result", ends.client.receive_for(1, None)).await, Ok(Reply::Result(_))));
}

pub(crate) async fn two_no_frame_is_left_without_an_answer(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.expire_frames = true;
    settings.max_concurrent_frames = 3;
    let ends = session_with(kind, settings).await;
    for frame_id in 1..=3 {
        let latency_budget_ms = if frame_id == 2 { 40 } else { 0 };
        ends.client.send(&SubmitFrame { latency_budget_ms, ..frame(frame_id) }).await.unwrap();
    }
    let mut submits = Vec::new();
    for _ in 1..=3 {
        submits.push(soon("a frame", ends.server.recv()).await.unwrap().unwrap());
    }
    submits.sort_by_key(nnrp::Submit::key);
    let [failing, expiring, forgotten] = submits.try_into().unwrap_or_else(|_| panic!());
    let handler = tokio::spawn(async move {
        assert_eq!(failing.key().frame_id, 0, "a handler that fails");
    });
    assert!(handler.await.is_err());
    let reason = async |frame_id| {
        drop_reason(&soon("an answer", ends.client.receive_for(frame_id, None)).await.unwrap())
    };
    assert_eq!(reason(1).await, Some(ResultHintReason::ServerBusy));
    assert_eq!(reason(2).await, Some(ResultHintReason::BudgetExceeded));
    let (dropped, ()) = tokio::join!(reason(3), ends.server.close(""));
    assert_eq!(dropped, Some(ResultHintReason::ServerBusy));
    drop((expiring, forgotten));
}

pub(crate) async fn three_the_number_of_frames_is_soft_and_one_argument_away_from_a_bound(kind: Kind) {
    for enforce in [false, true] {
        let mut settings = ServerSettings::default();
        settings.enforce_credit = enforce;
        let ends = session_with(kind, settings).await;
        ends.client.set_credit_policy(nnrp::CreditPolicy::Ignore);
        ends.client.send(&frame(1)).await.unwrap();
        let first = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
        ends.client.send(&frame(2)).await.unwrap();
        if enforce {
            let reply = soon("a drop", ends.client.receive_for(2, None)).await.unwrap();
            assert_eq!(drop_reason(&reply), Some(ResultHintReason::QueueFull));
        } else {
            let second = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
            assert_eq!(second.key().frame_id, 2);
        }
        drop(first);
    }
}

pub(crate) async fn four_deciding_about_a_client_may_take_its_time(kind: Kind) {
    let config = ServerConfig::new().authenticate(|hello| async move {
        // A look into a database.
        clock::sleep_until(Some(clock::now() + Duration::from_millis(50))).await;
        hello.hello.auth_block == "good"
    });
    let server = Server::start(kind, config).await;
    let dialling = server.dial(kind, ClientConfig::new().auth_block("good"));
    let (accepted, client) =
        soon("a session", async { tokio::join!(server.listener.accept(), dialling) }).await;
    assert!(accepted.is_some());
    client.unwrap().close("").await;
}
