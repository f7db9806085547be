//! Objects that the peer has installed here, whichever side we are: put, invalidate, resolve (wire reference 15).

use std::time::Instant;

use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheInvalidateScope, CachePut, ErrorCode,
    FrameBody, Header, MessageType, Packet,
};

use crate::cache::{Cache, Key};
use crate::machine::{Machine, Role};
use crate::server::header_and_metadata;
use crate::{Event, Fault};

/// The key of a CACHE_PUT whose other fields break a rule: the first three numbers of its metadata.
fn key_of(metadata: &[u8]) -> Key {
    let mut numbers = metadata.chunks_exact(4).map(|bytes| bytes.try_into().map_or(0, u32::from_le_bytes));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

fn refused_object((cache_namespace, cache_key_hi, cache_key_lo): Key, code: ErrorCode) -> CacheAckMetadata {
    CacheAckMetadata {
        cache_namespace,
        cache_key_hi,
        cache_key_lo,
        status: CacheAckStatus::Rejected,
        detail_code: code.value(),
        ..CacheAckMetadata::default()
    }
}

impl Machine {
    /// Where the peer's objects are; `None` where its references are the application's.
    fn peer_objects(&mut self) -> Option<&mut Cache> {
        match &mut self.role {
            Role::Raw => None,
            Role::Server(role) => Some(&mut role.cache).filter(|_| role.settings.enable_cache),
            Role::Client(role) => Some(&mut role.cache),
        }
    }

    /// Whether a CACHE_PUT brings more than there could ever be room for: its body is not even read.
    pub(crate) fn brings_too_much(&self, put: &Header) -> bool {
        let most = match &self.role {
            Role::Raw => return false,
            Role::Server(role) => role.cache.max_bytes(),
            Role::Client(role) => role.cache.max_bytes(),
        };
        put.body_len > most
    }

    pub(crate) fn on_cache_put(&mut self, now: Instant, packet: &Packet) -> Result<(), Fault> {
        let header = self.reply_header(MessageType::CacheAck, packet);
        let session_id = self.session_id;
        let unread = packet.header.body_len as usize != packet.body.len();
        let cache = match &mut self.role {
            Role::Raw => return Ok(()),
            Role::Server(role) => &mut role.cache,
            Role::Client(role) => &mut role.cache,
        };
        let (ack, evicted) = match CachePut::decode(packet) {
            Ok(put) => cache.put(now, &put.metadata, &packet.body),
            // R-CACHE-5, R-CACHE-6.
            Err(_) if unread => (cache.refuse(key_of(&packet.metadata)), Vec::new()),
            // R-CACHE-1 to 3: what does not parse is refused by the acknowledgement it asks for.
            Err(error) => (refused_object(key_of(&packet.metadata), error.code()), Vec::new()),
        };
        // Before the acknowledgement: what was evicted is gone as of now.
        for (cache_namespace, cache_key_hi, cache_key_lo) in evicted {
            let order = CacheInvalidateMetadata {
                invalidate_scope: CacheInvalidateScope::ObjectKey,
                cache_namespace,
                cache_key_hi,
                cache_key_lo,
                reason_code: 0,
            };
            let mut header = Header::new(MessageType::CacheInvalidate);
            header.session_id = session_id;
            self.reply(header_and_metadata(header, &order.encode()));
        }
        self.reply(header_and_metadata(header, &ack.encode()));
        Ok(())
    }

    /// A client says what became of an object; whoever installed it hears of it, and of no other (R-CACHE-9).
    pub(crate) fn on_cache_ack(&mut self, packet: &Packet) -> Result<(), Fault> {
        let ack = CacheAckMetadata::decode(&packet.metadata)?;
        let key = (ack.cache_namespace, ack.cache_key_hi, ack.cache_key_lo);
        let Role::Server(role) = &mut self.role else { return Ok(()) };
        let Some(at) = role.installing.iter().position(|pending| *pending == key) else { return Ok(()) };
        role.installing.remove(at);
        self.emit(Event::Control(Box::new(packet.clone())));
        Ok(())
    }

    /// The peer removes objects of its own here, or says that ours are gone there; a client's application hears of it.
    pub(crate) fn on_cache_invalidate(&mut self, packet: &Packet) -> Result<(), Fault> {
        let order = CacheInvalidateMetadata::decode(&packet.metadata)?;
        match &mut self.role {
            Role::Raw => {}
            Role::Server(role) => role.cache.invalidate(&order),
            Role::Client(role) => {
                role.cache.invalidate(&order);
                self.emit(Event::Control(Box::new(packet.clone())));
            }
        }
        Ok(())
    }

    /// Puts the objects a frame or result refers to in the place of its references (R-OBJ-24, R-OBJ-25, R-OBJ-37).
    pub(crate) fn resolve_references(
        &mut self,
        now: Instant,
        message: MessageType,
        body: &mut FrameBody,
    ) -> Result<(), Fault> {
        if !body.has_references() {
            return Ok(());
        }
        let Some(cache) = self.peer_objects() else { return Ok(()) };
        for reference in body.references() {
            let Some(object) = cache.resolve(now, &reference) else {
                let text = format!(
                    "{} {}/{:08x}{:08x} is not installed in this session: send it inline",
                    reference.object_kind,
                    reference.cache_namespace,
                    reference.cache_key_hi,
                    reference.cache_key_lo
                );
                let rule = if message == MessageType::ResultPush { RuleId::OBJ_37 } else { RuleId::OBJ_24 };
                return Err(Fault::found(rule, message, text));
            };
            *body = std::mem::take(body).with_resolved(reference.object_kind, object)?;
        }
        Ok(())
    }
}
