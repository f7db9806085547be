//! Objects a client has installed, to refer to them in its frames (wire reference 15).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_wire::{
    CacheAckMetadata, CacheAckStatus, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind,
    CachePutFlags, CachePutMetadata, ErrorCode, ObjectReferenceBlock,
};

/// What names an object: namespace and the two halves of its key.
pub(crate) type Key = (u32, u32, u32);

/// The objects of one session and one direction. Nothing outlives the session.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    max_entries: u32,
    max_bytes: u32,
    /// Bit `kind - 1` for each kind that was agreed on; 0 means there is no cache.
    kinds: u32,
    objects: HashMap<Key, Object>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug)]
struct Object {
    kind: CacheObjectKind,
    bytes: Bytes,
    expires: Option<Instant>,
    pinned: bool,
    reusable: bool,
    last_use: u64,
}

impl Cache {
    /// A cache with what the handshake agreed on.
    pub(crate) fn new(max_entries: u32, max_bytes: u32, kinds: u32) -> Self {
        Cache { max_entries, max_bytes, kinds, ..Cache::default() }
    }

    /// The most bytes that could be installed.
    pub(crate) fn max_bytes(&self) -> u32 {
        self.max_bytes
    }

    /// The answer to an object that was not even read.
    pub(crate) fn refuse(&self, (cache_namespace, cache_key_hi, cache_key_lo): Key) -> CacheAckMetadata {
        let code = if self.kinds == 0 { ErrorCode::UnsupportedCapability } else { ErrorCode::LimitExceeded };
        CacheAckMetadata {
            cache_namespace,
            cache_key_hi,
            cache_key_lo,
            status: CacheAckStatus::Rejected,
            detail_code: code.value(),
            max_object_bytes: self.max_bytes,
            ..CacheAckMetadata::default()
        }
    }

    /// Installs an object. Returns the acknowledgement, and the keys that had to make room for it.
    pub(crate) fn put(
        &mut self,
        now: Instant,
        put: &CachePutMetadata,
        body: &Bytes,
    ) -> (CacheAckMetadata, Vec<Key>) {
        let mut ack = CacheAckMetadata {
            cache_namespace: put.cache_namespace,
            cache_key_hi: put.cache_key_hi,
            cache_key_lo: put.cache_key_lo,
            status: CacheAckStatus::Rejected,
            max_object_bytes: self.max_bytes,
            ..CacheAckMetadata::default()
        };
        let mut evicted = Vec::new();
        match self.install(now, put, body, &mut evicted) {
            Ok(replaced) => {
                ack.status = if replaced { CacheAckStatus::Replaced } else { CacheAckStatus::Accepted };
                ack.accepted_ttl_ms = put.ttl_ms;
            }
            Err(code) => ack.detail_code = code.value(),
        }
        (ack, evicted)
    }

    fn install(
        &mut self,
        now: Instant,
        put: &CachePutMetadata,
        body: &Bytes,
        evicted: &mut Vec<Key>,
    ) -> Result<bool, ErrorCode> {
        let kind = put.object_kind.value();
        if kind == 0 || kind > u32::BITS || self.kinds & (1 << (kind - 1)) == 0 {
            return Err(ErrorCode::UnsupportedCapability);
        }
        let max_bytes = self.max_bytes as usize;
        if body.len() > max_bytes || self.max_entries == 0 {
            return Err(ErrorCode::LimitExceeded);
        }
        self.forget_expired(now);
        let key = (put.cache_namespace, put.cache_key_hi, put.cache_key_lo);
        let replaced = self.remove(key);
        while self.objects.len() >= self.max_entries as usize || self.bytes + body.len() > max_bytes {
            let Some(victim) = self.least_recently_used() else { return Err(ErrorCode::LimitExceeded) };
            self.remove(victim);
            evicted.push(victim);
        }
        let ttl = (put.ttl_ms != 0).then(|| Duration::from_millis(u64::from(put.ttl_ms)));
        self.bytes += body.len();
        self.uses += 1;
        self.objects.insert(
            key,
            Object {
                kind: put.object_kind,
                // A copy of its own: a view would keep a whole read buffer alive for as long as the object.
                bytes: Bytes::copy_from_slice(body),
                expires: ttl.map(|ttl| now + ttl),
                pinned: put.flags.contains(CachePutFlags::PINNED),
                reusable: put.flags.contains(CachePutFlags::REUSABLE),
                last_use: self.uses,
            },
        );
        Ok(replaced)
    }

    /// The object a reference names. One that may be used only once is forgotten with it.
    pub(crate) fn resolve(&mut self, now: Instant, reference: &ObjectReferenceBlock) -> Option<Bytes> {
        self.forget_expired(now);
        let key = (reference.cache_namespace, reference.cache_key_hi, reference.cache_key_lo);
        let object = self.objects.get_mut(&key)?;
        if reference.object_kind != object.kind {
            return None;
        }
        self.uses += 1;
        object.last_use = self.uses;
        let bytes = object.bytes.clone();
        if !object.reusable {
            self.remove(key);
        }
        Some(bytes)
    }

    /// Forgets what the installer names.
    pub(crate) fn invalidate(&mut self, order: &CacheInvalidateMetadata) {
        let namespace = order.cache_namespace;
        match order.invalidate_scope {
            CacheInvalidateScope::WholeSession => {
                self.objects.clear();
                self.bytes = 0;
            }
            CacheInvalidateScope::Namespace => self.retain(|key, _| key.0 != namespace),
            CacheInvalidateScope::ObjectKind => {
                self.retain(|key, object| key.0 != namespace || object.kind.value() != order.cache_key_lo);
            }
            CacheInvalidateScope::ObjectKey => {
                self.remove((namespace, order.cache_key_hi, order.cache_key_lo));
            }
            // Refused by the codec (R-CACHE-11).
            _ => {}
        }
    }

    fn forget_expired(&mut self, now: Instant) {
        if self.objects.values().any(|object| object.expires.is_some_and(|at| at <= now)) {
            self.retain(|_, object| object.expires.is_none_or(|at| at > now));
        }
    }

    fn retain(&mut self, keep: impl Fn(&Key, &Object) -> bool) {
        self.objects.retain(|key, object| keep(key, object));
        self.bytes = self.objects.values().map(|object| object.bytes.len()).sum();
    }

    fn remove(&mut self, key: Key) -> bool {
        let removed = self.objects.remove(&key);
        self.bytes -= removed.as_ref().map_or(0, |object| object.bytes.len());
        removed.is_some()
    }

    fn least_recently_used(&self) -> Option<Key> {
        let movable = self.objects.iter().filter(|(_, object)| !object.pinned);
        movable.min_by_key(|(_, object)| object.last_use).map(|(key, _)| *key)
    }
}
