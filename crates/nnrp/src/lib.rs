//! NNRP/1, the Neural Network Runtime Protocol, for Rust services.
//!
//! Clients submit frames (tensors in tiles, token chunks, audio, events) over one long QUIC or TCP connection;
//! a server awaits them, runs its model, and pushes results back: whole, partial, degraded or dropped, always
//! with an answer.
//!
//! ```
//! use nnrp::wire::{Section, SubmitFrame, TensorDType};
//! use nnrp::{ClientConfig, ClientSession, Listener, Outcome, Reply, ServerConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A server that sends every tile back.
//! let listener = Listener::bind_tcp("127.0.0.1:0".parse()?, ServerConfig::new()).await?;
//! let address = listener.local_addr();
//! tokio::spawn(async move {
//!     while let Some(session) = listener.accept().await {
//!         tokio::spawn(async move {
//!             while let Ok(Some(submit)) = session.recv().await {
//!                 let answer = Outcome::complete().sections(submit.sections());
//!                 let _ = submit.reply(answer).await;
//!             }
//!         });
//!     }
//! });
//!
//! // A client with one frame.
//! let client = ClientSession::connect_tcp(address, ClientConfig::new()).await?;
//! let section = Section::new(1, TensorDType::Uint8).tiles(["left", "right"]);
//! let frame = SubmitFrame::new(1).tiles([3, 7]).section(section);
//! match client.submit(&frame).await? {
//!     Reply::Result(result) => {
//!         assert_eq!(result.tile_ids().collect::<Vec<_>>(), [3, 7]);
//!         assert_eq!(result.sections().next().expect("one section").tiles().collect::<Vec<_>>(), ["left", "right"]);
//!     }
//!     other => panic!("no result: {other:?}"),
//! }
//! client.close("done").await;
//! # Ok(())
//! # }
//! ```
//!
//! Over QUIC only the listener and the call that connects are others; a development certificate serves for a first
//! try on one machine:
//!
//! ```
//! use nnrp::{ClientConfig, ClientSession, Identity, Listener, ServerConfig, Trust};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let made = nnrp::development_certificate()?;
//! let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes())?;
//! let listener = Listener::bind_quic("127.0.0.1:0".parse()?, &identity, ServerConfig::new()).await?;
//!
//! let trust = Trust::Certificates(made.certificate.into_bytes());
//! let (client, session) = tokio::join!(
//!     ClientSession::connect_quic(listener.local_addr(), "localhost", &trust, ClientConfig::new()),
//!     listener.accept(),
//! );
//! assert_eq!(client?.id(), session.expect("the listener is open").id());
//! # Ok(())
//! # }
//! ```
//!
//! | to | look at |
//! | --- | --- |
//! | serve | [`Listener`], [`ServerSession`], [`Submit`] |
//! | connect | [`ClientSession`], [`Connection`] for raw packets |
//! | configure | [`ServerConfig`], [`ClientConfig`], [`QuicOptions`], [`TcpOptions`] |
//! | encrypt, and verify both sides | [`ServerTls`], [`ClientTls`], [`Identity`], [`Trust`], [`Listener::reload_tls`] |
//! | find the better transport | [`probe()`], [`choose`] |
//! | move a session to another connection | [`ServerConfig::migration`], [`ClientSession::migrate`] |
//! | address a server | [`Address`]: `nnrps://host:port` |
//! | understand a failure | [`HandshakeError`], [`TlsFault`], [`SessionError`], [`SendError`], [`Closed`] |
//! | see how it is doing | [`Listener::stats`], [`Connection::stats`], `tracing` |
//! | look at bytes | [`wire`] |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "quic", feature = "tcp")),
    allow(
        dead_code,
        unused_imports,
        reason = "what only the other binding uses; with both features nothing may be unused"
    )
)]

mod address;
mod auth;
mod client;
mod config;
mod control;
mod credit;
mod drain;
mod error;
mod handshake;
mod listener;
mod migrate;
mod outcome;
mod probe;
mod reply;
mod server;
mod stats;
mod streams;
mod submit;
mod waiting;

pub use address::{Address, AddressError, Scheme};
pub use auth::{MAX_BLOCKING_DECISIONS, Verdict};
pub use client::{ClientSession, DialError};
pub use config::{ClientConfig, ServerConfig};
pub use control::{CacheObject, Forget, Patch};
pub use error::{
    BindError, Closed, ConnectError, FailedHandshake, HandshakeError, ReceiveError, SendError, SessionError,
    TlsError,
};
pub use handshake::PendingSession;
pub use listener::{HandshakeOptions, Listener, MAX_PENDING_HANDSHAKES};
pub use migrate::{MigrateError, MigrationRecord, SessionRegistry, TakenOver};
pub use nnrp_session::{
    ANNOUNCED_CREDIT_PATIENCE, Admission, Arrival, CREDIT_TIMEOUT, ClientSettings, CommandError,
    ConnectionState, CreditPolicy, DRAIN_TIME, Drained, DropFrame, Ended, EndedBy, FailedFrame, Fault,
    FrameKey, FrameState, FrameStats, HANDSHAKE_TIMEOUT, HandshakeFailure, Hold, HoldReason, IDLE_TIMEOUT,
    Latency, Migration, Parameters, ReceivedHello, ReceivedSubmit, RejectedPacket, ServerSettings, Side,
    constant_time_eq,
};
#[cfg(feature = "quic")]
pub use nnrp_transport::quic::{self, QuicOptions};
#[cfg(feature = "tcp")]
pub use nnrp_transport::tcp::{self, TcpOptions};
pub use nnrp_transport::tls::{
    ClientTls, DevelopmentCertificate, Identity, KeyLog, ServerTls, TlsFault, Trust, development_certificate,
};
pub use nnrp_transport::{Connection, ConnectionStats, Filter, Item, Receive, Sent, clock, memory};
/// The packets themselves.
pub use nnrp_wire as wire;
pub use outcome::Outcome;
pub use probe::{MAX_PROBE_BYTES, ProbeOptions, Probed, choose, probe, probe_by};
pub use reply::{PushedResult, Reply};
pub use server::{Received, ServerSession};
pub use stats::{ClientStats, ListenerStats};
pub use streams::{ResultParts, Subscription};
pub use submit::Submit;
