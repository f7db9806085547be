//! Control packets without end.

use std::time::Duration;

use nnrp::clock;
use nnrp::wire::{CacheObjectKind, CachePutFlags, CachePutMetadata, FlowUpdateMetadata, Header, MessageType};

use super::{Scale, dialer};
use crate::raw::{Raw, header, hello, packet};
use crate::{Kind, Result, Victim, failed};

/// How long a victim that is busy may take nothing before it counts as holding its attacker back.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Packets sent in one write.
const TOGETHER: usize = 100;

/// Sends a packet so many times.
async fn repeat(client: &mut Raw, bytes: &[u8], times: usize) -> Result<()> {
    let many = bytes.repeat(TOGETHER);
    for _ in 0..times / TOGETHER {
        client.send(&many).await?;
    }
    Ok(())
}

/// Bodies of 4 GiB, declared for every type, and some megabytes of the last one.
pub(super) async fn bodies_of_four_gigabytes(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let (mut session, megabytes) = (dialer.session().await?, scale.of(200));
    for (message, meta_len) in [
        (MessageType::FrameSubmit, 72),
        (MessageType::CachePut, 32),
        (MessageType::SessionPatch, 36),
        (MessageType::Close, 0),
        (MessageType::Error, 32),
        (MessageType::TransportProbe, 16),
        (MessageType::Unknown(0x7F), 4),
    ] {
        let mut bytes = header(message.value(), session.session, 1, meta_len, u32::MAX);
        bytes.resize(Header::LEN + meta_len as usize, 0);
        if victim.kind == Kind::Quic && message == MessageType::FrameSubmit {
            let mut stream = session.quic()?.open_uni().await?;
            stream.write_all(&bytes).await?;
            stream.stopped().await?;
            // It cost that frame only.
            session.echo(2).await?;
            continue;
        }
        // On an ordered stream the rest has to be skipped, which is the attacker's loss.
        let mut client = dialer.session().await?;
        client.send(&bytes).await?;
        let megabyte = vec![0; 1 << 20];
        for _ in 0..megabytes {
            if client.send(&megabyte).await.is_err() {
                break;
            }
        }
    }
    session.ping().await
}

/// A hundred a second are answered, the others are not.
pub(super) async fn a_million_pings(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let ping = header(MessageType::Ping.value(), client.session, 0, 0, 0);
    repeat(&mut client, &ping, scale.of(1_000_000)).await?;
    client.echo(1).await?;
    // The next second has answers again, once the victim is through with what came before.
    let answered = async {
        loop {
            if let Ok(answered) = tokio::time::timeout(Duration::from_millis(1100), client.ping()).await {
                return answered;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await?
}

/// Packets of types nobody has assigned, each with a little body.
pub(super) async fn unknown_types(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    for message in [0x07, 0x0F, 0x22, 0x80, 0xFF] {
        let mut unknown = header(message, client.session, 0, 4, 100);
        unknown.resize(Header::LEN + 104, 0xEE);
        repeat(&mut client, &unknown, scale.of(100_000)).await?;
    }
    client.echo(1).await?;
    client.ping().await
}

/// A session that says hello again, and again.
pub(super) async fn duplicate_hello(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    repeat(&mut client, &hello(), scale.of(20_000)).await?;
    client.until(MessageType::Error).await?;
    client.ping().await?;
    client.echo(1).await
}

/// Objects for a cache that holds 8 MiB and 256 of them: many small ones, big ones, and some that never go away.
pub(super) async fn cache_flood(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let body = vec![0xCA; 1 << 20];
    for number in 0..u32::try_from(scale.of(20_000))? {
        let len = if number % 100 == 0 { body.len() } else { 64 };
        let put = CachePutMetadata {
            cache_namespace: 1,
            cache_key_lo: number,
            object_kind: CacheObjectKind::PromptSegment,
            object_bytes: u32::try_from(len)?,
            flags: if number % 7 == 0 { CachePutFlags::PINNED } else { CachePutFlags::REUSABLE },
            ..CachePutMetadata::default()
        };
        let object = body.get(..len).unwrap_or(&body);
        client.send(&packet(MessageType::CachePut, client.session, 0, &put.encode(), object)).await?;
        client.until(MessageType::CacheAck).await?;
    }
    client.echo(1).await
}

/// Questions the library answers by itself, from somebody who reads no answer: it is held back, and served once it reads.
pub(super) async fn questions_without_reading_answers(victim: &Victim, _scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let put = CachePutMetadata {
        cache_namespace: 1,
        object_kind: CacheObjectKind::PromptSegment,
        object_bytes: 1,
        ..CachePutMetadata::default()
    };
    let question = packet(MessageType::CachePut, client.session, 0, &put.encode(), b"x").repeat(TOGETHER);
    // Enough to fill what kernels hold on both sides, many times.
    let mut asked = 0;
    loop {
        if !client.send_unless_held_back(&question, HELD_BACK).await? {
            break;
        }
        asked += TOGETHER;
        if asked > 2_000_000 {
            return failed("two million questions were taken from somebody who reads no answer");
        }
    }
    // Reading sets the rest free, and no answer was thrown away.
    for _ in 0..asked {
        client.until(MessageType::CacheAck).await?;
    }
    Ok(())
}

/// Control packets for an application that reads none.
pub(super) async fn control_nobody_reads(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    // An ERROR that is not fatal is for the application; with the largest text there may be.
    let mut metadata = [0; 32];
    metadata[0] = 3;
    metadata[4] = 1;
    let text = vec![b'x'; 64 * 1024];
    let error = packet(MessageType::Error, client.session, 0, &metadata, &text);
    for _ in 0..scale.of(20_000) {
        client.send(&error).await?;
    }
    let mut update = FlowUpdateMetadata::default();
    for epoch in 1..=u32::try_from(scale.of(50_000))? {
        update.credit_epoch = epoch;
        let session = client.session;
        client.send(&packet(MessageType::FlowUpdate, session, 0, &update.encode(), &[])).await?;
    }
    client.ping().await
}

/// A connection without a session keeps what it gets for its application, up to a point.
pub(super) async fn packets_on_a_raw_connection(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.dial().await?;
    let text = vec![b'x'; 64 * 1024];
    let close = packet(MessageType::Close, 0, 0, &[], &text);
    for _ in 0..scale.of(20_000) {
        client.send(&close).await?;
    }
    // They are read as they come; the last of them when nothing changes any more.
    let mut last = victim.memory().await?.held;
    loop {
        clock::sleep_until(Some(clock::now() + Duration::from_millis(200))).await;
        let held = victim.memory().await?.held;
        if std::mem::replace(&mut last, held) == held {
            return Ok(());
        }
    }
}
