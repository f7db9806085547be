//! What a server and a client are told before they start. Every default has its reason beside it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use nnrp_session::{
    ClientSettings, CreditPolicy, HANDSHAKE_TIMEOUT, Migration, ReceivedHello, ServerSettings,
};
#[cfg(feature = "quic")]
use nnrp_transport::quic::QuicOptions;
#[cfg(feature = "tcp")]
use nnrp_transport::tcp::TcpOptions;
use nnrp_wire::extension::{LossToleranceExtension, TransportPolicyExtension};
use nnrp_wire::{
    CacheObjectKind, ClientHello, ClientHelloMetadata, ControlExtension, LossTolerance, PayloadKind,
    TransportId, TransportPolicy,
};

use crate::auth::{Authenticator, Verdict};
use crate::listener::{BUSY_RETRY, MAX_PENDING_HANDSHAKES};
use crate::migrate::SessionRegistry;

/// What a server offers, and whom it lets in.
#[derive(Clone)]
#[must_use]
pub struct ServerConfig {
    pub(crate) settings: ServerSettings,
    pub(crate) model_name: String,
    pub(crate) handshake_timeout: Duration,
    pub(crate) extensions: Vec<ControlExtension>,
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) max_pending_handshakes: usize,
    pub(crate) busy_retry_after: Duration,
    pub(crate) sessions: SessionRegistry,
    #[cfg(feature = "quic")]
    pub(crate) quic: QuicOptions,
    #[cfg(feature = "tcp")]
    pub(crate) tcp: TcpOptions,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            settings: ServerSettings::default(),
            model_name: String::new(),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            extensions: Vec::new(),
            authenticator: None,
            max_pending_handshakes: MAX_PENDING_HANDSHAKES,
            busy_retry_after: BUSY_RETRY,
            sessions: SessionRegistry::new(),
            #[cfg(feature = "quic")]
            quic: QuicOptions::default(),
            #[cfg(feature = "tcp")]
            tcp: TcpOptions::default(),
        }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("settings", &self.settings)
            .field("model_name", &self.model_name)
            .field("authenticates", &self.authenticator.is_some())
            .finish_non_exhaustive()
    }
}

impl ServerConfig {
    /// Every option with its name and its value, as `Debug` shows it: those of a listener. What is negotiated is in
    /// [`ServerSettings::named`], and transports have lists of their own.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        // All of them, so that a new one cannot be forgotten.
        let ServerConfig {
            settings: _,
            model_name,
            handshake_timeout,
            extensions,
            authenticator,
            max_pending_handshakes,
            busy_retry_after,
            sessions: _,
            #[cfg(feature = "quic")]
                quic: _,
            #[cfg(feature = "tcp")]
                tcp: _,
        } = self;
        [
            ("model_name", format!("{model_name:?}")),
            ("handshake_timeout", format!("{handshake_timeout:?}")),
            ("extensions", format!("{extensions:?}")),
            ("authenticator", format!("{:?}", authenticator.is_some())),
            ("max_pending_handshakes", format!("{max_pending_handshakes:?}")),
            ("busy_retry_after", format!("{busy_retry_after:?}")),
        ]
        .into_iter()
    }

    /// The defaults: one frame at a time announced, 32 MiB bodies, 16 sections, everybody admitted.
    pub fn new() -> Self {
        ServerConfig::default()
    }

    /// Frames a client is told it may have in flight. Announced; [`ServerConfig::enforce_credit`] makes it a bound.
    pub fn max_concurrent_frames(mut self, frames: u16) -> Self {
        self.settings.max_concurrent_frames = frames;
        self
    }

    /// Whether a frame beyond the credit is dropped as `queue_full` and never seen by the application (R-SUB-11). Off by
    /// default: then frames beyond it are handed out like any other. The bound is `max_concurrent_frames`, or more
    /// where a session-scope FLOW_UPDATE granted more; granting less never refuses what a client sent before it heard.
    pub fn enforce_credit(mut self, enforce: bool) -> Self {
        self.settings.enforce_credit = enforce;
        self
    }

    /// Whether a frame that has no answer when its `latency_budget_ms` is over is dropped as `budget_exceeded`
    /// (R-LIFE-3). Off by default. [`Submit::cancelled`](crate::Submit::cancelled) tells the application, a frame nobody
    /// has received yet is never handed out, and results that come later are counted and not sent.
    pub fn expire_frames(mut self, expire: bool) -> Self {
        self.settings.expire_frames = expire;
        self
    }

    /// Whether a frame is refused whose id is that of a frame without an answer (R-SUB-10). Off by default: then both
    /// are handed out, and the id is over after two answers.
    pub fn strict_frame_ids(mut self, strict: bool) -> Self {
        self.settings.strict_frame_ids = strict;
        self
    }

    /// Largest body of a frame in bytes; a larger one is refused without being buffered.
    pub fn max_body_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// Tensor sections in one frame; a frame with more is refused.
    pub fn max_sections(mut self, sections: u16) -> Self {
        self.settings.max_sections = sections;
        self
    }

    /// Whether clients may move their sessions to another connection, of this listener or of one whose configuration
    /// shares the [`ServerConfig::session_registry`]: a clone of this one does. Off unless asked for.
    pub fn migration(mut self, migration: Migration) -> Self {
        self.settings.migration = migration;
        self
    }

    /// How long a client goes on reading the connection it left; 1 s unless asked otherwise.
    pub fn migration_grace(mut self, grace: Duration) -> Self {
        self.settings.migration_grace = grace;
        self
    }

    /// Bytes of results kept of each session that may move, to be sent again when the path they went out on is lost; 8 MiB
    /// unless asked otherwise, and of the newest result always. On QUIC a result is kept until the client has it; on TCP
    /// nobody says so, and this much stays for as long as the session lives. What was lost and is not kept fails its frame,
    /// so it should hold what may be on its way at once, and the 4 MiB that may wait to be written.
    pub fn max_kept_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_kept_bytes = bytes;
        self
    }

    /// Where the sessions that may move are found. Every [`ServerConfig::new`] has one of its own, which its clones
    /// share.
    pub fn session_registry(mut self, sessions: SessionRegistry) -> Self {
        self.sessions = sessions;
        self
    }

    /// Name of the model, told to clients.
    pub fn model_name(mut self, name: impl Into<String>) -> Self {
        self.model_name = name.into();
        self
    }

    /// What clients may send and are told: payload kinds, codecs, dtypes, layouts, cache, loss tolerance, probes.
    /// Replaces what was set before, limits of frames included.
    pub fn settings(mut self, settings: ServerSettings) -> Self {
        self.settings = settings;
        self
    }

    /// One more extension of the acknowledgement, for every client. One of a type the library answers itself
    /// replaces that answer.
    pub fn extension(mut self, extension: ControlExtension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Clients that wait to be accepted, or are in their handshake, at once. Further ones are sent away with
    /// SERVER_BUSY.
    pub fn max_pending_handshakes(mut self, clients: usize) -> Self {
        self.max_pending_handshakes = clients;
        self
    }

    /// When a client that is sent away with SERVER_BUSY is asked to try again.
    pub fn busy_retry_after(mut self, wait: Duration) -> Self {
        self.busy_retry_after = wait;
        self
    }

    /// How long a client may take to send its hello once somebody accepts, and the authentication to decide about
    /// it, together.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How listeners over QUIC do it: windows, timeouts, ALPN.
    #[cfg(feature = "quic")]
    pub fn quic(mut self, options: QuicOptions) -> Self {
        self.quic = options;
        self
    }

    /// How listeners over TCP do it.
    #[cfg(feature = "tcp")]
    pub fn tcp(mut self, options: TcpOptions) -> Self {
        self.tcp = options;
        self
    }

    /// Decides who is let in, before anything else the client asks for is done: a `bool` or a [`Verdict`]. Runs
    /// beside the handshakes of other clients; a slow decision delays nobody else, and one that is not there when
    /// the handshake timeout is over refuses. It must not block its thread; see
    /// [`ServerConfig::authenticate_blocking`].
    ///
    /// ```
    /// use nnrp::{ServerConfig, constant_time_eq};
    ///
    /// let config = ServerConfig::new()
    ///     .authenticate(|hello| async move { constant_time_eq(&hello.hello.auth_block, b"a long random token") });
    /// # let _ = config;
    /// ```
    pub fn authenticate<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(ReceivedHello) -> D + Send + Sync + 'static,
        D: Future<Output: Into<Verdict>> + Send + 'static,
    {
        self.authenticator = Some(Authenticator::from_async(decide));
        self
    }

    /// The same for a function that blocks: it runs on a thread of its own, of which there are
    /// [`MAX_BLOCKING_DECISIONS`](crate::MAX_BLOCKING_DECISIONS). One that panics refuses.
    pub fn authenticate_blocking<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(ReceivedHello) -> D + Send + Sync + 'static,
        D: Into<Verdict>,
    {
        self.authenticator = Some(Authenticator::from_blocking(decide));
        self
    }
}

/// What a client asks for.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientConfig {
    pub(crate) settings: ClientSettings,
    pub(crate) hello: ClientHello,
    #[cfg(feature = "quic")]
    pub(crate) quic: QuicOptions,
    #[cfg(feature = "tcp")]
    pub(crate) tcp: TcpOptions,
}

impl Default for ClientConfig {
    fn default() -> Self {
        // The values rc2 sends, except the cache: this client does not hold objects for the server.
        let metadata = ClientHelloMetadata {
            min_version_major: 1,
            max_version_major: 1,
            supported_wire_format_bitmap: 1,
            supported_profile_bitmap: 1,
            supported_payload_kind_bitmap: PayloadKind::TENSOR,
            supported_codec_bitmap: 3,
            supported_compression_bitmap: 3,
            supported_dtype_bitmap: 0x1F,
            supported_layout_bitmap: 3,
            max_lane_count: 1,
            target_cadence_x100: 6000,
            latency_budget_ms: 50,
            quality_tier: 2,
            requested_session_id: 1,
            ..ClientHelloMetadata::default()
        };
        let hello = ClientHello { metadata, extensions: Vec::new(), auth_block: bytes::Bytes::new() };
        ClientConfig {
            settings: ClientSettings::default(),
            hello,
            #[cfg(feature = "quic")]
            quic: QuicOptions::default(),
            #[cfg(feature = "tcp")]
            tcp: TcpOptions::default(),
        }
    }
}

impl ClientConfig {
    /// The defaults: session id 1 requested, no token, PING every 15 s.
    pub fn new() -> Self {
        ClientConfig::default()
    }

    /// A hello made elsewhere, sent as it is.
    pub fn from_hello(hello: ClientHello) -> Self {
        ClientConfig { hello, ..ClientConfig::default() }
    }

    /// How a connection over QUIC is made: windows, timeouts, ALPN.
    #[cfg(feature = "quic")]
    pub fn quic(mut self, options: QuicOptions) -> Self {
        self.quic = options;
        self
    }

    /// How a connection over TCP is made.
    #[cfg(feature = "tcp")]
    pub fn tcp(mut self, options: TcpOptions) -> Self {
        self.tcp = options;
        self
    }

    /// The token the server's authentication gets to see. Never logged.
    pub fn auth_block(mut self, token: impl Into<bytes::Bytes>) -> Self {
        self.hello.auth_block = token.into();
        self
    }

    /// The session id to ask for; 0 leaves it to the server.
    pub fn session_id(mut self, id: u32) -> Self {
        self.hello.metadata.requested_session_id = id;
        self
    }

    /// Asks that objects of these kinds may be kept, so that frames can refer to them: what the server takes with
    /// [`ClientSession::put_cache`](crate::ClientSession::put_cache), and what this client takes within
    /// [`ClientConfig::cache_room`]. Nothing is kept unless asked for.
    pub fn cache(mut self, kinds: impl IntoIterator<Item = CacheObjectKind>) -> Self {
        for kind in kinds {
            // Kinds count from 1.
            let bit = kind.value().checked_sub(1).and_then(|shift| 1_u16.checked_shl(shift));
            self.hello.metadata.cache_object_bitmap |= bit.unwrap_or(0);
        }
        self.hello.metadata.cache_namespace_count = self.hello.metadata.cache_namespace_count.max(1);
        self
    }

    /// How many objects, of how many bytes together, this client keeps for the server. None unless asked for.
    pub fn cache_room(mut self, entries: u32, bytes: u32) -> Self {
        self.hello.metadata.max_cache_entries = entries;
        self.hello.metadata.max_cache_bytes = bytes;
        self
    }

    /// Views (lanes) the client will use.
    pub fn max_views(mut self, views: u16) -> Self {
        self.hello.metadata.max_lane_count = views;
        self
    }

    /// Loss tolerance asked for the session.
    pub fn loss_tolerance(self, level: LossTolerance) -> Self {
        self.extension(
            LossToleranceExtension { session_loss_tolerance: level, ..Default::default() }.to_extension(),
        )
    }

    /// Transport policy announced to the server.
    pub fn transport_policy(self, policy: TransportPolicy, preferred: TransportId) -> Self {
        let extension = TransportPolicyExtension {
            transport_policy: policy,
            preferred_transport_id: preferred,
            ..Default::default()
        };
        self.extension(extension.to_extension())
    }

    /// One more handshake extension.
    pub fn extension(mut self, extension: ControlExtension) -> Self {
        self.hello.extensions.push(extension);
        self
    }

    /// How long the server may take to answer.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake_timeout = timeout;
        self
    }

    /// How often to ask whether the server is there, and after how much silence to give up on a server that has
    /// answered before. `None` turns either off, and without questions nobody is given up; a client asks at least three times before it
    /// gives up, whatever the interval. On QUIC, where nobody says that a process is gone, a third of both holds
    /// while frames wait for their answers. On TCP a question that the system took counts as a sign of life: there a server
    /// that stands still is found out by the idle timeout.
    pub fn keepalive(mut self, interval: Option<Duration>, timeout: Option<Duration>) -> Self {
        self.settings.keepalive_interval = interval;
        self.settings.keepalive_timeout = timeout;
        self
    }

    /// Largest body of a result in bytes.
    pub fn max_body_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// How to treat the server's credit and pauses.
    pub fn credit(mut self, policy: CreditPolicy) -> Self {
        self.settings.credit = policy;
        self
    }

    /// How long credit or a pause may hold a submit back before it fails; `None` waits as long as the session lasts.
    /// 30 s unless told otherwise.
    pub fn credit_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.credit_timeout = timeout;
        self
    }

    /// Bytes of submits kept of a session that may move, until the first answer of their frames, to be sent again when the
    /// path they went out on is lost; 8 MiB unless told otherwise, and of the newest submit always. A submit that was lost
    /// and is not kept fails its frame.
    pub fn max_kept_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_kept_bytes = bytes;
        self
    }
}
