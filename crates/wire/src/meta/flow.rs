//! FLOW_UPDATE and RESULT_HINT.

use std::time::Duration;

use crate::{
    Detail, FlowUpdateBackpressureLevel, FlowUpdateFlags, FlowUpdateReason, FlowUpdateScopeKind,
    ResultHintCongestionState, RuleId, WireError, field::wire_struct,
};

/// A wait as the wire says it: whole milliseconds, the longest about 49 days.
fn whole_millis(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}

wire_struct! {
    /// Credit and pressure of one scope.
    pub struct FlowUpdateMetadata: 32, length PKT_1, of FlowUpdate {
        /// What the update is about.
        0 scope_kind: u8 as FlowUpdateScopeKind => FLOW_1;
        /// Why it was sent.
        1 update_reason: u8 as FlowUpdateReason => FLOW_1;
        /// How strongly the sender asks for less.
        2 backpressure_level: u8 as FlowUpdateBackpressureLevel => FLOW_1;
        /// Reserved.
        3 reserved0: u8 [rsv];
        /// Frames of the connection that may be live at once.
        4 connection_credit: u16;
        /// Frames of the session that may be live at once.
        6 session_credit: u16;
        /// Credit of one piece of work.
        8 operation_credit: u16;
        /// Reserved.
        10 reserved1: u16 [rsv];
        /// The piece of work: view id in the upper half, frame id in the lower.
        12 operation_id: u64;
        /// Submit nothing new for so many milliseconds.
        20 retry_after_ms: u32;
        /// Grows with every update of the same scope.
        24 credit_epoch: u32;
        /// What the numbers mean.
        28 flow_flags: u32 as FlowUpdateFlags;
    }
    contract flow_contract;
}

fn flow_contract(metadata: &FlowUpdateMetadata) -> Result<(), WireError> {
    let refuse = |rule, field, text| Err(FlowUpdateMetadata::refuse(rule, field, Detail::Because(text)));
    if metadata.flow_flags.unknown_bits() != 0 {
        let text = format!("unknown FLOW_UPDATE flags: {:#x}", metadata.flow_flags.unknown_bits());
        return Err(FlowUpdateMetadata::refuse(RuleId::FLOW_2, "flow_flags", Detail::Explained(text.into())));
    }
    let (connection, session, operation) =
        (metadata.connection_credit != 0, metadata.session_credit != 0, metadata.operation_credit != 0);
    let names_operation = metadata.operation_id != 0;
    match metadata.scope_kind {
        FlowUpdateScopeKind::Connection if session || operation || names_operation => refuse(
            RuleId::FLOW_3,
            "scope_kind",
            "connection-scope FLOW_UPDATE must not carry session_credit, operation_credit or operation_id",
        ),
        FlowUpdateScopeKind::Session if connection || operation || names_operation => refuse(
            RuleId::FLOW_3,
            "scope_kind",
            "session-scope FLOW_UPDATE must not carry connection_credit, operation_credit or operation_id",
        ),
        FlowUpdateScopeKind::Operation if connection || session => refuse(
            RuleId::FLOW_3,
            "scope_kind",
            "operation-scope FLOW_UPDATE must not carry connection_credit or session_credit",
        ),
        FlowUpdateScopeKind::Operation if !names_operation => refuse(
            RuleId::FLOW_3,
            "operation_id",
            "operation-scope FLOW_UPDATE requires a non-zero operation_id",
        ),
        _ if metadata.retry_after_ms != 0
            && !metadata.flow_flags.contains(FlowUpdateFlags::RETRY_AFTER_VALID) =>
        {
            refuse(RuleId::FLOW_4, "retry_after_ms", "retry_after_ms requires RETRY_AFTER_VALID")
        }
        _ => Ok(()),
    }
}

wire_struct! {
    /// Advice about congestion, or why a frame was dropped.
    pub struct ResultHintMetadata: 16, length PKT_1, of ResultHint {
        /// What the server did with the budget.
        0 applied_budget_policy: u32 as ResultHintBudgetPolicy => HINT_1;
        /// How loaded the server is.
        4 congestion_state: u32 as ResultHintCongestionState => HINT_1;
        /// Why the hint was sent.
        8 reason: u32 as ResultHintReason => HINT_1;
        /// When to try again, in milliseconds; 0 for no wait.
        12 retry_after_ms: u32;
    }
}

impl FlowUpdateMetadata {
    /// Submit nothing new in this session, until the next update or until [`FlowUpdateMetadata::retry_after`] is over.
    #[must_use]
    pub fn pause() -> Self {
        Self::of_session(FlowUpdateReason::Pause)
    }

    /// A pause is over.
    #[must_use]
    pub fn resume() -> Self {
        Self::of_session(FlowUpdateReason::Resume)
    }

    /// So many frames of the session may be live at once from now on.
    #[must_use]
    pub fn credit(frames: u16) -> Self {
        let update = Self::of_session(FlowUpdateReason::Grant);
        Self { session_credit: frames, flow_flags: FlowUpdateFlags::CREDIT_VALID, ..update }
    }

    /// Slow down; nothing is forbidden.
    #[must_use]
    pub fn slow_down() -> Self {
        let update = Self::of_session(FlowUpdateReason::Congestion);
        Self { backpressure_level: FlowUpdateBackpressureLevel::Soft, ..update }
    }

    fn of_session(update_reason: FlowUpdateReason) -> Self {
        Self { scope_kind: FlowUpdateScopeKind::Session, update_reason, ..Self::default() }
    }

    /// The update with an end of its own, in whole milliseconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = whole_millis(wait);
        self.flow_flags |= FlowUpdateFlags::RETRY_AFTER_VALID;
        self
    }
}

impl ResultHintMetadata {
    /// How loaded the server is.
    #[must_use]
    pub fn congestion(state: ResultHintCongestionState) -> Self {
        Self { congestion_state: state, ..Self::default() }
    }

    /// The hint with advice when to try again, in whole milliseconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = whole_millis(wait);
        self
    }
}
