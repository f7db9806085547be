//! Sockets to packets: QUIC, TCP and in-memory connections, and the driver that runs a session
//! [`Machine`](nnrp_session::Machine) over them.
//!
//! ```text
//!  socket ─▶ reader task ─ 40 bytes ─▶ Machine::handle_header ─ Read ─▶ body buffer ─▶ Machine::handle_packet
//!                                                                                          │ events
//!  application ◀── [`Connection::receive`] ◀── inbox (bounded, filtered, first come first served) ◀┘
//!  application ──▶ command on the machine ──▶ transmits ──▶ writer task ──▶ socket (vectored)
//! ```
//!
//! Each connection has tasks of its own for reading and for writing, so a peer that stops reading never stops
//! our reading of what it says. User futures never touch a socket: they wait on the inbox, on room in the write
//! buffer, or on the end of the connection, and dropping one loses nothing.
//!
//! This crate knows streams, bytes and lanes. What a message means is decided in `nnrp-session` alone.
//!
//! Feature `quic` is the QUIC binding (quinn), `tcp` that of TCP with and without TLS (tokio-rustls); both are on by default.
//! Without either there are connections in memory.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "quic", feature = "tcp")),
    allow(
        dead_code,
        unused_imports,
        reason = "what only the other binding uses; with both features nothing may be unused"
    )
)]

mod alarm;
mod budget;
pub mod buffer;
mod buffered;
pub mod clock;
mod commands;
#[cfg(feature = "quic")]
mod congestion;
mod connection;
mod corks;
mod error;
mod inbox;
mod item;
mod leaving;
mod link;
mod links;
#[cfg_attr(not(target_os = "linux"), path = "loop_sockets_elsewhere.rs")]
mod loop_sockets;
mod low_water;
pub mod memory;
mod migrate;
pub mod order;
mod path;
mod pen;
mod pieces;
mod publish;
#[cfg(feature = "quic")]
mod qlog;
#[cfg(feature = "quic")]
pub mod quic;
#[cfg(feature = "quic")]
mod quic_driver;
mod quic_link;
#[cfg(feature = "quic")]
mod quic_packets;
#[cfg(feature = "quic")]
mod quic_socket;
#[cfg(feature = "quic")]
mod quic_window;
#[cfg(feature = "quic")]
mod roaming;
mod serving;
mod session_event;
mod shared;
mod silence;
mod socket;
mod stats;
mod stream_driver;
mod stream_reader;
#[cfg(feature = "tcp")]
pub mod tcp;
#[cfg(feature = "tcp")]
mod tcp_tls;
pub mod tls;
mod turns;

pub use commands::WRITE_BUFFER_BYTES;
pub use connection::{Connection, Sent, WeakConnection};
pub use error::{BindError, Closed, ConnectError, ReceiveError, SendError};
pub use inbox::Receive;
pub use item::{Filter, Item};
pub use leaving::Cork;
pub use loop_sockets::LoopSockets;
pub use migrate::MoveError;
pub use session_event::SessionEvent;
pub use shared::{MAX_LATE_BYTES, MAX_UNREAD_FRAMES, UNREAD_BODIES};
pub use stats::{ConnectionStats, Ledger, Totals};
