//! A frame of which not everything was there when its stream was opened.

use std::sync::Arc;

use bytes::BytesMut;
use nnrp_session::{Arrival, FrameKey, HeaderVerdict, Lane, Side};
use nnrp_wire::{Header, Packet};
use quinn::{ReadError, ReadExactError};

use super::Driver;
use super::frame_stream::FrameStream;
use super::ordering::SharedOrder;
use crate::inbox::Room;
use crate::order::ORDER_PATIENCE;
use crate::path::FrameRoom;

/// Metadata is read into one buffer up to this size; no packet that was not refused has more.
const METADATA_CHUNK: usize = 64 * 1024;

/// What has been done with a stream.
pub(super) enum Begun {
    /// Its first header has not arrived.
    Nothing,
    /// Its first packet's header was handled, and has been read over.
    Header(Lane, Header),
    /// Its first packet was handled; whether more follows is not known.
    Packet,
    /// It brings nothing more.
    Everything,
}

impl Driver {
    /// Reads a stream on. `room` is that of its first frame.
    pub(super) async fn read_frame(
        self,
        mut stream: FrameStream,
        begun: Begun,
        order: Arc<SharedOrder>,
        room: FrameRoom,
    ) {
        let id = stream.id();
        let mut next = match begun {
            Begun::Nothing => self.first_header(&mut stream, &order).await.map(|header| (header, Some(room))),
            Begun::Header(lane, header) => Some(((lane, header), Some(room))),
            Begun::Packet => self.further_header(&mut stream).await,
            Begun::Everything => None,
        };
        while let Some(((lane, header), room)) = next.take() {
            if self.read_packet(&mut stream, lane, header, &order, room).await {
                next = self.further_header(&mut stream).await;
            }
        }
        order.change(&self.path, |order| order.gave_up(id));
    }

    /// Waits for the header of a stream's first packet. Results that were sent later wait for it too, but not for ever.
    async fn first_header(&self, stream: &mut FrameStream, order: &SharedOrder) -> Option<(Lane, Header)> {
        stream.keep();
        let id = stream.id();
        let header = self.header(stream);
        if self.path.side() == Side::Server {
            return header.await;
        }
        tokio::pin!(header);
        match tokio::time::timeout(ORDER_PATIENCE, &mut header).await {
            Ok(header) => header,
            Err(_) => {
                order.change(&self.path, |order| order.gave_up(id));
                header.await
            }
        }
    }

    /// A well-behaved peer sends one packet; for any further one there has to be room again.
    async fn further_header(&self, stream: &mut FrameStream) -> Option<((Lane, Header), Option<FrameRoom>)> {
        stream.keep();
        let header = self.header(stream).await?;
        Some((header, self.path.frame_room().await))
    }

    /// Waits for a header, and handles it. `None` when the stream is done.
    async fn header(&self, stream: &mut FrameStream) -> Option<(Lane, Header)> {
        let mut bytes = [0; Header::LEN];
        match stream.read_exact(&mut bytes).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(_)) => return None,
            Err(ReadExactError::FinishedEarly(got)) => {
                self.path.handle_truncated_header(got);
                return None;
            }
        }
        let (HeaderVerdict::Read(lane), Some(header)) = self.path.handle_header(&bytes) else {
            stream.refuse();
            return None;
        };
        Some((lane, header))
    }

    /// What follows a header. False when the stream is done.
    async fn read_packet(
        &self,
        stream: &mut FrameStream,
        lane: Lane,
        header: Header,
        order: &SharedOrder,
        frame_room: Option<FrameRoom>,
    ) -> bool {
        let (id, key) = (stream.id(), FrameKey::from(&header));
        let ordered = self.path.side() == Side::Client;
        if ordered {
            order.change(&self.path, |order| order.named(id, key));
        }
        let room = match lane {
            Lane::Frame => {
                let body_len = header.body_len as usize;
                let mut frame_room = frame_room.unwrap_or(FrameRoom(None));
                let room = match self.path.body_room_now(self.path.session(), &mut frame_room, body_len) {
                    Some(room) => room,
                    None => {
                        stream.keep();
                        let body_room = tokio::select! {
                            biased;
                            room = self.path.body_room(body_len) => room.and_then(|room| room.0),
                            // What waits behind this packet occupies the room it waits for.
                            () = order.holds_back(id, key) => None,
                        };
                        Room(frame_room.0, body_room)
                    }
                };
                if self.path.is_ended() {
                    return false;
                }
                room
            }
            _ => Room::default(),
        };
        match self.read_rest(stream, header).await {
            Ok(Some(packet)) if ordered && lane == Lane::Frame => {
                order.change(&self.path, |order| order.completed(id, key, (packet, room)));
                true
            }
            Ok(Some(packet)) => {
                self.path.handle_packet(packet, Arrival::Stream(id), room);
                true
            }
            Ok(None) => {
                self.path.handle_truncated(&header);
                false
            }
            // RESET_STREAM: the sender withdrew it (R-QUIC-7); or the connection is lost, which others notice.
            Err(_) => false,
        }
    }

    /// Metadata and body; `None` when the stream ends too early.
    async fn read_rest(&self, stream: &mut FrameStream, header: Header) -> Result<Option<Packet>, ReadError> {
        let mut metadata = BytesMut::zeroed((header.meta_len as usize).min(METADATA_CHUNK));
        match stream.read_exact(&mut metadata).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(_)) => return Ok(None),
            Err(ReadExactError::ReadError(error)) => return Err(error),
        }
        let mut body = self.path.link.pool.take(header.body_len as usize);
        let complete = stream.read_body(&mut body).await?;
        Ok(complete.then(|| Packet::build(header, metadata.freeze(), body.freeze())))
    }
}
