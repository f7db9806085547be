//! Datagrams: three kinds of packets, or, on raw connections, whatever an application makes of them.

use bytes::Bytes;
use nnrp_session::Arrival;
use nnrp_wire::{Header, MessageType, Packet};

use super::Driver;
use crate::inbox::Room;
use crate::item::Item;

impl Driver {
    pub(super) async fn accept_datagrams(self) {
        self.path.link.until_claimed().await;
        while let Ok(payload) = self.quic.read_datagram().await {
            if self.path.is_raw() {
                // A copy of its own: what quinn hands out is a view of all that came from the socket with it.
                let payload = Bytes::copy_from_slice(&payload);
                self.path.session().inbox.push(Item::Datagram(payload), Room::default());
                continue;
            }
            // R-QUIC-10: exactly one of three header-only packets, or nothing.
            let Some(bytes) =
                payload.first_chunk::<{ Header::LEN }>().filter(|_| payload.len() == Header::LEN)
            else {
                continue;
            };
            let Ok(header) = Header::decode(bytes) else { continue };
            let allowed =
                matches!(header.msg_type, MessageType::FrameCancel | MessageType::Ping | MessageType::Pong);
            if allowed && header.meta_len == 0 && header.body_len == 0 {
                let packet = Packet::build(header, Bytes::new(), Bytes::new());
                self.path.handle_packet(packet, Arrival::Datagram, Room::default());
            }
        }
    }
}
