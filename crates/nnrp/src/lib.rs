//! NNRP/1, the Neural Network Runtime Protocol, for Rust services.
//!
//! Clients submit **frames** (tensors in tiles, token chunks, audio, events) over one long QUIC or TCP connection; a server
//! awaits them, runs its model, and pushes **results** back: whole, partial, degraded or dropped, always with an answer.
//!
//! # A server and a client
#![cfg_attr(feature = "quic", doc = "```")]
#![cfg_attr(not(feature = "quic"), doc = "```ignore")]
//! use nnrp::wire::{Section, SubmitFrame, TensorDType};
//! use nnrp::{ClientConfig, ClientSession, Identity, Listener, Outcome, Reply, ServerConfig, ServerSession, Trust};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // For a first try on one machine; a server of your own has Identity::from_pem_files("cert.pem", "key.pem").
//! let made = nnrp::development_certificate()?;
//! let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes())?;
//!
//! let listener = Listener::bind_quic("127.0.0.1:0".parse()?, &identity, ServerConfig::new()).await?;
//! let address = listener.local_addr();
//! tokio::spawn(async move {
//!     while let Some(session) = listener.accept().await {
//!         tokio::spawn(serve(session));
//!     }
//! });
//!
//! /// Sends every tile back.
//! async fn serve(session: ServerSession) {
//!     while let Ok(Some(submit)) = session.recv().await {
//!         let answer = Outcome::complete().sections(submit.sections()); // your model's, rather
//!         let _ = submit.reply(answer).await;
//!     }
//! }
//!
//! // Clients with a certificate of a known authority to verify have Trust::Platform.
//! let trust = Trust::Certificates(made.certificate.into_bytes());
//! let client = ClientSession::connect_quic(address, "localhost", &trust, ClientConfig::new()).await?;
//! let section = Section::new(1, TensorDType::Uint8).tiles(["left", "right"]);
//! match client.submit(&SubmitFrame::new(1).tiles([3, 7]).section(section)).await? {
//!     Reply::Result(result) => {
//!         assert_eq!(result.tile_ids().collect::<Vec<_>>(), [3, 7]);
//!         assert_eq!(result.sections().next().expect("one").tiles().collect::<Vec<_>>(), ["left", "right"]);
//!     }
//!     Reply::Dropped { reason, .. } => println!("dropped: {reason:?}"),
//!     other => println!("failed: {other:?}"),
//! }
//! client.close("done").await;
//! # Ok(())
//! # }
//! ```
//!
//! Over TCP, [`Listener::bind_tcp_tls`] and [`ClientSession::connect_tcp_tls`] take the same arguments. Plain TCP, for this
//! machine and networks you trust, is [`Listener::bind_tcp`] and [`ClientSession::connect_tcp`]. The rest of a program does not
//! change: one handler serves all three. [`ClientSession::connect`] takes an [`Address`] such as `nnrps://render.example:4433`,
//! which is never dialled without encryption.
//!
//! # Answers in parts
//!
//! A token stream is one frame whose answer comes in parts. Who stops reading early has stopped the server.
//!
//! ```
//! # use nnrp::wire::{SubmitFrame, TypedPayload};
//! # use nnrp::{ClientSession, Outcome, SessionError, SendError, Submit};
//! async fn generate(submit: Submit, words: &[&'static str]) -> Result<(), SendError> {
//!     for word in words {
//!         let part = Outcome::partial().payload(TypedPayload::token_chunk(*word));
//!         submit.partial(part).await?; // or tokio::select! it with submit.cancelled()
//!     }
//!     submit.reply(Outcome::complete()).await?;
//!     Ok(())
//! }
//!
//! async fn read(client: &ClientSession, prompt: &'static str) -> Result<String, Box<dyn std::error::Error>> {
//!     let frame = SubmitFrame::new(2).payload(TypedPayload::token_chunk(prompt));
//!     let mut parts = client.submit_streaming(&frame).await?;
//!     let mut text = String::new();
//!     while let Some(part) = parts.next().await {
//!         let Some(result) = part?.into_result() else { break };
//!         for payload in result.payloads() {
//!             text.push_str(std::str::from_utf8(&payload.data)?);
//!         }
//!     }
//!     Ok(text)
//! }
//! ```
//!
//! # What holds everywhere
//!
//! - **Always an answer.** A [`Submit`] owes one: whoever lets go of it has dropped the frame, and its client is told. A wait for a
//!   frame ends with a result, a drop with its reason, or an error that says why.
//! - **Nothing is copied** after a body has arrived in one buffer: sections, tiles and payloads are reference-counted views of
//!   it. What is sent goes out as the pieces it was given in.
//! - **Cancel-safety.** Sockets belong to tasks of their own, and futures here wait on queues: dropping one loses nothing that has
//!   arrived, and sends a whole packet or none. Every async function says so, and a test gives each of them up.
//! - **Every queue is bounded.** Who does not read holds the other side back, and no other session.
//! - **Errors** are one `#[non_exhaustive]` enum for each kind of operation, `Send + Sync + 'static`, with `source()`; none is to be
//!   matched by its text. [`SendError::Command`] has sent nothing; [`Closed`] says how a session ended, and is part of the others.
//! - **Nothing a peer sends panics**, or is allocated for before it is checked.
//!
//! # Where to look
//!
//! | to | look at |
//! | --- | --- |
//! | serve | [`Listener`], [`ServerSession`], [`Submit`], [`Outcome`] |
//! | connect | [`ClientSession`], [`Reply`], [`ResultParts`]; [`Connection`] for raw packets |
//! | decide who is let in | [`ServerConfig::authenticate`], [`Verdict`], [`Listener::try_accept`] |
//! | encrypt, and verify both sides | [`ServerTls`], [`ClientTls`], [`Identity`], [`Trust`], [`Listener::reload_tls`] |
//! | configure | [`ServerConfig`], [`ClientConfig`], [`QuicOptions`], [`TcpOptions`] |
//! | say that there is too much to do | [`Submit::reject`], [`ServerSession::flow_update`], [`ServerSession::hint`] |
//! | write with streams and sinks | [`ServerSession::submits`], [`ServerSession::sink`], [`ClientSession::replies`], [`Listener::incoming`] |
//! | change a running session, have objects kept | [`ClientSession::patch`], [`ClientSession::put_cache`] |
//! | find the better transport | [`probe()`], [`choose`] |
//! | move a session to another connection | [`ServerConfig::migration`], [`ClientSession::migrate`] |
//! | hear what happens to a session | [`ClientSession::events`], [`ServerSession::events`], [`SessionEvent`] |
//! | go away without losing a frame | [`Listener::drain`] |
//! | understand a failure | [`HandshakeError`], [`TlsFault`], [`SessionError`], [`SendError`], [`Closed`] |
//! | see how it is doing | [`Listener::stats`], [`ServerSession::stats`], [`ClientSession::stats`]; spans `nnrp.session` and `nnrp.frame` ([`Submit::span`]) |
//! | look at bytes | [`wire`] |
//!
//! Whole programs are in `examples/rust` of the repository.
//!
//! # Features
//!
//! | feature | | brings |
//! | --- | --- | --- |
//! | `quic` | default | the QUIC binding; quinn |
//! | `tcp` | default | the TCP binding, with TLS and without; tokio-rustls |
//! | `qlog` | | files with what QUIC did ([`QuicOptions::qlog`]) |
//!
//! Every combination builds. Without either transport there are connections inside a process ([`memory`]).
//!
//! Rust 1.90 or newer.
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
mod arrivals;
mod auth;
mod client;
mod config;
mod control;
mod credit;
mod dial;
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
pub use client::ClientSession;
pub use config::{ClientConfig, ServerConfig};
pub use control::{CacheObject, Forget, Patch};
pub use dial::DialError;
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
pub use nnrp_transport::{
    Connection, ConnectionStats, Cork, Filter, Item, LoopSockets, Receive, Sent, SessionEvent, clock, memory,
};
/// The packets themselves.
pub use nnrp_wire as wire;
pub use outcome::Outcome;
pub use probe::{MAX_PROBE_BYTES, ProbeOptions, Probed, choose, probe, probe_by};
pub use reply::{PushedResult, Reply};
pub use server::{Received, ServerSession};
pub use stats::{ClientStats, ListenerStats};
pub use streams::{Events, ResultParts, Subscription};
pub use submit::Submit;
