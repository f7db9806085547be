//! CACHE_PUT, CACHE_ACK and CACHE_INVALIDATE.

use crate::field::wire_struct;

wire_struct! {
    /// An object to install.
    pub struct CachePutMetadata: 32, length PKT_1, of CachePut {
        /// Namespace of the key.
        0 cache_namespace: u32;
        /// Upper half of the key.
        4 cache_key_hi: u32;
        /// Lower half of the key.
        8 cache_key_lo: u32;
        /// What the object is.
        12 object_kind: u32 as CacheObjectKind => CACHE_2;
        /// Wanted life time in milliseconds; 0 for the whole session.
        16 ttl_ms: u32;
        /// Length of the object, equal to the body.
        20 object_bytes: u32;
        /// Codecs used in the object; 0 for raw.
        24 codec_bitmap: u32;
        /// How the object is kept.
        28 flags: u32 as CachePutFlags => CACHE_3;
    }
}

wire_struct! {
    /// Whether an object was installed.
    pub struct CacheAckMetadata: 28, length PKT_1, of CacheAck {
        /// Namespace of the key.
        0 cache_namespace: u32;
        /// Upper half of the key.
        4 cache_key_hi: u32;
        /// Lower half of the key.
        8 cache_key_lo: u32;
        /// The outcome.
        12 status: u32 as CacheAckStatus => CACHE_8;
        /// Life time granted in milliseconds; 0 for the whole session.
        16 accepted_ttl_ms: u32;
        /// Largest object that is taken; 0 for not stated.
        20 max_object_bytes: u32;
        /// Why it was rejected, as an error code; otherwise 0.
        24 detail_code: u32;
    }
}

wire_struct! {
    /// Objects to remove.
    pub struct CacheInvalidateMetadata: 20, length PKT_1, of CacheInvalidate {
        /// What is removed.
        0 invalidate_scope: u32 as CacheInvalidateScope => CACHE_11;
        /// The namespace, unless everything is removed.
        4 cache_namespace: u32;
        /// Upper half of the key of one object.
        8 cache_key_hi: u32;
        /// Lower half of the key of one object, or the object kind.
        12 cache_key_lo: u32;
        /// A number for logs; 0 for none.
        16 reason_code: u32;
    }
}
