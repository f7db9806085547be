//! 5 % of all datagrams lost, the others late and out of order.

use std::collections::BTreeSet;
use std::time::Duration;

use nnrp::{ClientConfig, ClientSession, ServerSession, clock};

use super::relayed::{ROUGH, result_of, session, small, told};

/// Frames a client keeps in flight.
const IN_FLIGHT: usize = 16;

/// Frames in an ordinary run, without and again with the large result.
const FRAMES: u32 = 64;

/// Bytes of the large result in an ordinary run: it takes longer than the small ones beside it.
const LARGE_BYTES: usize = 384 << 10;

/// How much longer the slowest small results may take while a large one is under way. Under TCP's single stream it would
/// be the whole large result, some hundred times as long.
const HELD_UP: u32 = 5;

#[expect(clippy::disallowed_methods, reason = "how long a test runs is up to who runs it")]
fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Submits `frames` from `first` on, [`IN_FLIGHT`] at a time; the round trips in order of length.
async fn exchange(client: &ClientSession, first: u32, frames: u32) -> Vec<Duration> {
    let mut waiting = tokio::task::JoinSet::new();
    let mut seen = BTreeSet::new();
    let mut times = Vec::new();
    let mut next = first;
    while times.len() < frames as usize {
        while waiting.len() < IN_FLIGHT && next < first + frames {
            let client = client.clone();
            let frame_id = next;
            waiting.spawn(async move {
                let begun = clock::now();
                let reply = client.submit(&small(frame_id)).await.expect("a result");
                (told(&reply), clock::now().saturating_duration_since(begun))
            });
            next += 1;
        }
        let ((frame_id, text, _), took) = waiting.join_next().await.unwrap().unwrap();
        assert_eq!(text, format!("frame {frame_id}"), "the result of another frame");
        assert!(seen.insert(frame_id), "frame {frame_id} was answered twice");
        times.push(took);
    }
    assert_eq!(seen, (first..first + frames).collect(), "frames were lost");
    times.sort_unstable();
    times
}

/// Answers every frame; the one called `large` with that many bytes.
async fn serve(server: ServerSession, large: u32, bytes: usize) -> u32 {
    let mut seen = BTreeSet::new();
    while let Ok(Some(submit)) = server.recv().await {
        let frame_id = submit.key().frame_id;
        assert!(seen.insert(frame_id), "frame {frame_id} arrived twice");
        let bytes = if frame_id == large { bytes } else { 40 };
        submit.reply(result_of(frame_id, bytes)).await.unwrap();
    }
    u32::try_from(seen.len()).unwrap()
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_is_lost_or_answered_twice_and_small_results_pass_a_large_one() {
    const LARGE: u32 = 1_000_000;
    let frames = number("NNRP_FRAMES").map_or(FRAMES, |frames| u32::try_from(frames).unwrap());
    let bytes = number("NNRP_LARGE_BYTES").unwrap_or(LARGE_BYTES);
    let ends = session(ROUGH, 5, ClientConfig::new()).await;
    let serving = tokio::spawn(serve(ends.server.clone(), LARGE, bytes));

    let alone = exchange(&ends.client, 1, frames).await;
    let begun = clock::now();
    let large = tokio::spawn({
        let client = ends.client.clone();
        async move { told(&client.submit(&small(LARGE)).await.expect("the large result")) }
    });
    // The large one is under way when the first of these have been answered.
    exchange(&ends.client, 10_001, 16).await;
    let beside = exchange(&ends.client, 20_001, frames).await;
    let still_coming = !large.is_finished();
    let arrived =
        tokio::time::timeout(Duration::from_secs(500), large).await.expect("the large result hangs");
    let took = clock::now().saturating_duration_since(begun);
    assert_eq!(arrived.unwrap(), (LARGE, format!("frame {LARGE}"), bytes));
    // Nothing more comes: no answer was sent twice.
    ends.server.close("done").await;
    assert!(ends.client.receive().await.is_err());
    assert_eq!(serving.await.unwrap(), 2 * frames + 16 + 1);

    let (passed, lost) = ends.relay.datagrams();
    let (quiet, busy) = (percentile(&alone, 99), percentile(&beside, 99));
    println!(
        "{frames} + {frames} frames, {IN_FLIGHT} in flight, {passed} datagrams passed, {lost} lost; round trips p50/p99: \
         alone {:?}/{quiet:?}, beside {bytes} bytes {:?}/{busy:?} (p99 ratio {:.2}); the large result took {took:?}",
        percentile(&alone, 50),
        percentile(&beside, 50),
        busy.as_secs_f64() / quiet.as_secs_f64()
    );
    assert!(lost > passed / 50, "the network was not bad: {lost} of {passed} lost");
    assert!(still_coming, "the large result was through before the small ones: choose a larger one");
    assert!(
        busy < HELD_UP * quiet.max(Duration::from_millis(200)),
        "{busy:?} beside a large result, {quiet:?} alone"
    );
}
