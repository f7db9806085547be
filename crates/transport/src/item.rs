//! What can be received, and how receivers say what they want of it.

use bytes::Bytes;
use nnrp_session::{
    Established, FailedFrame, FrameKey, HandshakeFailure, MigrationAnswer, ReceivedHello, ReceivedMigration,
    ReceivedResult, ReceivedSubmit, RejectedPacket,
};
use nnrp_wire::{MessageType, Packet};

/// Something to receive. Small, because it is moved about: what is large is in a box.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// A packet nobody but the application understands: any packet on a raw connection, a control packet in a
    /// session.
    Packet(Box<Packet>),
    /// A QUIC datagram on a raw connection.
    Datagram(Bytes),
    /// Server: a client wants in.
    Hello(Box<ReceivedHello>),
    /// Server: a client wants to go on with a session over this connection.
    Migrate(Box<ReceivedMigration>),
    /// Client: the answer to that.
    MigrationAnswered(Box<MigrationAnswer>),
    /// Client: the session exists.
    Established(Box<Established>),
    /// The handshake failed.
    HandshakeFailed(Box<HandshakeFailure>),
    /// Server: a frame.
    Submit(Box<ReceivedSubmit>),
    /// A packet that was refused and answered.
    Rejected(Box<RejectedPacket>),
    /// Client: a result or a drop.
    Result(Box<ReceivedResult>),
    /// Client: a frame that failed.
    FrameFailed(Box<FailedFrame>),
}

impl Item {
    pub(crate) fn queue(&self) -> Queue {
        match self {
            Item::Hello(_)
            | Item::Migrate(_)
            | Item::MigrationAnswered(_)
            | Item::Established(_)
            | Item::HandshakeFailed(_) => Queue::Handshake,
            Item::Submit(_) | Item::Rejected(_) => Queue::Submit,
            Item::Result(_) | Item::FrameFailed(_) => Queue::Result,
            Item::Datagram(_) => Queue::Datagram,
            Item::Packet(packet) => match packet.header.msg_type {
                MessageType::FrameSubmit => Queue::Submit,
                MessageType::ResultPush | MessageType::ResultDrop => Queue::Result,
                _ => Queue::Control,
            },
        }
    }

    /// What an application that does not take it makes us hold.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Item::Datagram(payload) => payload.len(),
            _ => self.packet().map_or(0, |packet| packet.metadata.len() + packet.body.len()),
        }
    }

    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Item::Rejected(_))
    }

    /// The packet behind the item, when it has one.
    pub fn packet(&self) -> Option<&Packet> {
        match self {
            Item::Packet(packet) => Some(packet),
            Item::Datagram(_) => None,
            Item::Hello(hello) => Some(&hello.packet),
            Item::Migrate(migration) => Some(&migration.packet),
            Item::MigrationAnswered(answer) => Some(&answer.packet),
            Item::Established(established) => Some(&established.packet),
            Item::HandshakeFailed(failure) => failure.packet.as_ref(),
            Item::Submit(submit) => Some(&submit.packet),
            Item::Rejected(rejected) => rejected.packet.as_ref(),
            Item::Result(result) => Some(&result.packet),
            Item::FrameFailed(failed) => failed.packet.as_ref(),
        }
    }

    pub(crate) fn key(&self) -> Option<FrameKey> {
        match self {
            Item::FrameFailed(failed) => Some(failed.key),
            _ => self.packet().map(|packet| FrameKey::from(&packet.header)),
        }
    }
}

/// What a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// The next packet of any kind, in order of arrival.
    Any,
    /// Control packets.
    Control,
    /// Control packets of one type.
    Message(MessageType),
    /// Submits, and packets refused in their place.
    Submit,
    /// Results, drops and failures of any frame.
    Result,
    /// Results, drops and failures of one frame; `None` means any view.
    ResultOf {
        /// The frame.
        frame_id: u32,
        /// Its view.
        view_id: Option<u16>,
    },
    /// The outcome of the handshake.
    Handshake,
    /// Datagrams.
    Datagram,
}

impl Filter {
    pub(crate) fn queues(self) -> &'static [Queue] {
        match self {
            Filter::Any => &[Queue::Control, Queue::Submit, Queue::Result],
            Filter::Control | Filter::Message(_) => &[Queue::Control],
            Filter::Submit => &[Queue::Submit],
            Filter::Result | Filter::ResultOf { .. } => &[Queue::Result],
            Filter::Handshake => &[Queue::Handshake],
            Filter::Datagram => &[Queue::Datagram],
        }
    }

    pub(crate) fn matches(self, item: &Item) -> bool {
        if !self.queues().contains(&item.queue()) {
            return false;
        }
        match self {
            Filter::Message(wanted) => item.packet().is_some_and(|packet| packet.header.msg_type == wanted),
            Filter::ResultOf { .. } => item.key().is_some_and(|key| self.is_for(key)),
            _ => true,
        }
    }

    /// Whether it is for this frame, and for no other.
    pub(crate) fn is_for(self, key: FrameKey) -> bool {
        matches!(self, Filter::ResultOf { frame_id, view_id }
            if key.frame_id == frame_id && view_id.is_none_or(|view| view == key.view_id))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Control,
    Submit,
    Result,
    Handshake,
    Datagram,
}

pub(crate) const QUEUES: usize = 5;
