//! Frames: too many, too big, too clever.

use std::iter::repeat_n;
use std::time::Duration;

use nnrp::clock;
use nnrp::wire::{FrameSubmitMetadata, Header, MessageType, Revision, SubmitFrame, TileIndexMode};
use quinn::{TransportConfig, VarInt};

use super::{Scale, dialer};
use crate::raw::{READ_AT_ONCE, bulky, packet, submit};
use crate::serve::LAVISH_BYTES;
use crate::{Dialer, Kind, Result, Victim, failed};

/// How long a victim that is busy may take nothing before it counts as holding its attacker back.
const HELD_BACK: Duration = Duration::from_secs(1);

/// From the end of a session on, for all that is left of it together: twice the drain time to write it and once for the peer to
/// close, and some room for a busy machine.
const LEAVING: Duration = Duration::from_secs(18);

/// One client speaks for another's session.
pub(super) async fn session_id_spoofing(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut owner = dialer.session().await?;
    let mut thief = dialer.session().await?;
    for round in 0..u32::try_from(scale.of(5000))? {
        let other = owner.session.wrapping_add(1 + round);
        thief.frame(&submit(other, round)).await?;
        thief.send(&packet(MessageType::FrameCancel, other, 1, &[], &[])).await?;
        thief.send(&packet(MessageType::CacheInvalidate, other, 0, &[0; 20], &[])).await?;
    }
    owner.echo(1).await?;
    thief.echo(9_000_001).await?;
    // Both asked for session 1, which names nothing outside its own connection: closing one ends one.
    thief.send(&packet(MessageType::Close, thief.session, 0, &[], &[])).await?;
    owner.echo(2).await
}

/// Small frames for an application that reads none: after the inbox is full they stay with the client.
pub(super) async fn flood_beyond_the_inbox(victim: &Victim, _scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let frame = submit(client.session, 1);
    if client.frames_unless_held_back(repeat_n(&frame, 500_000), HELD_BACK).await? {
        return failed("half a million frames were taken for an application that reads none");
    }
    if victim.kind == Kind::Quic {
        // Frames have streams of their own: control packets still pass.
        client.ping().await?;
    }
    Ok(())
}

/// The same with frames of a megabyte: the bytes are bounded as well.
pub(super) async fn big_frames_beyond_the_inbox(victim: &Victim, _scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let frame = bulky(client.session, 1, 1 << 20);
    if client.frames_unless_held_back(repeat_n(&frame, 1000), HELD_BACK).await? {
        return failed("a gigabyte was taken for an application that reads none");
    }
    if victim.kind == Kind::Quic {
        // The window that all streams share is full: a PING goes in a datagram, and so does its answer.
        client.ping_by_datagram().await?;
    }
    Ok(())
}

/// Results of a megabyte for somebody who takes none of them: what waits is bounded, and frames are still read.
pub(super) async fn results_nobody_reads(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let session = client.session;
    let frames = (0..u32::try_from(scale.of(2000))?).map(|frame| submit(session, frame));
    client.frames_unless_held_back(frames, HELD_BACK).await?;
    clock::sleep_until(Some(clock::now() + Duration::from_secs(1))).await;
    if victim.kind == Kind::Quic {
        client.ping().await?;
    }
    Ok(())
}

/// Frames of 8 KiB that name 65535 tiles each: a bit for an id of two bytes, and servers remember which tiles a frame
/// asked for.
pub(super) async fn tiles_by_the_bit(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let frame = SubmitFrame {
        // Every id but 1: no range says the same in two numbers.
        tile_ids: (0..=u16::MAX).filter(|id| *id != 1).collect(),
        tile_index_mode: TileIndexMode::Bitset,
        ..SubmitFrame::new(1)
    };
    for frame_id in 0..u32::try_from(scale.of(5000))? {
        let frame = SubmitFrame { frame_id, ..frame.clone() };
        client.frame(&frame.encode(client.session, Revision::Current)?.to_packet().to_bytes()).await?;
        if frame_id % 100 == 99 {
            client.echo(1_000_000 + frame_id).await?;
        }
    }
    client.echo(2_000_000).await
}

/// Metadata that counts to 65535 over bodies of nothing.
pub(super) async fn counts_of_65535(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let honest = submit(client.session, 1);
    let metadata = honest.get(Header::LEN..Header::LEN + FrameSubmitMetadata::LEN).unwrap_or(&[]);
    let body = honest.get(Header::LEN + FrameSubmitMetadata::LEN..).unwrap_or(&[]);
    // tile_count, section_count, camera_bytes, tile_index_bytes, payload_frame_count.
    let lies: [(usize, &[u8]); 5] =
        [(8, &[0xFF; 2]), (10, &[0xFF; 2]), (28, &[0xFF; 4]), (32, &[0xFF; 4]), (68, &[0xFF; 2])];
    // Each is dropped on a stream of its own. Whoever takes none of them is held back, which is another attack.
    let taking = client.quic.clone().map(|quic| {
        tokio::spawn(async move {
            while let Ok(mut dropped) = quic.accept_uni().await {
                dropped.stop(VarInt::from_u32(0)).ok();
            }
        })
    });
    for round in 0..u32::try_from(scale.of(2000))? {
        for (at, value) in lies {
            let mut metadata = metadata.to_vec();
            if let Some(field) = metadata.get_mut(at..at + value.len()) {
                field.copy_from_slice(value);
            }
            // Zeros of 64 KiB are a good many empty descriptors.
            let body = if round % 2 == 0 { body.to_vec() } else { vec![0; 64 * 1024] };
            client.frame(&packet(MessageType::FrameSubmit, client.session, round, &metadata, &body)).await?;
        }
    }
    if let Some(taking) = taking {
        taking.abort();
    }
    client.echo(9_000_000).await
}

/// A frame that trickles in, and a client that reads its result a byte at a time, beside one that is in a hurry.
pub(super) async fn one_byte_at_a_time(victim: &Victim, scale: Scale) -> Result<()> {
    let mut narrow = TransportConfig::default();
    narrow.stream_receive_window(VarInt::from_u32(16)).receive_window(VarInt::from_u32(4096));
    let dialer = Dialer::new(victim, narrow)?;
    let mut slow = Vec::new();
    for _ in 0..scale.of(200) {
        slow.push(dialer.session().await?);
    }
    let trickling = slow.into_iter().map(|mut client| async move {
        let bytes = submit(client.session, 1);
        let mut stream = match &client.quic {
            None => None,
            Some(quic) => Some(quic.open_uni().await?),
        };
        for byte in &bytes {
            match &mut stream {
                None => client.send(&[*byte]).await?,
                Some(stream) => stream.write_all(&[*byte]).await?,
            }
            clock::sleep_until(Some(clock::now() + Duration::from_millis(10))).await;
        }
        // The rest of the frame is in; now something quick on the same session.
        if let Some(stream) = &mut stream {
            stream.finish()?;
        }
        client.echo(2).await
    });
    let everybody = futures_util::future::try_join_all(trickling);
    tokio::try_join!(everybody, victim.serves())?;
    Ok(())
}

/// A client that has said goodbye reads now and then of what it is owed, as much as one result each time: that does not keep
/// its session, nor does each result get the time that all of them have.
pub(super) async fn slow_reader_after_goodbye(victim: &Victim, _scale: Scale) -> Result<()> {
    let before = victim.memory().await?;
    let mut client = dialer(victim)?.session().await?;
    for frame in 0..50 {
        client.frame(&submit(client.session, frame)).await?;
    }
    // Some results are on their way, more than kernels hold.
    client.until(MessageType::ResultPush).await?;
    client.send(&packet(MessageType::Close, client.session, 0, &[], &[])).await?;
    let trickle = async {
        'reading: loop {
            for _ in 0..LAVISH_BYTES / READ_AT_ONCE {
                if client.read_a_little().await.is_err() {
                    break 'reading;
                }
            }
            clock::sleep_until(Some(clock::now() + Duration::from_secs(4))).await;
        }
        // A reset is the end, too.
        std::future::pending::<Result<()>>().await
    };
    let forgotten = async {
        victim.until("the session over", |memory| memory.sessions == 0).await?;
        let over = clock::now();
        victim.until("the socket closed", |memory| memory.files <= before.files).await?;
        let left = clock::now().saturating_duration_since(over);
        if left > LEAVING { failed(format!("the socket closed after {left:?}")) } else { Ok(()) }
    };
    tokio::select! {
        trickled = trickle => trickled,
        forgotten = forgotten => forgotten,
    }
}
