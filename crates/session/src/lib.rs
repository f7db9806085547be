//! What may happen when: the NNRP/1 session, for both roles, without I/O.
//!
//! The one type is [`Machine`]. It never reads a clock, opens a socket or waits; whoever drives it (the
//! transport crate over real sockets, a test in virtual time) passes the time in. Its methods come in four
//! kinds:
//!
//! | kind | methods | |
//! | --- | --- | --- |
//! | getters | [`Machine::state`], [`Machine::session_id`], … | look, change nothing |
//! | inputs | `handle_*` | something happened outside: bytes arrived, time passed, the transport ended |
//! | commands | [`Machine::submit`], [`Machine::push_result`], [`Machine::close`], … | the application wants something |
//! | outputs | `poll_*` | what to do about it: packets to send, events for the application, when to call back |
//!
//! A driver loops: feed one input or command, then drain [`Machine::poll_transmit`] and
//! [`Machine::poll_event`] until both are empty, then ask [`Machine::poll_timeout`] when
//! [`Machine::handle_timeout`] is due. The order of transmits is the order on the wire.
//!
//! A packet enters in two steps so that nothing is allocated for a peer that lies: the 40 header bytes go to
//! [`Machine::handle_header`], which checks them, the lengths, the limits and the state, answers what is wrong
//! and says whether to read the rest, to skip it, or to stop. Only then does the driver allocate a body and
//! call [`Machine::handle_packet`].
//!
//! Rule ids (`R-…`) in this crate are those of the wire reference in `docs/`; the table is
//! [`nnrp_wire::rules`].
#![forbid(unsafe_code)]

mod answer;
mod answering;
mod cache;
mod caching;
mod client;
mod drain;
mod error;
mod event;
mod flow;
mod frame_state;
mod frames;
mod latency;
mod limits;
mod machine;
mod migrate;
mod patch;
mod pings;
mod raw;
mod server;
mod settings;
mod state;
mod stats;
mod transmit;

pub use answering::{UNANSWERED, is_terminal};
pub use drain::Drained;
pub use error::{CommandError, Fault, constant_time_eq, whole_millis};
pub use event::{
    Ended, EndedBy, Established, Event, FailedFrame, HandshakeFailure, ReceivedHello, ReceivedResult,
    ReceivedSubmit, RejectedPacket,
};
pub use flow::{Credit, CreditPolicy, CreditScope, Hold, HoldReason};
pub use frame_state::{FRAME_TRANSITIONS, FrameState, FrameTransition};
pub use frames::{FrameKey, SubmittedTiles};
pub use latency::Latency;
pub use limits::*;
pub use machine::{Machine, TransportEnd};
pub use migrate::{
    MAX_KEPT_BYTES, MAX_MIGRATION_GRACE, MAX_MIGRATIONS_PER_SECOND, MIGRATION_GRACE, Migration,
    MigrationAnswer, Moved, ReceivedMigration, UNTOLD_PATIENCE,
};
pub use patch::Parameters;
pub use settings::{Admission, ClientSettings, DropFrame, ServerSettings, negotiate};
pub use state::{ConnectionState, Side, TRANSITIONS, Transition, permitted};
pub use stats::FrameStats;
pub use transmit::{Arrival, HeaderVerdict, Lane, Origin, Transmit};
