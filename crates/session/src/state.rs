//! Connection states as data: which event leads where, and which message may arrive when.

use nnrp_wire::MessageType;

/// Which end of the connection a machine plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Opened the connection; submits frames.
    Client,
    /// Accepted the connection; answers frames.
    Server,
}

/// The life of a connection (wire reference 10.1).
///
/// ```text
///  INIT ──hello──▶ NEGOTIATING ──ack──▶ ACTIVE ──CLOSE or fatal ERROR──▶ DRAINING ──▶ CLOSED
///    └────────────── refusal, timeout, transport loss ─────────────────────────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Transport up, nothing agreed.
    Init,
    /// CLIENT_HELLO sent or received, not yet answered.
    Negotiating,
    /// The session exists.
    Active,
    /// CLOSE or a fatal ERROR was sent or received: no new frames, running ones finish.
    Draining,
    /// The end.
    Closed,
}

impl ConnectionState {
    /// Whether the table has a row from here to `next`.
    pub fn leads_to(self, next: ConnectionState) -> bool {
        TRANSITIONS.iter().any(|row| row.from == self && row.to == next)
    }
}

/// One row of the state table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// State before.
    pub from: ConnectionState,
    /// What happens, in words for diagrams and docs.
    pub on: &'static str,
    /// State after.
    pub to: ConnectionState,
}

macro_rules! transitions {
    ($($from:ident, $on:literal => $to:ident;)*) => {
        /// Every legal change of state. The machine asserts in debug builds that it takes no other.
        pub const TRANSITIONS: &[Transition] = &[$(Transition {
            from: ConnectionState::$from, on: $on, to: ConnectionState::$to,
        }),*];
    };
}

transitions! {
    Init,        "CLIENT_HELLO"                          => Negotiating;
    Init,        "refusal, fatal ERROR or CLOSE"         => Draining;
    Init,        "transport closed"                      => Closed;
    Init,        "SESSION_MIGRATE"                       => Negotiating;
    Negotiating, "SERVER_HELLO_ACK"                      => Active;
    Negotiating, "refusal, fatal ERROR, CLOSE, timeout"  => Draining;
    Negotiating, "transport lost"                        => Closed;
    Active,      "CLOSE or fatal ERROR, either way"      => Draining;
    Active,      "transport lost"                        => Closed;
    Draining,    "no live frames, or drain time over"    => Closed;
}

/// Whether `side` may receive `message` in `state` (wire reference 10.2).
pub fn permitted(side: Side, state: ConnectionState, message: MessageType) -> bool {
    use ConnectionState as S;
    use MessageType as M;
    // Both ends, always: a peer may say goodbye, complain, or ask whether anybody is there.
    if matches!(message, M::Ping | M::Pong | M::Close | M::Error) {
        return true;
    }
    match (side, state) {
        (_, S::Closed) => false,
        (Side::Server, S::Init) => matches!(message, M::ClientHello | M::SessionMigrate | M::TransportProbe),
        (Side::Server, S::Negotiating) => false,
        (Side::Server, S::Active) => matches!(
            message,
            M::FrameSubmit
                | M::FrameCancel
                | M::SessionPatch
                | M::CachePut
                | M::CacheAck
                | M::CacheInvalidate
                | M::FlowUpdate
                | M::TransportProbe
        ),
        (Side::Server, S::Draining) => {
            matches!(message, M::FrameCancel | M::CachePut | M::CacheAck | M::CacheInvalidate | M::FlowUpdate)
        }
        (Side::Client, S::Init) => message == M::TransportProbeAck,
        (Side::Client, S::Negotiating) => {
            matches!(message, M::ServerHelloAck | M::SessionMigrateAck | M::TransportProbeAck)
        }
        (Side::Client, S::Active | S::Draining) => matches!(
            message,
            M::ResultPush
                | M::ResultDrop
                | M::ResultHint
                | M::SessionPatchAck
                | M::CachePut
                | M::CacheAck
                | M::CacheInvalidate
                | M::FlowUpdate
                | M::TransportProbeAck
                | M::SessionMigrateAck
        ),
    }
}
