//! Before anybody is admitted.

use std::time::Duration;

use nnrp::wire::MessageType;

use super::{Scale, dialer};
use crate::raw::{Raw, header, hello, packet, submit};
use crate::{Kind, Result, Victim, failed};

/// Bytes of a hello that come within the time there is for it: one a second in a full attack.
const DRIPS: u32 = 10;

/// Clients that begin their hello and add a byte now and then; each has to be gone when its time is up.
pub(super) async fn hello_that_never_ends(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut clients = Vec::new();
    for _ in 0..scale.of(1000) {
        clients.push(dialer.dial().await?);
    }
    let trickling =
        clients.into_iter().map(|mut client| async move { drip(&mut client, &hello(), victim).await });
    let everybody = futures_util::future::try_join_all(trickling);
    tokio::try_join!(everybody, victim.serves())?;
    Ok(())
}

/// Sends a byte now and then until the victim ends the connection, which it has to do long before the last of them.
pub(super) async fn drip(client: &mut Raw, bytes: &[u8], victim: &Victim) -> Result<()> {
    let pause = victim.handshake / DRIPS;
    for byte in bytes {
        if client.send(&[*byte]).await.is_err() {
            return Ok(());
        }
        // What the victim says is no concern of this client, except that it ends.
        if let Ok(ended) = tokio::time::timeout(pause, client.until_closed()).await {
            return ended;
        }
    }
    failed(format!("a hello took {} times as long as there is", bytes.len() / DRIPS as usize))
}

/// A hello that declares more than anybody has.
pub(super) async fn hello_of_four_gigabytes(victim: &Victim, _scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    for body_len in [u32::MAX, 64 * 1024 + 1] {
        let mut client = dialer.dial().await?;
        client.send(&header(MessageType::ClientHello.value(), 0, 0, 64, body_len)).await?;
        client.until(MessageType::Error).await?;
        client.until_closed().await?;
    }
    Ok(())
}

/// As many empty extensions as fit a hello.
pub(super) async fn hello_with_too_many_extensions(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let good = hello();
    // Type 9, not critical, no payload; the block's length stands in the last four bytes of the metadata.
    let extension = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let body = extension.repeat(4000);
    let metadata = good.get(40..104).ok_or("a hello has 64 bytes of metadata")?;
    for at in (0..metadata.len()).step_by(4).take(scale.of(160)) {
        // Wherever a length may stand, it says that everything behind it is extensions.
        let mut metadata = metadata.to_vec();
        if let Some(field) = metadata.get_mut(at..at + 4) {
            field.copy_from_slice(&u32::try_from(body.len())?.to_le_bytes());
        }
        let mut client = dialer.dial().await?;
        client.send(&packet(MessageType::ClientHello, 0, 0, &metadata, &body)).await?;
        let _answer = client.next().await?;
        // One that admits is told that the attacker is leaving.
        client.send(&packet(MessageType::Close, 0, 0, &[], &[])).await.ok();
    }
    Ok(())
}

/// Frames, streams and megabytes by somebody nobody knows.
pub(super) async fn frames_before_the_hello(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    for _ in 0..scale.of(200) {
        let mut client = dialer.dial().await?;
        if let Some(quic) = &client.quic
            && tokio::time::timeout(Duration::from_millis(20), quic.open_uni()).await.is_ok()
        {
            return failed("a stream for frames before anybody is admitted");
        }
        client.send(&submit(1, 1)).await?;
        client.until(MessageType::Error).await?;
        client.until_closed().await?;
    }
    Ok(())
}

/// More silent clients than there are places. Those beyond are turned away at once, the others when their time is up.
pub(super) async fn everybody_silent(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut clients = Vec::new();
    // The places are as many in a small attack: it has to fill them.
    let clients_wanted = if victim.kind == Kind::Quic { scale.of(1500) } else { 1500 };
    for number in 0..clients_wanted {
        // Over TLS, half of them do not even begin with that.
        let silent = victim.kind == Kind::Tls && number % 2 == 0;
        clients.extend(if silent { dialer.bare().await } else { dialer.dial().await }.ok());
    }
    victim.memory().await?;
    let waiting = clients.iter_mut().map(Raw::until_closed);
    futures_util::future::try_join_all(waiting).await?;
    victim.serves().await
}

/// Bytes that are no packet.
pub(super) async fn garbage_instead_of_a_hello(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..scale.of(500) {
        let mut client = dialer.dial().await?;
        let mut bytes = Vec::new();
        for _ in 0..64 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.extend((noise >> 16).to_le_bytes());
        }
        if round % 2 == 0 {
            bytes.splice(0..4, *b"NNRP");
        }
        client.send(&bytes).await?;
        client.until_closed().await?;
    }
    Ok(())
}
