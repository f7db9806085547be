//! Small packets that lie whole in a read buffer: all of them in one turn on the machine.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use nnrp_session::{Arrival, HeaderVerdict, Lane, Machine};
use nnrp_wire::{Header, Packet};

use crate::clock;
use crate::inbox::Room;
use crate::path::{Path, Standing, handle_header, handle_packet};
use crate::publish::Wakes;
use crate::shared::Shared;

/// Bodies up to this size stay slices of the shared read buffer; larger ones are read straight into a buffer of
/// their own. Some more than 4 KiB, because a tensor of that size comes with its tables, and a copy of it and the memory for that
/// cost as much as a sixth of all else that a frame of 64 B needs.
pub(crate) const SHARED_BODY: usize = 8 * 1024;

/// Bodies up to this size are copied out of the read buffer when they lie whole in it: that costs less than a turn on the machine
/// and a read of their own.
pub(crate) const WHOLE_BODY: usize = 16 * 1024;

/// Packets handled in one turn: how long an application's call may have to wait for the machine.
const BATCH: usize = 64;

/// What is next in a read buffer.
pub(crate) enum Next {
    /// More packets, perhaps; first it has to be waited until reading may go on.
    Packets,
    /// Too little for a header.
    Bytes,
    /// A packet whose header has been handled, and which is too large to be handled there, or not all there, or for which
    /// there is no room.
    Rest(HeaderVerdict, Header),
    /// The machine wants no more.
    Refused,
}

impl Path {
    /// Handles the whole small packets at the beginning of `buffer`, as many as there are and there is room for, and takes
    /// them out. Says what is next there.
    pub(crate) fn handle_buffered(&self, buffer: &mut BytesMut) -> Next {
        self.locked(|session, mut machine, standing| {
            let now = clock::now();
            let mut wakes = Wakes::default();
            let mut next = Next::Packets;
            for _ in 0..BATCH {
                if self.link.holds_control() || self.waits_for_replies(session) {
                    break;
                }
                next = self.handle_first(session, &mut machine, standing, now, buffer, &mut wakes);
                if !matches!(next, Next::Packets) {
                    break;
                }
            }
            match standing {
                Standing::InUse => session.finish_on(&self.link, machine, now, wakes),
                _ => session.finish(machine, now, wakes),
            }
            next
        })
    }

    /// Handles one of them.
    fn handle_first(
        &self,
        session: &Shared,
        machine: &mut Machine,
        standing: Standing,
        now: Instant,
        buffer: &mut BytesMut,
        wakes: &mut Wakes,
    ) -> Next {
        let Some(bytes) = buffer.first_chunk::<{ Header::LEN }>() else { return Next::Bytes };
        let (verdict, header) = handle_header(machine, standing, now, bytes);
        session.publish(machine, &mut Room::default(), wakes);
        let Some(header) = header.filter(|_| verdict != HeaderVerdict::Stop) else { return Next::Refused };
        let HeaderVerdict::Read(lane) = verdict else { return Next::Rest(verdict, header) };
        let (meta_len, body_len) = (header.meta_len as usize, header.body_len as usize);
        if body_len > WHOLE_BODY || buffer.len() < Header::LEN + meta_len + body_len {
            return Next::Rest(verdict, header);
        }
        let mut room = match lane {
            Lane::Frame => match self.room_now(session, body_len) {
                Some(room) => room,
                None => return Next::Rest(verdict, header),
            },
            _ => Room::default(),
        };
        buffer.advance(Header::LEN);
        let metadata = keep(lane, buffer.split_to(meta_len));
        let body = if body_len <= SHARED_BODY {
            keep(lane, buffer.split_to(body_len))
        } else {
            let mut body = self.link.pool.take(body_len);
            body.put(buffer.get(..body_len).unwrap_or_default());
            buffer.advance(body_len);
            body.freeze()
        };
        let packet = Packet::build(header, metadata, body);
        self.count(session, &packet, Arrival::Control, &room);
        handle_packet(machine, standing, now, packet, Arrival::Control);
        session.publish(machine, &mut room, wakes);
        Next::Packets
    }
}

/// A part of a read buffer that a packet takes with it. Control packets may lie about for long and must not keep a whole
/// buffer alive; frames are counted, and soon taken.
pub(crate) fn keep(lane: Lane, part: BytesMut) -> Bytes {
    match lane {
        Lane::Frame => part.freeze(),
        _ => Bytes::copy_from_slice(&part),
    }
}
