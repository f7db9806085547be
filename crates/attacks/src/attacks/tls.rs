//! What only TLS over TCP has: its own handshake, before there is any packet of ours.

use super::handshake::drip;
use super::{Scale, dialer};
use crate::{Result, Victim, failed};

/// The first record of a handshake and its ClientHello: the record of 512 bytes, the message of 508.
const CLIENT_HELLO: [u8; 9] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC];

/// The largest payload of a record in the clear.
const RECORD: usize = 16 * 1024;

/// Clients whose ClientHello comes a byte now and then: the time for a hello begins with the connection.
pub(super) async fn tls_hello_that_never_ends(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut clients = Vec::new();
    for _ in 0..scale.of(1000) {
        clients.push(dialer.bare().await?);
    }
    let mut bytes = CLIENT_HELLO.to_vec();
    bytes.resize(100, 3);
    let trickling = clients.iter_mut().map(|client| drip(client, &bytes, victim));
    let everybody = futures_util::future::try_join_all(trickling);
    tokio::try_join!(everybody, victim.serves())?;
    Ok(())
}

/// A ClientHello that declares as much as a handshake message can, and sends it.
pub(super) async fn tls_hello_of_sixteen_megabytes(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    for _ in 0..scale.of(100) {
        let mut client = dialer.bare().await?;
        let mut record = vec![0x16, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF];
        record.resize(5 + RECORD, 0);
        for _ in 0..1024 {
            if client.send(&record).await.is_err() {
                break;
            }
            // The next ones go on where the first has begun.
            if let Some(begun) = record.get_mut(5..9) {
                begun.fill(0);
            }
        }
        client.until_closed().await?;
    }
    victim.serves().await
}

/// Bytes that are not TLS; among them an ordinary hello of ours, by somebody who forgot it.
pub(super) async fn garbage_instead_of_tls(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..scale.of(500) {
        let mut client = dialer.bare().await?;
        let mut bytes = crate::raw::hello();
        if round % 5 != 0 {
            for byte in &mut bytes {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = noise.to_be_bytes()[0];
            }
        }
        // The beginning of a handshake record, and of an alert.
        match round % 5 {
            1 => drop(bytes.splice(0..CLIENT_HELLO.len(), CLIENT_HELLO)),
            2 => drop(bytes.splice(0..5, [0x15, 3, 3, 0, 2])),
            _ => {}
        }
        client.send(&bytes).await?;
        // Noise may say that more is to come; this is all there is.
        client.finish().await?;
        client.until_closed().await?;
    }
    Ok(())
}

/// New keys for every record, each with the wish that the victim change its own: an answer for each would be work without
/// end, and memory from somebody who reads none.
pub(super) async fn new_keys_without_end(victim: &Victim, scale: Scale) -> Result<()> {
    let mut client = dialer(victim)?.session().await?;
    let ping = crate::raw::header(nnrp::wire::MessageType::Ping.value(), client.session, 0, 0, 0);
    for _ in 0..scale.of(100_000) {
        client.tls()?.get_mut().1.refresh_traffic_keys()?;
        if client.send(&ping).await.is_err() {
            return failed("a session that changes its keys is not served");
        }
    }
    client.echo(1).await
}
