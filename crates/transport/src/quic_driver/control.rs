//! The control stream: opened by the client, both directions, packets back to back.

use bytes::{Bytes, BytesMut};
use nnrp_session::{Arrival, DRAIN_TIME, HeaderVerdict, Lane, Side};
use nnrp_wire::{Header, Packet};
use quinn::{ReadExactError, RecvStream, SendStream, VarInt};
use tokio::io::AsyncReadExt;

use super::Driver;
use crate::inbox::Room;
use crate::path::Path;

/// Metadata and bodies of control packets are read into one buffer up to this size.
const CONTROL_CHUNK: usize = 64 * 1024;

/// Code of the reset that refuses a second bidirectional stream (R-QUIC-8): invalid_state.
const SECOND_CONTROL_STREAM: u32 = 3;

enum ControlEnd {
    /// The machine wants no more.
    Refused,
    /// Ended by the peer, in order or by a reset.
    Finished,
    /// Reset, or the whole connection is gone.
    ConnectionLost,
}

impl Driver {
    /// Opens or accepts it, gives its sending half to the writer, and reads the other.
    pub(super) async fn run_control(self, sender: tokio::sync::oneshot::Sender<SendStream>) {
        self.path.link.until_claimed().await;
        let opened = match self.path.side() {
            Side::Client => self.quic.open_bi().await,
            Side::Server => self.quic.accept_bi().await,
        };
        let Ok((send, mut receive)) = opened else { return };
        let _ = sender.send(send);
        let extra = tokio::spawn(self.clone().refuse_control_streams());
        if let ControlEnd::Finished = self.read_control(&mut receive).await {
            // Without its control stream the session is over, but frames that were sent before may still arrive: the
            // peer closes the connection when everything has, or it is closed for it.
            if tokio::time::timeout(DRAIN_TIME, self.quic.closed()).await.is_err() {
                self.close(0, "control stream ended");
            }
        }
        extra.abort();
    }

    /// R-QUIC-8.
    async fn refuse_control_streams(self) {
        while let Ok((mut send, mut receive)) = self.quic.accept_bi().await {
            let code = VarInt::from_u32(SECOND_CONTROL_STREAM);
            let _ = receive.stop(code);
            let _ = send.reset(code);
        }
    }

    async fn read_control(&self, receive: &mut RecvStream) -> ControlEnd {
        loop {
            self.path.link.control_released().await;
            self.path.replies_fit().await;
            let mut bytes = [0; Header::LEN];
            match receive.read_exact(&mut bytes).await {
                Ok(()) => {}
                Err(ReadExactError::FinishedEarly(_)) => return ControlEnd::Finished,
                Err(ReadExactError::ReadError(error)) => return lost(&error),
            }
            let (verdict, header) = self.path.handle_header(&bytes);
            let Some(header) = header else { return ControlEnd::Refused };
            let rest = u64::from(header.meta_len) + u64::from(header.body_len);
            match verdict {
                HeaderVerdict::Stop => return ControlEnd::Refused,
                HeaderVerdict::Skip => {
                    let mut thrown_away = tokio::io::sink();
                    let mut skipped = (&mut *receive).take(rest);
                    match tokio::io::copy(&mut skipped, &mut thrown_away).await {
                        Ok(copied) if copied == rest => {}
                        Ok(_) => return ControlEnd::Finished,
                        Err(_) => return ControlEnd::ConnectionLost,
                    }
                }
                HeaderVerdict::ReadHead => match read_head(receive, header).await {
                    Ok(Some(packet)) => {
                        self.path.handle_packet(packet, Arrival::Control, Room::default());
                    }
                    Ok(None) => return ControlEnd::Finished,
                    Err(_) => return ControlEnd::ConnectionLost,
                },
                HeaderVerdict::Read(lane) => {
                    let room = match lane {
                        Lane::Frame => match self.path.receive_room(header.body_len as usize).await {
                            Some(room) => room,
                            None => return ControlEnd::Refused,
                        },
                        _ => Room::default(),
                    };
                    match read_rest(&self.path, receive, header).await {
                        Ok(Some(packet)) => self.path.handle_packet(packet, Arrival::Control, room),
                        Ok(None) => return ControlEnd::Finished,
                        Err(_) => return ControlEnd::ConnectionLost,
                    }
                }
            }
        }
    }
}

fn lost(error: &quinn::ReadError) -> ControlEnd {
    match error {
        quinn::ReadError::Reset(_) => ControlEnd::Finished,
        _ => ControlEnd::ConnectionLost,
    }
}

/// Metadata of an accepted header; `None` when the stream ends too early.
async fn read_metadata(receive: &mut RecvStream, header: &Header) -> Result<Option<Bytes>, quinn::ReadError> {
    let mut metadata = BytesMut::zeroed((header.meta_len as usize).min(CONTROL_CHUNK));
    match receive.read_exact(&mut metadata).await {
        Ok(()) => Ok(Some(metadata.freeze())),
        Err(ReadExactError::FinishedEarly(_)) => Ok(None),
        Err(ReadExactError::ReadError(error)) => Err(error),
    }
}

/// Metadata of an accepted header, and its body thrown away as it arrives; `None` when the stream ends too early.
async fn read_head(receive: &mut RecvStream, header: Header) -> Result<Option<Packet>, quinn::ReadError> {
    let Some(metadata) = read_metadata(receive, &header).await? else { return Ok(None) };
    let mut missing = header.body_len as usize;
    while missing > 0 {
        match receive.read_chunk(missing, true).await? {
            Some(chunk) => missing -= chunk.bytes.len(),
            None => return Ok(None),
        }
    }
    Ok(Some(Packet { header, metadata, body: Bytes::new() }))
}

/// Metadata and body of an accepted header; `None` when the stream ends too early.
async fn read_rest(
    path: &Path,
    receive: &mut RecvStream,
    header: Header,
) -> Result<Option<Packet>, quinn::ReadError> {
    let Some(metadata) = read_metadata(receive, &header).await? else { return Ok(None) };
    let mut body = path.link.pool.take(header.body_len as usize);
    while body.missing() > 0 {
        match receive.read_chunk(body.missing(), true).await? {
            Some(chunk) => body.put(&chunk.bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(Packet::build(header, metadata, body.freeze())))
}
