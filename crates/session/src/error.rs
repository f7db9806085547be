//! Faults: ours and the peer's are different types.

use std::fmt;
use std::time::Duration;

use nnrp_wire::rules::{Answer, RuleId};
use nnrp_wire::{ErrorCode, ErrorScope, MessageType, WireError};
use subtle::ConstantTimeEq;

/// The peer (or the bytes it sent) broke a rule, or told us that something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The rule, when one of ours was broken; `None` for an ERROR the peer sent.
    pub rule: Option<RuleId>,
    /// The message at fault, when it is known.
    pub message: Option<MessageType>,
    /// The NNRP error code.
    pub code: ErrorCode,
    /// How far the damage reaches.
    pub scope: ErrorScope,
    /// Whether the connection ends.
    pub fatal: bool,
    /// Advice of the peer, milliseconds; 0 = none.
    pub retry_after_ms: u32,
    /// Session, frame and view concerned; 0 where not known.
    pub session_id: u32,
    /// See `session_id`.
    pub frame_id: u32,
    /// See `session_id`.
    pub view_id: u16,
    /// One English sentence.
    pub text: String,
    /// True when the peer sent it as an ERROR, false when we found it.
    pub from_peer: bool,
}

impl Fault {
    /// A fault found here: `rule` was broken by `message`.
    pub fn found(rule: RuleId, message: impl Into<Option<MessageType>>, text: impl Into<String>) -> Self {
        let message = message.into();
        let (code, scope, fatal) = levels(rule.code(), rule.answer(message));
        Fault {
            rule: Some(rule),
            message,
            code,
            scope,
            fatal,
            retry_after_ms: 0,
            session_id: 0,
            frame_id: 0,
            view_id: 0,
            text: text.into(),
            from_peer: false,
        }
    }

    /// A refusal the application or the library decided on: fatal, connection scope.
    pub fn refusal(code: ErrorCode, text: impl Into<String>) -> Self {
        Fault {
            rule: None,
            message: None,
            code,
            scope: ErrorScope::Connection,
            fatal: true,
            retry_after_ms: 0,
            session_id: 0,
            frame_id: 0,
            view_id: 0,
            text: text.into(),
            from_peer: false,
        }
    }

    /// The same fault with the advice to try again after `wait`, rounded up to whole milliseconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = whole_millis(wait);
        self
    }

    /// A frame that this client gave up: nothing more of it is handed out.
    pub fn given_up(key: crate::FrameKey) -> Self {
        let text = format!("{key} was cancelled or discarded here; what still comes of it is thrown away");
        let mut fault = Fault::refusal(ErrorCode::FrameCancelled, text).made_frame();
        fault.frame_id = key.frame_id;
        fault.view_id = key.view_id;
        fault
    }

    /// The same fault with the header's session, frame and view filled in.
    #[must_use]
    pub fn about(mut self, header: &nnrp_wire::Header) -> Self {
        self.session_id = header.session_id;
        self.frame_id = header.frame_id;
        self.view_id = header.view_id;
        self.message.get_or_insert(header.msg_type);
        self
    }

    /// The same fault, at the cost of one frame: for rules that are refused on request only.
    #[must_use]
    pub(crate) fn made_frame(mut self) -> Self {
        self.fatal = false;
        self.scope = ErrorScope::Frame;
        self
    }

    /// The same fault, ending the connection.
    #[must_use]
    pub fn made_fatal(mut self) -> Self {
        self.fatal = true;
        self.scope = ErrorScope::Connection;
        self
    }
}

/// Whether two secrets are equal, in a time that says nothing about where they differ; only their lengths may show. For
/// comparing an auth block with a token.
pub fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// `duration` as the wire counts it: a part of a millisecond is not rounded to nothing, and what does not fit is as
/// long as the field can say (49 days).
pub fn whole_millis(duration: Duration) -> u32 {
    let millis = duration.as_millis() + u128::from(!duration.subsec_nanos().is_multiple_of(1_000_000));
    u32::try_from(millis).unwrap_or(u32::MAX)
}

fn levels(code: Option<ErrorCode>, answer: Answer) -> (ErrorCode, ErrorScope, bool) {
    let code = code.unwrap_or(ErrorCode::InvalidState);
    match answer {
        Answer::Fatal => (code, ErrorScope::Connection, true),
        Answer::Frame => (code, ErrorScope::Frame, false),
        _ => (code, ErrorScope::Session, false),
    }
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        let (code, scope, fatal) = levels(Some(error.code()), error.answer());
        Fault {
            rule: Some(error.rule),
            message: error.message,
            code,
            scope,
            fatal,
            retry_after_ms: 0,
            session_id: 0,
            frame_id: 0,
            view_id: 0,
            text: error.to_string(),
            from_peer: false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from_peer {
            write!(f, "the peer reported {} ({} scope", self.code, self.scope)?;
            if self.frame_id != 0 {
                write!(f, ", frame {}", self.frame_id)?;
            }
            f.write_str(")")?;
            if !self.text.is_empty() {
                write!(f, ": {}", self.text)?;
            }
            Ok(())
        } else {
            f.write_str(&self.text)
        }
    }
}

impl std::error::Error for Fault {}

/// A command of the local application that cannot be carried out. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The values do not form a legal packet. Correct them.
    #[error(transparent)]
    Invalid(#[from] WireError),
    /// The values are legal but contradict each other or the session. Correct them.
    #[error("{0}")]
    Refused(String),
    /// The server's credit or a pause holds the frame back. Submit it later.
    #[error("the frame was not sent: {0}")]
    Held(crate::Hold),
    /// There is no session yet, or it is ending: nothing new may be sent.
    #[error("{what} is not possible while the connection is {state:?}")]
    State {
        /// What was asked for.
        what: &'static str,
        /// The state that forbids it.
        state: crate::ConnectionState,
    },
}
