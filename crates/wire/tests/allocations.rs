//! Decoding a small frame allocates nothing, and large frames allocate no more often than small ones.

#![allow(unsafe_code, reason = "a counting allocator has to be one")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use nnrp_wire::{
    CacheObjectKind, FrameBody, FrameSubmitMetadata, Header, InlineObject, Message, Packet, Revision,
    Section, SubmitFrame, TensorDType, TypedPayload,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    let result = work();
    let counted = ALLOCATIONS.get() - before;
    drop(result);
    counted
}

fn frame(sections: u16, tiles: u16, tile_bytes: usize) -> SubmitFrame {
    let tile = Bytes::from(vec![7; tile_bytes]);
    SubmitFrame {
        tile_ids: (0..tiles).collect(),
        sections: (0..sections)
            .map(|role| Section::new(role, TensorDType::Uint8).tiles(vec![tile.clone(); tiles.into()]))
            .collect(),
        ..SubmitFrame::new(1)
    }
}

fn packet(frame: &SubmitFrame) -> Packet {
    Packet::decode(frame.encode(7, Revision::Current).unwrap().to_bytes()).unwrap()
}

#[test]
fn decoding_a_body_allocates_nothing() {
    let typed =
        SubmitFrame { typed_payloads: vec![TypedPayload::token_chunk("hello")], ..SubmitFrame::new(1) };
    for frame in [frame(1, 2, 8), frame(16, 64, 32), typed] {
        let packet = packet(&frame);
        let counted = allocations(|| {
            let metadata = FrameSubmitMetadata::decode(&packet.metadata).unwrap();
            FrameBody::decode_submit(&metadata, &packet.body, &[]).unwrap()
        });
        assert_eq!(counted, 0);
    }
}

#[test]
fn looking_at_a_frame_allocates_nothing() {
    let packet = packet(&frame(16, 64, 32));
    let Message::FrameSubmit { body, .. } = packet.message().unwrap() else { panic!() };
    let counted = allocations(|| {
        let ids = body.tile_ids().map(usize::from).sum::<usize>();
        let bytes = body.sections().flat_map(|section| section.tiles()).map(|tile| tile.len()).sum::<usize>();
        assert_eq!((ids, bytes), (2016, 16 * 64 * 32));
    });
    assert_eq!(counted, 0);
}

#[test]
fn decoding_a_header_allocates_nothing() {
    let raw = Header::default().encode();
    assert_eq!(allocations(|| Header::decode(&raw)), 0);
}

#[test]
fn encoding_does_not_allocate_for_each_tile() {
    let small = frame(1, 2, 8);
    let large = frame(16, 1024, 64);
    let count = |frame: &SubmitFrame| allocations(|| frame.encode(7, Revision::Current).unwrap());
    assert!(count(&small) <= 6, "{}", count(&small));
    assert!(count(&large) <= count(&small) + 4, "{} and {}", count(&large), count(&small));
}

#[test]
fn encoding_takes_little_more_memory_than_the_packet_has() {
    for n in [1, 16, 256, 4096] {
        let typed_payloads = vec![TypedPayload::token_chunk("hello"); n.into()];
        let objects =
            vec![InlineObject { kind: CacheObjectKind::PromptSegment, ..Default::default() }; n.into()];
        let typed = SubmitFrame { typed_payloads, ..SubmitFrame::new(1) };
        for frame in [frame(1, n, 8), frame(n, 2, 8), SubmitFrame { objects, ..typed.clone() }, typed] {
            let before = BYTES.get();
            let encoded = frame.encode(7, Revision::Current).unwrap();
            let taken = BYTES.get() - before;
            // The list of what an object is made from is as long as the objects are.
            assert!(taken <= 4 * encoded.len(), "{taken} bytes for {}", encoded.len());
        }
    }
}
