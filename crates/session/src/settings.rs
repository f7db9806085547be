//! What each side brings to a handshake, and what comes out of it.

use std::time::Duration;

use nnrp_wire::extension::{
    self, LossToleranceAckExtension, LossToleranceExtension, PayloadCapabilitiesAckExtension,
    PayloadCapabilitiesExtension, TransportPolicyAckExtension, TransportPolicyExtension,
};
use nnrp_wire::{
    ClientHello, ControlExtension, DegradePolicy, HeaderFlags, LossTolerance, PayloadKind, ResultHintReason,
    ServerFlags, ServerHelloAckMetadata, TransportId, TransportPolicy, limits,
};

use nnrp_wire::rules::RuleId;

use crate::error::whole_millis;
use crate::limits::{
    ASKED_BEFORE, CREDIT_TIMEOUT, HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_CACHE_BYTES,
    MAX_CACHE_ENTRIES,
};
use crate::{CommandError, CreditPolicy, Fault, MAX_KEPT_BYTES, MIGRATION_GRACE, Migration};

/// Profiles this implementation speaks: bit 0, tensor.
const SUPPORTED_PROFILES: u32 = 0x1;
/// Raw and LZ4 by number. Codecs are the application's; the bitmaps are advisory (R-NEG-1).
const SUPPORTED_CODECS: u32 = 0x3;
/// None and LZ4 by number, advisory like the codecs.
const SUPPORTED_COMPRESSIONS: u32 = 0x3;
/// Every dtype of the wire.
const SUPPORTED_DTYPES: u32 = 0xFF;
/// NHWC and NCHW.
const SUPPORTED_LAYOUTS: u32 = 0x3;
/// Every kind of object: the session looks only into the three that make up tensors.
const SUPPORTED_OBJECTS: u32 = 0x1FF;

/// Gives a struct of options a list of them, so that nobody who shows them to somebody else can forget one.
#[doc(hidden)]
#[macro_export]
macro_rules! options {
    ($(#[$attribute:meta])* $seen:vis struct $Name:ident {
        $($(#[$field_attribute:meta])* $field_seen:vis $field:ident: $Type:ty,)*
    }) => {
        $(#[$attribute])*
        $seen struct $Name {
            $($(#[$field_attribute])* $field_seen $field: $Type,)*
        }

        impl $Name {
            /// Every option with its name and its value, as `Debug` shows it.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
                [$((stringify!($field), format!("{:?}", self.$field))),*].into_iter()
            }
        }
    };
}

options! {
    /// What a server offers each client.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct ServerSettings {
        /// Frames a client may have in flight: announced as the initial credit, enforced only with `enforce_credit`.
        pub max_concurrent_frames: u16,
        /// Whether a frame beyond the credit is refused (R-SUB-11) instead of handed to the application.
        pub enforce_credit: bool,
        /// Whether a frame whose `latency_budget_ms` runs out is dropped (R-LIFE-3) and later results of it are not sent.
        pub expire_frames: bool,
        /// Whether a frame is refused whose id belongs to one without an answer yet (R-SUB-10).
        pub strict_frame_ids: bool,
        /// Tensor sections in one frame; a frame with more is refused (R-LIM-4).
        pub max_sections: u16,
        /// Largest body of a submit in bytes, announced and enforced (R-LIM-1).
        pub max_body_bytes: u32,
        /// Whether TRANSPORT_PROBE is answered (R-PROBE-2).
        pub answer_probes: bool,
        /// Whether a client may install objects and refer to them. Switched off, nothing is announced, and a frame with a
        /// reference is delivered as it is: the application resolves it.
        pub enable_cache: bool,
        /// Objects held for one client.
        pub max_cache_entries: u32,
        /// Bytes held for one client.
        pub max_cache_bytes: u32,
        /// Payload kinds a frame may carry. A frame with another one is refused (R-NEG-2).
        pub payload_kinds: PayloadKind,
        /// Bit n is set when codec n is announced. Advisory, like the next three: what a frame really carries is the
        /// application's to judge (R-NEG-1).
        pub codecs: u32,
        /// Bit n is set when compression n is announced.
        pub compressions: u32,
        /// Bit n is set when dtype n is announced.
        pub dtypes: u32,
        /// Bit n is set when layout n is announced.
        pub layouts: u32,
        /// Lanes (views) announced at most; at least 1 is.
        pub max_lanes: u16,
        /// The most loss a session may be granted; a client that asks for more is granted this.
        pub max_loss_tolerance: LossTolerance,
        /// How often to send PING; `None` sends none. An rc2 client that waits for a FLOW_UPDATE fails on any other control
        /// packet, so this is off unless asked for.
        pub keepalive_interval: Option<Duration>,
        /// Whether sessions may move to another connection.
        pub migration: Migration,
        /// How long clients go on reading the path they left (`grace_window_ms`).
        pub migration_grace: Duration,
        /// Bytes of results kept of a session that may move, to be sent again on another path; of the newest one always.
        /// What a lost path took with it and is not kept fails its frame.
        pub max_kept_bytes: u32,
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            max_concurrent_frames: 1,
            enforce_credit: false,
            expire_frames: false,
            strict_frame_ids: false,
            max_sections: limits::MAX_SECTIONS,
            max_body_bytes: limits::MAX_BODY_BYTES,
            answer_probes: true,
            enable_cache: true,
            max_cache_entries: MAX_CACHE_ENTRIES,
            max_cache_bytes: MAX_CACHE_BYTES,
            payload_kinds: PayloadKind::KNOWN,
            codecs: SUPPORTED_CODECS,
            compressions: SUPPORTED_COMPRESSIONS,
            dtypes: SUPPORTED_DTYPES,
            layouts: SUPPORTED_LAYOUTS,
            // Lanes cost a server nothing.
            max_lanes: u16::MAX,
            // The level changes nothing the library does by itself, so every level can be granted.
            max_loss_tolerance: LossTolerance::FireAndForget,
            keepalive_interval: None,
            migration: Migration::Off,
            migration_grace: MIGRATION_GRACE,
            max_kept_bytes: MAX_KEPT_BYTES,
        }
    }
}

/// How a server admits one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The session's id; `None` confirms the requested one, or `fallback_session_id` when the client asked
    /// for none.
    pub session_id: Option<u32>,
    /// A fresh non-zero id for a client that left the choice to the server.
    pub fallback_session_id: u32,
    /// Name of the model that will answer, sent behind the extensions; cut at 1024 bytes.
    pub model_name: String,
    /// Extensions of the application. One of a type the library answers itself replaces that answer.
    pub extra_extensions: Vec<ControlExtension>,
    /// How long the authentication lasts, in whole milliseconds of at most 49 days. The client is told, and when the
    /// time is over it is sent away with AUTH_FAILED. `None`: as long as the session.
    pub token_ttl: Option<Duration>,
}

options! {
    /// What a client does by itself.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct ClientSettings {
        /// How long the server may take to answer CLIENT_HELLO.
        pub handshake_timeout: Duration,
        /// How often to send PING; `None` sends none. On QUIC this many times sooner while frames wait:
        /// [`WAITING_SHARE`](crate::WAITING_SHARE). At least [`ASKED_BEFORE`](crate::ASKED_BEFORE) times in the timeout.
        pub keepalive_interval: Option<Duration>,
        /// Silence after which a server that has answered a PING counts as lost, and sooner likewise; `None`, zero, or no
        /// interval = never. Parts of
        /// bodies, and on QUIC acknowledgements, are no silence.
        pub keepalive_timeout: Option<Duration>,
        /// Largest body of a result in bytes.
        pub max_body_bytes: u32,
        /// How to treat the server's credit and pauses.
        pub credit: CreditPolicy,
        /// How long a submit may be held back before it fails; `None` = for ever.
        pub credit_timeout: Option<Duration>,
        /// Bytes of submits without an answer kept of a session that may move, to be sent again on another path; of the
        /// newest one always.
        pub max_kept_bytes: u32,
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        ClientSettings {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            keepalive_interval: Some(KEEPALIVE_INTERVAL),
            keepalive_timeout: Some(KEEPALIVE_TIMEOUT),
            max_body_bytes: limits::MAX_BODY_BYTES,
            credit: CreditPolicy::default(),
            credit_timeout: Some(CREDIT_TIMEOUT),
            max_kept_bytes: MAX_KEPT_BYTES,
        }
    }
}

impl ClientSettings {
    /// Silence that means something: nobody is missed who was not asked.
    pub(crate) fn gives_up_after(&self) -> Option<Duration> {
        self.keepalive_timeout.filter(|timeout| self.keepalive_interval.is_some() && !timeout.is_zero())
    }

    /// How often to ask: a question has to be answered before patience is over, whatever interval is set.
    pub(crate) fn asks_every(&self) -> Option<Duration> {
        let most = self.gives_up_after().map_or(Duration::MAX, |timeout| timeout / ASKED_BEFORE);
        self.keepalive_interval.map(|interval| interval.min(most))
    }
}

/// A frame the server will not answer with a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropFrame {
    /// Which frame.
    pub frame_id: u32,
    /// Its view.
    pub view_id: u16,
    /// Told to the client in a RESULT_HINT before the drop, because RESULT_DROP has no room for it.
    pub reason: Option<ResultHintReason>,
    /// Header flags.
    pub flags: HeaderFlags,
    /// Header route.
    pub route_id: u16,
    /// Header trace.
    pub trace_id: u64,
}

/// The server's answer to `hello`: metadata and extensions of SERVER_HELLO_ACK, or the fault that refuses it.
///
/// # Errors
///
/// A fault of R-NEG-1 (no common profile), R-HX (a forced transport that is not the one in use), or of an
/// extension payload that does not decode.
pub fn negotiate(
    hello: &ClientHello,
    settings: &ServerSettings,
    admission: &Admission,
    transport: TransportId,
) -> Result<(ServerHelloAckMetadata, Vec<ControlExtension>), Fault> {
    let offer = &hello.metadata;
    let profiles = offer.supported_profile_bitmap & SUPPORTED_PROFILES;
    if profiles == 0 {
        let text = format!(
            "no common profile: the client offers {:#x}, this server speaks {SUPPORTED_PROFILES:#x} (tensor)",
            offer.supported_profile_bitmap
        );
        return Err(Fault::found(RuleId::NEG_1, nnrp_wire::MessageType::ClientHello, text).made_fatal());
    }
    let mut payload_kinds = settings.payload_kinds;
    let mut answers: Vec<ControlExtension> = Vec::new();
    for entry in &hello.extensions {
        let answer = match entry.ext_type {
            extension::TRANSPORT_POLICY => Some(answer_transport_policy(entry, transport)?),
            extension::LOSS_TOLERANCE => Some(answer_loss_tolerance(entry, settings)?),
            extension::PAYLOAD_CAPABILITIES => {
                let offered = PayloadCapabilitiesExtension::from_extension(entry)?;
                payload_kinds = payload_kinds & offered.payload_kind_bitmap;
                let accepted = PayloadCapabilitiesAckExtension {
                    accepted_payload_kind_bitmap: payload_kinds,
                    ..Default::default()
                };
                Some(accepted.to_extension())
            }
            _ => None,
        };
        answers.extend(answer);
    }
    answers.retain(|ours| admission.extra_extensions.iter().all(|theirs| theirs.ext_type != ours.ext_type));
    answers.extend(admission.extra_extensions.iter().cloned());

    let session_id = match admission.session_id {
        Some(id) => id,
        None if offer.requested_session_id != 0 => offer.requested_session_id,
        None => admission.fallback_session_id,
    };
    // A client that offers no kinds asks for no cache.
    let objects =
        if settings.enable_cache { u32::from(offer.cache_object_bitmap) & SUPPORTED_OBJECTS } else { 0 };
    let cache = objects != 0;
    let metadata = ServerHelloAckMetadata {
        selected_version_major: 1,
        session_id,
        cache_digest_bitmap: if cache { u32::from(offer.cache_digest_bitmap) } else { 0 },
        cache_object_bitmap: objects,
        max_cache_entries: if cache { settings.max_cache_entries } else { 0 },
        max_cache_bytes: if cache { settings.max_cache_bytes } else { 0 },
        server_flags: server_flags(cache, settings.migration.allows(&hello.auth_block)),
        accepted_profile_bitmap: profiles,
        accepted_payload_kind_bitmap: payload_kinds,
        accepted_codec_bitmap: offer.supported_codec_bitmap & settings.codecs,
        accepted_compression_bitmap: offer.supported_compression_bitmap & settings.compressions,
        accepted_dtype_bitmap: offer.supported_dtype_bitmap & settings.dtypes,
        accepted_layout_bitmap: offer.supported_layout_bitmap & settings.layouts,
        max_lane_count: offer.max_lane_count.min(settings.max_lanes).max(1),
        max_concurrent_frames: settings.max_concurrent_frames,
        target_cadence_x100: offer.target_cadence_x100,
        quality_tier: offer.quality_tier,
        // 5.4: a value that is not assigned counts as "server default".
        degrade_policy: if offer.degrade_policy.is_assigned() {
            offer.degrade_policy
        } else {
            DegradePolicy::ServerDefault
        },
        max_body_bytes: settings.max_body_bytes,
        token_ttl_ms: admission.token_ttl.map_or(0, whole_millis),
        ..ServerHelloAckMetadata::default()
    };
    Ok((metadata, answers))
}

/// The payload kinds a client says it takes in results; without the extension it takes every kind (R-NEG-2, R-NEG-3).
pub(crate) fn result_kinds(hello: &ClientHello) -> PayloadKind {
    let declared = |entry: &ControlExtension| PayloadCapabilitiesExtension::from_extension(entry).ok();
    let mut entries =
        hello.extensions.iter().filter(|entry| entry.ext_type == extension::PAYLOAD_CAPABILITIES);
    entries.find_map(declared).map_or(PayloadKind::KNOWN, |kinds| kinds.payload_kind_bitmap)
}

/// The loss tolerance that was accepted for the session; best effort where none was asked for (wire reference 14).
pub(crate) fn session_loss_tolerance(accepted: &[ControlExtension]) -> LossTolerance {
    let mut entries = accepted.iter().filter(|entry| entry.ext_type == extension::LOSS_TOLERANCE_ACK);
    let level = entries.find_map(|entry| LossToleranceAckExtension::from_extension(entry).ok());
    level.map_or(LossTolerance::BestEffort, |level| level.accepted_loss_tolerance)
}

fn server_flags(cache: bool, moves: bool) -> ServerFlags {
    let mut flags = ServerFlags::default();
    if cache {
        flags |= ServerFlags::CACHE_ENABLED;
    }
    if moves {
        flags |= ServerFlags::SESSION_RESUME_SUPPORTED;
    }
    flags
}

fn answer_transport_policy(
    entry: &ControlExtension,
    transport: TransportId,
) -> Result<ControlExtension, Fault> {
    let asked = TransportPolicyExtension::from_extension(entry)?;
    let other_forced = match asked.transport_policy {
        TransportPolicy::ForceQuic => transport != TransportId::Quic,
        TransportPolicy::ForceTcp => transport != TransportId::Tcp,
        _ => false,
    };
    if other_forced {
        let text = format!("{} asked for on a connection over {transport}", asked.transport_policy);
        return Err(Fault::found(RuleId::HX_2, nnrp_wire::MessageType::ClientHello, text).made_fatal());
    }
    let honoured = match asked.transport_policy {
        TransportPolicy::PreferQuic if transport != TransportId::Quic => TransportPolicy::Auto,
        TransportPolicy::PreferTcp if transport != TransportId::Tcp => TransportPolicy::Auto,
        policy => policy,
    };
    let answer = TransportPolicyAckExtension {
        transport_policy: asked.transport_policy,
        accepted_transport_policy: honoured,
        active_transport_id: transport,
        ..Default::default()
    };
    Ok(answer.to_extension())
}

fn answer_loss_tolerance(
    entry: &ControlExtension,
    settings: &ServerSettings,
) -> Result<ControlExtension, Fault> {
    let asked = LossToleranceExtension::from_extension(entry)?.session_loss_tolerance;
    let allowed = settings.max_loss_tolerance;
    // 7.2: a smaller number is more careful, and only that may be answered.
    let accepted = if u8::from(asked) <= u8::from(allowed) { asked } else { allowed };
    Ok(LossToleranceAckExtension { accepted_loss_tolerance: accepted, ..Default::default() }.to_extension())
}

/// Refuses settings that could not be announced.
pub(crate) fn check_session_id(session_id: u32) -> Result<(), CommandError> {
    if session_id == 0 {
        return Err(CommandError::Refused("session id 0 means 'no session'; choose another".into()));
    }
    Ok(())
}
