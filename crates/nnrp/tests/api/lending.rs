//! An event loop outside the runtime serves the socket of a session: while it has time, and no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nnrp::{Connection, LoopSockets, Received, ServerSession};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Handle;

use super::echo::exchange_changing_sizes;
use super::harness::{Ends, Kind, bulky, frame, session, soon, text_of, text_result};

/// Frames that a loop with time is given to serve, some of which it may miss on a busy machine.
const FRAMES: u32 = 500;

fn sockets() -> Arc<LoopSockets> {
    Arc::new(LoopSockets::new(Handle::current()).unwrap())
}

/// Whether sockets of this transport can be lent at all.
fn lends(kind: Kind) -> bool {
    kind != Kind::Memory
}

/// How long the event loop of these tests sleeps at most before it looks whether it is over.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Runs `future` while an event loop, on a thread of its own, does nothing but serve.
async fn serving<T>(sockets: &Arc<LoopSockets>, future: impl Future<Output = T>) -> T {
    let over = Arc::new(AtomicBool::new(false));
    let event_loop = std::thread::spawn({
        let (sockets, over) = (sockets.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                let mut watched = [PollFd::new(&*sockets, PollFlags::IN)];
                if poll(&mut watched, Some(&NAP)).unwrap() > 0 {
                    sockets.serve();
                }
            }
        }
    });
    let done = future.await;
    over.store(true, Ordering::Relaxed);
    event_loop.join().unwrap();
    done
}

/// The next frame's id.
async fn next(server: &ServerSession) -> u32 {
    let Received::Submit(submit) = soon("a frame", server.receive()).await.unwrap() else {
        panic!("no frame")
    };
    submit.packet.header.frame_id
}

/// Lends the socket once its reader rests.
async fn lend(kind: Kind, connection: &Connection, sockets: &LoopSockets) {
    if !lends(kind) {
        return assert!(!connection.lend(sockets), "there is no socket to lend");
    }
    soon("the reader to rest", async {
        while !connection.lend(sockets) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn until_back(connection: &Connection) {
    soon("the runtime to take the socket back", async {
        while connection.is_lent() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn a_loop_with_time_reads_frames(kind: Kind) {
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    let by_the_loop = serving(&sockets, async {
        let mut by_the_loop = 0;
        for frame_id in 1..=FRAMES {
            let lent = server.connection().lend(&sockets);
            assert!(lends(kind) || !lent, "there is no socket to lend");
            client.send(&frame(frame_id)).await.unwrap();
            assert_eq!(next(&server).await, frame_id);
            // Only the loop can have read it if the runtime did not take the socket back.
            by_the_loop += u32::from(lent && server.connection().is_lent());
            server.send_result(text_result(frame_id, "here")).await.unwrap();
            let reply = soon("the result", client.receive_for(frame_id, None)).await.unwrap();
            assert_eq!(text_of(&reply), "here");
        }
        by_the_loop
    })
    .await;
    assert_eq!(by_the_loop > 0, lends(kind), "{by_the_loop} of {FRAMES}");
}

pub(crate) async fn a_loop_reads_bodies_whole(kind: Kind) {
    let ends = session(kind).await;
    let sockets = sockets();
    let lend = || assert!(ends.server.connection().lend(&sockets) <= lends(kind));
    serving(&sockets, exchange_changing_sizes(&ends, lend)).await;
}

pub(crate) async fn a_loop_without_time_costs_nothing(kind: Kind) {
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    for frame_id in 1..=5 {
        lend(kind, server.connection(), &sockets).await;
        client.send(&frame(frame_id)).await.unwrap();
        assert_eq!(next(&server).await, frame_id, "nobody calls serve()");
        // The reader, called for something else, may have found the frame before the runtime took the socket back.
        until_back(server.connection()).await;
    }
}

pub(crate) async fn idle_sockets_go_back(kind: Kind) {
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    lend(kind, server.connection(), &sockets).await;
    until_back(server.connection()).await;
    client.send(&frame(1)).await.unwrap();
    assert_eq!(next(&server).await, 1);
}

pub(crate) async fn a_loop_that_goes_gives_its_sockets_back(kind: Kind) {
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    lend(kind, server.connection(), &sockets).await;
    client.send(&frame(1)).await.unwrap();
    drop(sockets);
    assert!(!server.connection().is_lent());
    assert_eq!(next(&server).await, 1);
}

pub(crate) async fn large_bodies_are_read_by_the_runtime(kind: Kind) {
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    lend(kind, server.connection(), &sockets).await;
    client.send(&bulky(1, 1 << 20)).await.unwrap();
    assert_eq!(serving(&sockets, next(&server)).await, 1);
    assert!(!server.connection().lend(&sockets), "others of its size are likely to follow");
    // Once they do not, it is lent again.
    lend(kind, server.connection(), &sockets).await;
    client.send(&frame(2)).await.unwrap();
    assert_eq!(serving(&sockets, next(&server)).await, 2);
}

pub(crate) async fn a_write_that_has_to_wait_takes_the_socket_back(kind: Kind) {
    const BYTES: usize = 4 << 20;
    const COUNT: u32 = 8;
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    for frame_id in 1..=COUNT {
        client.send(&frame(frame_id)).await.unwrap();
        assert_eq!(next(&server).await, frame_id);
    }
    lend(kind, server.connection(), &sockets).await;
    let sending = tokio::spawn({
        let server = server.clone();
        async move {
            for frame_id in 1..=COUNT {
                let text = "x".repeat(BYTES);
                server.send_result(text_result(frame_id, &text)).await.unwrap();
            }
        }
    });
    for frame_id in 1..=COUNT {
        let reply = soon("the result", client.receive_for(frame_id, None)).await.unwrap();
        assert_eq!(text_of(&reply).len(), BYTES);
    }
    soon("the sender", sending).await.unwrap();
}

pub(crate) async fn the_end_is_seen_on_a_lent_socket(kind: Kind) {
    let Ends { client, server, .. } = session(kind).await;
    let sockets = sockets();
    lend(kind, server.connection(), &sockets).await;
    client.connection().abort(0, "");
    let end = serving(&sockets, soon("the end", server.receive())).await;
    assert!(end.is_err());
    soon("the transport", serving(&sockets, server.connection().gone())).await;
    assert!(!server.connection().lend(&sockets), "there is nothing left to lend");
}
