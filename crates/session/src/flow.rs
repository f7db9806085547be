//! Credit: how many frames a peer lets us have in flight (wire reference 12).

use nnrp_wire::{FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateScopeKind};

/// What a FLOW_UPDATE is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CreditScope {
    /// The whole connection.
    Connection,
    /// The session.
    Session,
    /// One frame: `view_id << 32 | frame_id`.
    Operation(u64),
}

/// The credit in force. Numbers are totals, not increments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Frames that may be live on the connection.
    pub connection: u16,
    /// Frames that may be live in the session.
    pub session: u16,
    epochs: Epochs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Epochs {
    connection: Option<u32>,
    session: Option<u32>,
    /// The newest operation scope only: remembering one epoch per frame would let a peer fill our memory.
    operation: Option<(u64, u32)>,
}

impl Credit {
    /// Both scopes start with what the handshake announced.
    pub fn new(max_concurrent_frames: u16) -> Self {
        Credit {
            connection: max_concurrent_frames,
            session: max_concurrent_frames,
            epochs: Epochs::default(),
        }
    }

    /// Applies an update whose metadata passed the codec rules. False when it is not newer than the last one
    /// of its scope and must be ignored (R-FLOW-6).
    pub fn apply(&mut self, update: &FlowUpdateMetadata) -> bool {
        let epoch = update.credit_epoch;
        let last = match scope(update) {
            CreditScope::Connection => self.epochs.connection.replace_if_newer(epoch),
            CreditScope::Session => self.epochs.session.replace_if_newer(epoch),
            CreditScope::Operation(id) => match self.epochs.operation {
                Some((known, last)) if known == id && epoch <= last => false,
                _ => {
                    self.epochs.operation = Some((id, epoch));
                    true
                }
            },
        };
        if last && update.flow_flags.contains(FlowUpdateFlags::CREDIT_VALID) {
            match scope(update) {
                CreditScope::Connection => self.connection = update.connection_credit,
                CreditScope::Session => self.session = update.session_credit,
                // Nothing can be throttled inside a frame in this generation.
                CreditScope::Operation(_) => {}
            }
        }
        last
    }

    /// Frames that may be live at once.
    pub fn frames(&self) -> u16 {
        self.connection.min(self.session)
    }
}

trait ReplaceIfNewer {
    fn replace_if_newer(&mut self, epoch: u32) -> bool;
}

impl ReplaceIfNewer for Option<u32> {
    fn replace_if_newer(&mut self, epoch: u32) -> bool {
        let newer = self.is_none_or(|last| epoch > last);
        if newer {
            *self = Some(epoch);
        }
        newer
    }
}

/// The scope an update names.
fn scope(update: &FlowUpdateMetadata) -> CreditScope {
    match update.scope_kind {
        FlowUpdateScopeKind::Connection => CreditScope::Connection,
        FlowUpdateScopeKind::Operation => CreditScope::Operation(update.operation_id),
        _ => CreditScope::Session,
    }
}
