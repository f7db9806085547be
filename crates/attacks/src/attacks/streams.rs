//! What only QUIC has: streams and datagrams.

use std::time::Duration;

use nnrp::clock;
use nnrp::wire::MessageType;
use quinn::{TransportConfig, VarInt};

use super::{Scale, dialer};
use crate::raw::{Raw, header, packet, submit};
use crate::{Dialer, Result, Victim, failed};

/// How long opening a stream may take before the attacker counts as held back.
const HELD_BACK: Duration = Duration::from_millis(500);

/// Draining, and closing after it, take 5 s each; the rest is for a busy machine.
const GOODBYE: Duration = Duration::from_secs(20);

/// Opens streams with `bytes` on each until there is no credit for more; returns them unfinished.
async fn fill(client: &Raw, bytes: &[u8], most: usize) -> Result<Vec<quinn::SendStream>> {
    let quic = client.quic()?;
    let mut open = Vec::new();
    while open.len() < most {
        let Ok(stream) = tokio::time::timeout(HELD_BACK, quic.open_uni()).await else { break };
        let mut stream = stream?;
        stream.write_all(bytes).await?;
        open.push(stream);
    }
    Ok(open)
}

/// As many streams as there is credit for, a byte on each, from several clients; control packets still pass.
pub(super) async fn ten_thousand_streams(victim: &Victim, _scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let open = fill(&client, b"N", 10_000).await?;
    if open.len() == 10_000 {
        return failed("ten thousand streams were granted to one client");
    }
    client.ping().await
}

/// Streams that declare the largest body there may be and bring nothing of it.
pub(super) async fn streams_that_declare_and_send_nothing(victim: &Victim, _scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let mut declared = header(MessageType::FrameSubmit.value(), client.session, 1, 72, 32 << 20);
    declared.resize(40 + 72, 0);
    let open = fill(&client, &declared, 10_000).await?;
    client.ping().await?;
    drop(open);
    Ok(())
}

/// Frames withdrawn in the middle of their bodies: each costs itself only.
pub(super) async fn resets_mid_body(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let frame = crate::raw::bulky(client.session, 1, 10_000);
    let half = frame.get(..frame.len() / 2).unwrap_or(&frame);
    let quic = client.quic()?;
    for round in 0..scale.of(20_000) {
        let mut stream = quic.open_uni().await?;
        stream.write_all(half).await?;
        stream.reset(VarInt::from_u32(0))?;
        if round % 500 == 0 {
            client.echo(u32::try_from(round)? + 2).await?;
        }
    }
    client.echo(1_000_000).await
}

/// STOP_SENDING on every result.
pub(super) async fn results_stopped(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let quic = client.quic()?;
    for frame in 0..u32::try_from(scale.of(10_000))? {
        client.frame(&submit(client.session, frame)).await?;
        let mut result = quic.accept_uni().await?;
        result.stop(VarInt::from_u32(1)).ok();
    }
    client.echo(1_000_000).await
}

/// Bidirectional streams beside the one there may be.
pub(super) async fn second_control_streams(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let quic = client.quic()?;
    for _ in 0..scale.of(10_000) {
        let (mut send, mut receive) = quic.open_bi().await?;
        // Whether it is refused before or after the bytes are on their way is the victim's choice.
        let _ = send.write_all(b"NNRP").await;
        let refused = tokio::time::timeout(Duration::from_secs(10), receive.read_to_end(1)).await?;
        if refused.is_ok() {
            return failed("a second control stream was taken");
        }
        let _ = send.reset(VarInt::from_u32(0));
    }
    client.echo(1).await
}

/// Datagrams that are no packet, or packets that do not belong into one, and PINGs without end.
pub(super) async fn garbage_datagrams(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let quic = client.quic()?;
    let ping = header(MessageType::Ping.value(), client.session, 0, 0, 0);
    for round in 0..scale.of(100_000) {
        let payload = match round % 4 {
            0 => vec![0xFF; round % 1000],
            1 => submit(client.session, 1),
            2 => header(MessageType::FrameCancel.value(), client.session, u32::try_from(round)?, 0, 0),
            _ => ping.clone(),
        };
        quic.send_datagram_wait(payload.into()).await?;
    }
    client.echo(1).await
}

/// STOP_SENDING on the control stream: without it the session is over, and nobody waits for its writer.
pub(super) async fn control_stopped(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    for _ in 0..scale.of(100) {
        let mut client = dialer.session().await?;
        client.stop_control()?;
        let ping = header(MessageType::Ping.value(), client.session, 0, 0, 0);
        let quic = client.quic()?;
        let ended = async {
            loop {
                let _ = client.send(&ping).await;
                tokio::select! {
                    _ = quic.closed() => return,
                    () = clock::sleep_until(Some(clock::now() + Duration::from_millis(20))) => {}
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), ended).await.is_err() {
            return failed("a session without its control stream lives on");
        }
    }
    Ok(())
}

/// A client that grants its victim no stream.
async fn without_credit(victim: &Victim) -> Result<Raw> {
    let mut closed = TransportConfig::default();
    closed.max_concurrent_uni_streams(VarInt::from_u32(0));
    Dialer::new(victim, closed)?.session().await
}

/// A client that grants no stream to its results, and asks for a megabyte each.
pub(super) async fn no_credit_for_results(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = without_credit(victim).await?;
    let session = client.session;
    let frames = (0..u32::try_from(scale.of(1000))?).map(|frame| submit(session, frame));
    client.frames_unless_held_back(frames, HELD_BACK).await?;
    // Control packets still pass.
    client.ping().await
}

/// The same, and frames that are refused unread: each is owed a RESULT_DROP that cannot leave.
pub(super) async fn no_credit_for_drops(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = without_credit(victim).await?;
    let session = client.session;
    let frames = (0..u32::try_from(scale.of(1_000_000))?)
        .map(|frame| header(MessageType::FrameSubmit.value(), session, frame, 72, u32::MAX));
    client.frames_unless_held_back(frames, HELD_BACK).await?;
    // What is held back is the client's own: the victim serves others.
    victim.serves().await
}

/// The same client says goodbye and stays: what it is owed cannot leave, and nobody waits for that for ever.
pub(super) async fn goodbye_without_credit(victim: &Victim, _scale: Scale) -> Result<()> {
    let mut client = without_credit(victim).await?;
    client.frame(&submit(client.session, 1)).await?;
    client.ping().await?;
    client.send(&packet(MessageType::Close, client.session, 0, &[], &[])).await?;
    match tokio::time::timeout(GOODBYE, client.quic()?.closed()).await {
        Ok(_) => Ok(()),
        Err(_) => failed("a session that is over lives on"),
    }
}
