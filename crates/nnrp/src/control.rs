//! What is asked of the other side of a running session: changes (SESSION_PATCH, by clients) and objects to keep (CACHE_PUT).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use nnrp_transport::{Connection, Filter, Item, SendError};
use nnrp_wire::{
    CacheAckMetadata, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind, CachePut,
    CachePutFlags, CachePutMetadata, DegradePolicy, Header, Message, MessageType, ObjectReferenceBlock,
    SessionPatch, SessionPatchAck, SessionPatchField, SessionPatchMetadata, TensorProfilePatchBlock,
    WireError,
};
use tokio::sync::Mutex;

use crate::client::ClientSession;
use crate::error::SessionError;
use crate::server::ServerSession;

/// Marks patches of [`ClientSession::patch`], so that their answers are told from others.
const PATCH_TRACE: u64 = 0x7061_7463_0000_0000;
/// The part of a trace id that is a mark; the rest is a number.
const MARK: u64 = 0xFFFF_FFFF_0000_0000;

/// What has been asked of the server. One patch and one object at a time are on their way (wire reference 16): whoever holds
/// the lock asks.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Patches that were sent and have no answer.
    patches: Mutex<u64>,
    objects: Mutex<()>,
    patch_numbers: AtomicU64,
}

/// Changes of a running session, put together step by step; what is not mentioned stays as it is.
///
/// ```
/// let patch = nnrp::Patch::new().target_cadence(30.0).quality_tier(3);
/// # let _ = patch;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Patch(SessionPatch);

impl Patch {
    /// No change.
    pub fn new() -> Self {
        Patch::default()
    }

    fn set(mut self, field: SessionPatchField, set: impl FnOnce(&mut SessionPatchMetadata)) -> Self {
        self.0.metadata.patch_mask |= field;
        set(&mut self.0.metadata);
        self
    }

    /// Wanted frames per second: 0.01 to 655.35; the server refuses others.
    pub fn target_cadence(self, per_second: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and a server refuses what is beyond the range"
        )]
        let hundredths = (per_second * 100.0).round() as u32;
        self.set(SessionPatchField::TARGET_CADENCE, |patch| patch.target_cadence_x100 = hundredths)
    }

    /// Quality; larger is better.
    pub fn quality_tier(self, tier: u16) -> Self {
        self.set(SessionPatchField::QUALITY_TIER, |patch| patch.quality_tier = tier)
    }

    /// What to give up first when there is too much to do.
    pub fn degrade_policy(self, policy: DegradePolicy) -> Self {
        self.set(SessionPatchField::DEGRADE_POLICY, |patch| patch.degrade_policy = policy)
    }

    /// The views in use: bit n stands for view n.
    pub fn active_views(self, mask: u64) -> Self {
        self.set(SessionPatchField::ACTIVE_LANE_MASK, |patch| patch.active_lane_mask = mask)
    }

    /// Codecs to be used, as in the handshake: bit n stands for codec n.
    pub fn preferred_codecs(self, bitmap: u32) -> Self {
        self.set(SessionPatchField::PREFERRED_CODEC, |patch| patch.preferred_codec_bitmap = bitmap)
    }

    /// Compressions to be used, likewise.
    pub fn preferred_compressions(self, bitmap: u32) -> Self {
        self.set(SessionPatchField::PREFERRED_COMPRESSION, |patch| {
            patch.preferred_compression_bitmap = bitmap;
        })
    }

    /// Bounds of the source's size, in pixels; a maximum of 0 is none.
    pub fn size_clamp(mut self, clamp: TensorProfilePatchBlock) -> Self {
        self.0.block = Some(clamp);
        self.set(SessionPatchField::PROFILE_PATCH, |_| {})
    }
}

/// An object for the other side to keep, so that frames or results can refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CacheObject {
    metadata: CachePutMetadata,
    data: Bytes,
}

impl CacheObject {
    /// An object under a key of one's own choice, kept as long as the session and good for many references.
    pub fn new(kind: CacheObjectKind, key: u64, data: impl Into<Bytes>) -> Self {
        let [cache_key_hi, cache_key_lo] = halves(key);
        let metadata = CachePutMetadata {
            object_kind: kind,
            cache_key_hi,
            cache_key_lo,
            flags: CachePutFlags::REUSABLE,
            ..CachePutMetadata::default()
        };
        CacheObject { metadata, data: data.into() }
    }

    /// Separates keys of different origin; 0 unless asked for.
    pub fn namespace(mut self, namespace: u32) -> Self {
        self.metadata.cache_namespace = namespace;
        self
    }

    /// How long to keep it, in whole milliseconds of at most 49 days.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.metadata.ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX).max(1);
        self
    }

    /// Replaces the flags.
    pub fn flags(mut self, flags: CachePutFlags) -> Self {
        self.metadata.flags = flags;
        self
    }

    /// How a frame or a result refers to it, once `put_cache` has said that the other side keeps it: see
    /// [`SubmitFrame::cached_camera`](nnrp_wire::SubmitFrame::cached_camera) and
    /// [`ResultFrame::references`](nnrp_wire::ResultFrame::references).
    #[must_use]
    pub fn reference(&self) -> ObjectReferenceBlock {
        ObjectReferenceBlock {
            object_kind: self.metadata.object_kind,
            cache_namespace: self.metadata.cache_namespace,
            cache_key_hi: self.metadata.cache_key_hi,
            cache_key_lo: self.metadata.cache_key_lo,
            ..ObjectReferenceBlock::default()
        }
    }
}

/// Upper and lower half of a key.
fn halves(key: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = key.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

/// Objects to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forget {
    /// All of them.
    Everything,
    /// Those of a namespace.
    Namespace(u32),
    /// Those of a kind in a namespace.
    Kind(CacheObjectKind, u32),
    /// The one that a reference names.
    Object(ObjectReferenceBlock),
}

impl Forget {
    pub(crate) fn order(self) -> CacheInvalidateMetadata {
        let (invalidate_scope, cache_namespace, cache_key_hi, cache_key_lo) = match self {
            Forget::Everything => (CacheInvalidateScope::WholeSession, 0, 0, 0),
            Forget::Namespace(namespace) => (CacheInvalidateScope::Namespace, namespace, 0, 0),
            Forget::Kind(kind, namespace) => (CacheInvalidateScope::ObjectKind, namespace, 0, kind.value()),
            Forget::Object(object) => (
                CacheInvalidateScope::ObjectKey,
                object.cache_namespace,
                object.cache_key_hi,
                object.cache_key_lo,
            ),
        };
        CacheInvalidateMetadata {
            invalidate_scope,
            cache_namespace,
            cache_key_hi,
            cache_key_lo,
            reason_code: 0,
        }
    }
}

/// Sends `object` and waits for its acknowledgement. `turn` is held meanwhile: one object is on its way at a time.
pub(crate) async fn install(
    connection: &Connection,
    session_id: u32,
    turn: &Mutex<()>,
    object: &CacheObject,
    timeout: Duration,
) -> Result<CacheAckMetadata, SessionError> {
    let invalid = |error: WireError| SendError::Command(error.into());
    let put = CachePut { metadata: object.metadata, object: object.data.clone() };
    let exchange = async {
        let _turn = turn.lock().await;
        let mut header = Header::new(MessageType::CachePut);
        header.session_id = session_id;
        connection.send(put.encode(header).map_err(invalid)?.to_packet()).await?;
        loop {
            let Item::Packet(packet) = connection.receive(Filter::Message(MessageType::CacheAck)).await?
            else {
                continue;
            };
            let ack = CacheAckMetadata::decode(&packet.metadata).map_err(invalid)?;
            let named = (ack.cache_namespace, ack.cache_key_hi, ack.cache_key_lo);
            let meant = &object.metadata;
            // One that comes too late is about an object that counts as rejected (R-CACHE-10).
            if named == (meant.cache_namespace, meant.cache_key_hi, meant.cache_key_lo) {
                return Ok(ack);
            }
        }
    };
    tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SessionError::Timeout(timeout)))
}

impl ClientSession {
    fn header(&self, message: MessageType) -> Header {
        let mut header = Header::new(message);
        header.session_id = self.id();
        header
    }

    async fn send_control(&self, message: Message, header: Header) -> Result<(), SendError> {
        let packet = message.encode(header).map_err(|error| SendError::Command(error.into()))?;
        self.connection().send(packet.to_packet()).await?;
        Ok(())
    }

    /// Asks for changes of the running session and waits for the answer, which says what was applied, what was refused and
    /// why, and what is in force now: [`SessionPatchAckMetadata::applied`](nnrp_wire::SessionPatchAckMetadata::applied). A
    /// server takes ten patches a second; some never answer.
    ///
    /// One patch is on its way at a time: further calls wait for it, within their own `timeout`. Cancel-safe in that later
    /// patches get their own answers; the server may have made the change.
    ///
    /// # Errors
    ///
    /// [`SessionError::Timeout`] and [`SessionError::Closed`]; [`SessionError::Send`] for values that cannot be sent.
    pub async fn patch(&self, patch: Patch, timeout: Duration) -> Result<SessionPatchAck, SessionError> {
        let exchange = async {
            let asked = self.asked();
            let mut unanswered = asked.patches.lock().await;
            let mut header = self.header(MessageType::SessionPatch);
            header.trace_id = PATCH_TRACE | (asked.patch_numbers.fetch_add(1, Ordering::Relaxed) & !MARK);
            self.send_control(Message::SessionPatch(patch.0), header).await?;
            *unanswered += 1;
            loop {
                let packet = self.receive_control(Some(MessageType::SessionPatchAck)).await?;
                *unanswered = unanswered.saturating_sub(1);
                let answers_this = match packet.header.trace_id {
                    trace if trace == header.trace_id => true,
                    // That of a call that gave up.
                    trace if trace & MARK == PATCH_TRACE => false,
                    // A server that does not say which answers in order: the last one is ours.
                    _ => *unanswered == 0,
                };
                if answers_this {
                    *unanswered = 0;
                    let ack = SessionPatchAck::decode(&packet);
                    return ack.map_err(|error| SessionError::Send(SendError::Command(error.into())));
                }
            }
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SessionError::Timeout(timeout)))
    }

    /// Has the server keep an object, and waits for its answer. Refer to the object only if
    /// [`CacheAckMetadata::status`] says accepted or replaced; `detail_code` says why it was rejected.
    ///
    /// One object is on its way at a time: further calls wait for it, within their own `timeout`. Cancel-safe in that a
    /// late answer is not taken for that of another object; the server may have kept it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Timeout`]: do not refer to it. [`SessionError::Closed`]; [`SessionError::Send`] for values that cannot
    /// be sent.
    pub async fn put_cache(
        &self,
        object: &CacheObject,
        timeout: Duration,
    ) -> Result<CacheAckMetadata, SessionError> {
        install(self.connection(), self.id(), &self.asked().objects, object, timeout).await
    }

    /// Has the server forget objects. There is no answer; frames sent before may have been worked on with them. Cancel-safe:
    /// it is sent or not.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn forget_cached(&self, objects: Forget) -> Result<(), SendError> {
        let header = self.header(MessageType::CacheInvalidate);
        self.send_control(Message::CacheInvalidate(objects.order()), header).await
    }
}

impl ServerSession {
    /// Has the client keep an object that results refer to, and waits for its answer. Refer to the object only if
    /// [`CacheAckMetadata::status`] says accepted or replaced; `detail_code` says why it was rejected: most clients offer no
    /// room ([`ClientConfig::cache_room`](crate::ClientConfig::cache_room)).
    ///
    /// One object is on its way at a time: further calls wait for it, within their own `timeout`. Cancel-safe in that a
    /// late answer is not taken for that of another object; the client may have kept it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Timeout`]: do not refer to it. [`SessionError::Closed`]; [`SessionError::Send`] for values that cannot
    /// be sent.
    pub async fn put_cache(
        &self,
        object: &CacheObject,
        timeout: Duration,
    ) -> Result<CacheAckMetadata, SessionError> {
        install(self.connection(), self.id(), self.installing(), object, timeout).await
    }

    /// Has the client forget objects. There is no answer; results sent before may have been read with them. Cancel-safe: it
    /// is sent or not.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub async fn forget_cached(&self, objects: Forget) -> Result<(), SendError> {
        let mut header = Header::new(MessageType::CacheInvalidate);
        header.session_id = self.id();
        let order = Message::CacheInvalidate(objects.order());
        let packet = order.encode(header).map_err(|error| SendError::Command(error.into()))?;
        self.connection().send(packet.to_packet()).await?;
        Ok(())
    }
}
