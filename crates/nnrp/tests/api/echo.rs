use nnrp::wire::{
    BudgetPolicy, PayloadKind, ResultClass, ResultFrame, Section, SubmitFrame, TensorDType, TypedPayload,
};
use nnrp::{FrameKey, Received, Reply};

use super::harness::{Ends, Kind, bulky, frame, session, soon, text_of, text_result};

pub(crate) async fn a_frame_comes_back(kind: Kind) {
    let ends = session(kind).await;
    for frame_id in [1, 2, 700] {
        ends.echo(frame_id).await;
    }
}

pub(crate) async fn results_come_back_in_any_order(kind: Kind) {
    let ends = session(kind).await;
    for frame_id in 1..=16 {
        ends.client.send(&frame(frame_id)).await.unwrap();
    }
    let mut submits = Vec::new();
    for _ in 1..=16 {
        submits.push(soon("a frame", ends.server.recv()).await.unwrap().unwrap());
    }
    while let Some(submit) = submits.pop() {
        let result = text_result(0, &format!("answer {}", submit.key().frame_id));
        submit.reply(result).await.unwrap();
    }
    for frame_id in 1..=16 {
        let reply = soon("a result", ends.client.receive_for(frame_id, None)).await.unwrap();
        assert_eq!(text_of(&reply), format!("answer {frame_id}"));
    }
}

pub(crate) async fn parts_of_one_frame_keep_their_order(kind: Kind) {
    const PARTS: usize = 300;
    let ends = session(kind).await;
    ends.client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    let sending = async {
        for part in 0..PARTS {
            let result = ResultFrame {
                result_class: ResultClass::Partial,
                applied_budget_policy: BudgetPolicy::ALLOW_PARTIAL,
                ..text_result(1, &format!("part {part} {}", "x".repeat(part * 37 % 5000)))
            };
            submit.partial(result).await.unwrap();
        }
        submit.reply(text_result(1, "the end")).await.unwrap();
    };
    let receiving = async {
        for part in 0..PARTS {
            let text = text_of(&ends.client.receive_for(1, None).await.unwrap());
            assert!(
                text.starts_with(&format!("part {part} ")),
                "{part}: {}",
                text.get(..20).unwrap_or(&text)
            );
        }
        assert_eq!(text_of(&ends.client.receive_for(1, None).await.unwrap()), "the end");
    };
    soon("all parts", async { tokio::join!(sending, receiving) }).await;
}

pub(crate) async fn bodies_of_megabytes_arrive_whole_and_aligned(kind: Kind) {
    let ends = session(kind).await;
    for (frame_id, bytes) in [(1, 70_000), (2, 1 << 20), (3, (8 << 20) + 3)] {
        let frame = bulky(frame_id, bytes);
        let sending = ends.client.send(&frame);
        let receiving = async {
            let submit = ends.server.recv().await.unwrap().unwrap();
            assert_eq!(submit.packet.body.as_ptr().align_offset(64), 0);
            let payload = submit.payloads().next().unwrap();
            assert_eq!(payload.data.len(), bytes);
            assert!(payload.data.iter().all(|byte| *byte == 0x5A));
            submit.reply(text_result(0, "thanks")).await.unwrap();
        };
        let (sent, ()) = soon("a big frame", async { tokio::join!(sending, receiving) }).await;
        assert!(sent.unwrap().bytes > bytes);
        assert_eq!(text_of(&ends.client.receive_for(frame_id, None).await.unwrap()), "thanks");
    }
}

/// Neither end waits for the other to take what it sends before it acknowledges what it is sent.
pub(crate) async fn megabytes_go_both_ways_at_once(kind: Kind) {
    const FRAMES: u32 = 6;
    let ends = session(kind).await;
    let sending = async {
        for id in 1..=FRAMES {
            ends.client.send(&bulky(id, 2 << 20)).await.unwrap();
        }
    };
    let answering = async {
        for _ in 0..FRAMES {
            let submit = ends.server.recv().await.unwrap().unwrap();
            let payload = submit.payloads().next().unwrap();
            submit.reply(nnrp::Outcome::complete().payload(payload)).await.unwrap();
        }
    };
    let receiving = async {
        for id in 1..=FRAMES {
            let Reply::Result(result) = ends.client.receive_for(id, None).await.unwrap() else {
                panic!("frame {id} has no result");
            };
            let bytes = result.payloads().next().unwrap().data.len();
            assert_eq!(bytes, 2 << 20, "of frame {id}");
        }
    };
    soon("all results", async { tokio::join!(sending, answering, receiving) }).await;
}

/// What a packet looks like is guessed from the one before it; whether it was guessed right must not show.
pub(crate) async fn frames_of_changing_sizes_arrive_whole_and_aligned(kind: Kind) {
    exchange_changing_sizes(&session(kind).await, || ()).await;
}

/// Sends frames and results whose sizes are what was expected or not, alone and together. `before_each` runs before each of these.
pub(crate) async fn exchange_changing_sizes(ends: &Ends, before_each: impl Fn()) {
    const SIZES: [usize; 16] = [
        70_000, 70_000, 70_000, 70_001, 70_001, 5, 5, 70_001, 100_000, 100_000, 20_000, 20_000, 20_000,
        300_000, 70_000, 70_000,
    ];
    let bytes_of = |id: u32, size: usize| -> Vec<u8> {
        (0..size).map(|at| u8::try_from((at * 7 + id as usize) % 251).unwrap()).collect()
    };
    let mut next = 1;
    for in_flight in [1, 4] {
        for sizes in SIZES.chunks(in_flight) {
            before_each();
            let first = next;
            for size in sizes {
                let payload = TypedPayload::opaque_bytes(bytes_of(next, *size));
                ends.client.send(&SubmitFrame::new(next).payload(payload)).await.unwrap();
                next += 1;
            }
            for _ in sizes {
                let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
                let id = submit.key().frame_id;
                let (payload, size) = (submit.payloads().next().unwrap(), sizes[(id - first) as usize]);
                assert!(payload.data == bytes_of(id, size), "frame {id} of {size} bytes came otherwise");
                assert!(size < 20_000 || submit.packet.body.as_ptr().align_offset(64) == 0);
                submit.reply(nnrp::Outcome::complete().payload(payload)).await.unwrap();
            }
            for (id, size) in (first..).zip(sizes) {
                let reply = soon("a result", ends.client.receive_for(id, None)).await.unwrap();
                let payload = reply.into_result().unwrap().payloads().next().unwrap();
                assert!(payload.data == bytes_of(id, *size), "result {id} of {size} bytes came otherwise");
            }
            // Something else comes where another frame was expected.
            ends.client.cancel(FrameKey::new(next)).await.unwrap();
        }
    }
}

pub(crate) async fn a_received_tile_is_a_view_of_the_one_body(kind: Kind) {
    let ends = session(kind).await;
    let big = SubmitFrame {
        tile_ids: vec![0, 1],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles([vec![1_u8; 100_000], vec![2; 100_000]])],
        ..SubmitFrame::new(1)
    };
    ends.client.send(&big).await.unwrap();
    let Received::Submit(submit) = soon("a frame", ends.server.receive()).await.unwrap() else { panic!() };
    let body = submit.packet.body.as_ptr_range();
    for tile in submit.body.sections().next().unwrap().tiles() {
        assert!(body.contains(&tile.as_ptr()), "a tile was copied");
    }
}

pub(crate) async fn a_result_without_tile_ids_covers_the_tiles_asked_for(kind: Kind) {
    let ends = session(kind).await;
    let asked = SubmitFrame {
        tile_ids: vec![3, 7, 12],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles(["a", "b", "c"])],
        ..SubmitFrame::new(1)
    };
    ends.client.send(&asked).await.unwrap();
    soon("a frame", ends.server.receive()).await.unwrap();
    for (tiles, expected) in [(vec!["x", "y", "z"], vec![3, 7, 12]), (vec!["x", "y"], vec![0, 1])] {
        let result = ResultFrame {
            frame_id: 1,
            sections: vec![Section::new(1, TensorDType::Uint8).tiles(tiles)],
            ..ResultFrame::default()
        };
        ends.server.send_result(result).await.unwrap();
        let Reply::Result(result) = soon("a result", ends.client.receive()).await.unwrap() else { panic!() };
        assert_eq!(result.tile_ids().collect::<Vec<u16>>(), expected);
    }
}

pub(crate) async fn a_frame_without_any_payload_is_a_frame(kind: Kind) {
    let ends = session(kind).await;
    for (frame_id, payload_kind) in
        [(1, PayloadKind::TOKEN_CHUNK), (2, PayloadKind::NONE), (3, PayloadKind::TENSOR)]
    {
        let frame = SubmitFrame { payload_kind, ..SubmitFrame::new(frame_id) };
        ends.client.send(&frame).await.unwrap();
        let Received::Submit(submit) = soon("a frame", ends.server.receive()).await.unwrap() else {
            panic!()
        };
        assert_eq!(submit.packet.header.frame_id, frame_id);
        assert_eq!(submit.body.typed_payloads().len(), 0);
        assert_eq!(submit.body.sections().len(), 0);
    }
}

pub(crate) async fn small_frames_are_delivered_in_the_order_they_were_sent(kind: Kind) {
    let ends = session(kind).await;
    for round in 0..20 {
        let ids: Vec<u32> = (round * 16 + 1..=round * 16 + 16).collect();
        for frame_id in &ids {
            ends.client.send(&frame(*frame_id)).await.unwrap();
        }
        let mut seen = Vec::new();
        for _ in &ids {
            let Received::Submit(submit) = soon("a frame", ends.server.receive()).await.unwrap() else {
                panic!()
            };
            seen.push(submit.packet.header.frame_id);
        }
        // On one machine nothing is lost on the way; a QUIC stream cut by a datagram may still end after its successor.
        let places = if kind.is_quic() { 3 } else { 0 };
        for (place, frame_id) in seen.iter().enumerate() {
            let sent = ids.iter().position(|id| id == frame_id).unwrap();
            assert!(place.abs_diff(sent) <= places, "{seen:?}");
        }
    }
}
