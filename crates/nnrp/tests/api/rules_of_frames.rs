//! Rules that bind both ends of a session, between two of ours.

use std::time::Duration;

use nnrp::wire::{
    BudgetPolicy, ErrorCode, FrameClass, LossTolerance, ResultClass, ResultFrame, SubmitFrame, TypedPayload,
};
use nnrp::{Admission, ClientConfig, PendingSession, Reply, ServerConfig, ServerSettings, clock};

use super::harness::{Ends, Kind, Server, bulky, frame, session, session_with, soon, text_of, text_result};

async fn takes(ends: &Ends, frame_id: u32) -> nnrp::Submit {
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    assert_eq!(submit.key().frame_id, frame_id);
    submit
}

// Rules R-MODEL-2
pub(crate) async fn a_model_name_that_is_too_long_is_cut(kind: Kind) {
    let name = "m".repeat(3000);
    let config = ClientConfig::new();
    let client = if kind == Kind::Memory {
        let (client, server) = nnrp::memory::pair();
        let accepting = async {
            let pending = PendingSession::read(server, ServerSettings::default(), None).await.unwrap();
            pending.admit(Admission { model_name: name.clone(), ..Admission::default() }).unwrap()
        };
        tokio::join!(nnrp::ClientSession::open(client, config), accepting).0.unwrap()
    } else {
        let server = Server::start(kind, ServerConfig::new().model_name(name.clone())).await;
        tokio::join!(server.dial(kind, config), server.listener.accept()).0.unwrap()
    };
    assert_eq!(client.ack().model_name, name[..1024]);
}

// Rules R-SUB-10
pub(crate) async fn a_live_id_may_be_used_again_unless_ids_are_strict(kind: Kind) {
    let ends = session(kind).await;
    for _ in 0..2 {
        ends.client.send(&frame(1)).await.unwrap();
    }
    let both = [takes(&ends, 1).await, takes(&ends, 1).await];
    for submit in both {
        submit.reply(text_result(0, "here")).await.unwrap();
        assert_eq!(text_of(&soon("a result", ends.client.receive()).await.unwrap()), "here");
    }

    let mut settings = ServerSettings::default();
    settings.strict_frame_ids = true;
    let ends = session_with(kind, settings).await;
    ends.client.send(&frame(1)).await.unwrap();
    let first = takes(&ends, 1).await;
    ends.client.send(&frame(1)).await.unwrap();
    let refused = soon("the refusal", ends.client.receive()).await.unwrap();
    assert!(
        matches!(&refused, Reply::Failed(failed) if failed.fault.code == ErrorCode::InvalidState),
        "{refused:?}"
    );
    // Its answer is the next that comes: nothing was dropped.
    first.reply(text_result(0, "of the first")).await.unwrap();
    assert_eq!(text_of(&soon("a result", ends.client.receive()).await.unwrap()), "of the first");
    ends.echo(1).await;
}

// Rules R-RES-8
pub(crate) async fn a_result_beyond_the_policy_of_its_frame_is_delivered_and_marked(kind: Kind) {
    let ends = session(kind).await;
    for (frame_id, allowed) in [(1, BudgetPolicy::NONE), (2, BudgetPolicy::ALLOW_PARTIAL)] {
        ends.client.send(&SubmitFrame { budget_policy: allowed, ..frame(frame_id) }).await.unwrap();
        let submit = takes(&ends, frame_id).await;
        let applied = ResultFrame {
            applied_budget_policy: BudgetPolicy::ALLOW_PARTIAL,
            ..text_result(0, "some of it")
        };
        submit.reply(applied).await.unwrap();
        let reply = soon("a result", ends.client.receive()).await.unwrap();
        assert_eq!(text_of(&reply), "some of it");
        let Reply::Result(result) = reply else { panic!() };
        assert_eq!(result.beyond_policy, allowed == BudgetPolicy::NONE);
    }
}

// Rules R-LIFE-1
pub(crate) async fn a_frame_left_partial_gives_its_credit_back(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.max_concurrent_frames = 1;
    settings.enforce_credit = true;
    let ends = session_with(kind, settings).await;
    ends.client.send(&frame(1)).await.unwrap();
    let submit = takes(&ends, 1).await;
    let began = clock::now();
    let part = ResultFrame { result_class: ResultClass::Partial, ..text_result(0, "the first half") };
    submit.partial(part).await.unwrap();
    assert_eq!(text_of(&soon("a part", ends.client.receive()).await.unwrap()), "the first half");
    // Held back until the frame counts as delivered.
    assert!(ends.client.try_send(&frame(2)).await.is_err());
    soon("the credit", ends.client.send(&frame(2))).await.unwrap();
    let lasted = clock::now().saturating_duration_since(began);
    assert!(lasted >= Duration::from_millis(900), "{lasted:?}");
    assert_eq!(ends.client.connection().stats().frames.frames_delivered, 1);
}

// Rules R-LOSS-1
pub(crate) async fn a_keyframe_is_never_sent_and_forgotten(kind: Kind) {
    let ends = session(kind).await;
    for (frame_id, frame_class, in_force) in [
        (1, FrameClass::Keyframe, LossTolerance::BestEffort),
        (2, FrameClass::Discardable, LossTolerance::FireAndForget),
    ] {
        let loss_tolerance_policy = LossTolerance::FireAndForget.value();
        let forgotten = SubmitFrame { frame_class, loss_tolerance_policy, ..frame(frame_id) };
        ends.client.send(&forgotten).await.unwrap();
        assert_eq!(takes(&ends, frame_id).await.loss_tolerance, in_force);
    }
}

// Rules R-LIM-7
pub(crate) async fn results_nobody_takes_hold_the_server_back_and_are_not_lost(kind: Kind) {
    // More than a client keeps, 1024, and all buffers on the way.
    const MOST: u32 = 100_000;
    let ends = session(kind).await;
    let result = |frame_id| ResultFrame {
        frame_id,
        typed_payloads: vec![TypedPayload::opaque_bytes(vec![1; 30_000])],
        ..ResultFrame::default()
    };
    let mut sent = 0;
    loop {
        let sending = ends.server.send_result(result(sent + 1));
        // Only one that waits takes so long.
        let Ok(done) = tokio::time::timeout(Duration::from_secs(1), sending).await else { break };
        done.unwrap();
        sent += 1;
        assert!(sent < MOST, "nothing holds the server back");
    }
    assert!(sent >= 1024, "{sent}");
    // What goes the other way is not held up.
    ends.client.send(&bulky(1, 1000)).await.unwrap();
    takes(&ends, 1).await;
    let mut seen = Vec::new();
    while seen.len() < sent as usize {
        let reply = soon("a result", ends.client.receive()).await.unwrap();
        match reply {
            Reply::Result(result) => seen.push(result.packet.header.frame_id),
            // Nobody answers the frame: its drop is small, and on QUIC it may be here before the last results.
            Reply::Dropped { .. } => {}
            failed => panic!("{failed:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=sent).collect::<Vec<u32>>());
}
