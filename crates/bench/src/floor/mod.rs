//! The floors: the least code that moves the same bytes over the same transports, written as well as we can. What they leave
//! out is everything a protocol is for: metadata, states, limits, cancelling, fairness between sessions.
//!
//! A frame is [`PREFIX_BYTES`] and the payload; the result is the same.

mod quic;
mod stream;

use crate::Error;
use crate::options::{Options, Transport};

/// Length of the payload and number of the frame, four bytes each, little endian.
const PREFIX_BYTES: usize = 8;

/// Largest payload a server of the floor takes.
const MAX_PAYLOAD_BYTES: usize = 32 * 1024 * 1024;

const ALPN: &[u8] = b"floor";

/// Answers every frame of every client.
pub(crate) async fn serve(options: &Options) -> Result<(), Error> {
    match options.transport {
        Transport::Tcp => stream::serve(options, None).await,
        Transport::Tls => {
            let tls = crate::certificates::server(&options.certificates, ALPN)?;
            stream::serve(options, Some(tls)).await
        }
        Transport::Quic => quic::serve(options).await,
    }
}

/// Keeps frames in flight and measures.
pub(crate) async fn load(options: &Options) -> Result<(), Error> {
    if options.beside_size > 0 {
        return Err("the floor moves frames of one size in a session".into());
    }
    match options.transport {
        Transport::Tcp => stream::load(options, None).await,
        Transport::Tls => {
            let tls = crate::certificates::client(&options.certificates, ALPN)?;
            stream::load(options, Some(tls)).await
        }
        Transport::Quic => quic::load(options).await,
    }
}

fn prefix(length: usize, id: u32) -> Result<[u8; PREFIX_BYTES], Error> {
    let mut bytes = [0; PREFIX_BYTES];
    bytes[..4].copy_from_slice(&u32::try_from(length)?.to_le_bytes());
    bytes[4..].copy_from_slice(&id.to_le_bytes());
    Ok(bytes)
}

/// Length and number; the length is checked before anything is made of it.
fn parse(prefix: [u8; PREFIX_BYTES]) -> Result<(usize, u32), Error> {
    let [a, b, c, d, rest @ ..] = prefix;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_PAYLOAD_BYTES {
        return Err(format!("a frame of {length} bytes").into());
    }
    Ok((length, u32::from_le_bytes(rest)))
}
