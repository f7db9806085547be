//! Credit and pauses: how much a server lets its client have in flight (wire reference 12).

use std::fmt;
use std::time::{Duration, Instant};

use nnrp_wire::{
    FlowUpdateBackpressureLevel, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind,
    FrameClass,
};

use crate::CommandError;
use crate::limits::ANNOUNCED_CREDIT_PATIENCE;
use crate::machine::{Machine, Role};

/// What an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CreditScope {
    /// The whole connection.
    Connection,
    /// The session.
    Session,
    /// One frame: `view_id << 32 | frame_id`.
    Operation(u64),
}

/// How a client treats the credit and the pauses of its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CreditPolicy {
    /// Submits wait. The number announced in the handshake holds them back as long as running frames end, and at most
    /// [`ANNOUNCED_CREDIT_PATIENCE`] while none does: nobody enforces it. What the server says later binds.
    #[default]
    Honour,
    /// Submits wait; the number announced in the handshake binds too.
    Strict,
    /// Nothing waits: a submit beyond the credit or under a pause fails.
    Fail,
    /// Nothing is held back.
    Ignore,
}

/// Why a submit is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HoldReason {
    /// As many frames are live as the server allows, or more.
    Credit {
        /// Frames without an answer.
        live: usize,
        /// How many there may be.
        allowed: u16,
        /// Whether a FLOW_UPDATE said so; otherwise it is what the handshake announced.
        granted: bool,
    },
    /// The server asked for a pause.
    Paused,
    /// The server takes nothing new and finishes what runs.
    Draining,
    /// The server takes only frames of class discardable.
    BackgroundOnly,
    /// The server named a time before which it takes nothing.
    RetryAfter,
    /// Other submits wait in front of this one.
    Queued,
    /// The write buffer is full: the server does not read what was sent before.
    BufferFull,
}

/// A submit that may not go out now. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// When it ends by itself, if it does.
    pub until: Option<Instant>,
    /// How long the submit was held back before it was given up.
    pub waited: Duration,
}

impl Hold {
    /// A hold without an end of its own.
    pub fn new(reason: HoldReason) -> Self {
        Hold { reason, until: None, waited: Duration::ZERO }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            HoldReason::Credit { live, allowed, granted } => {
                let verb = if granted { "granted" } else { "announced" };
                write!(f, "{live} frames have no answer yet and the server {verb} {allowed}")?;
            }
            HoldReason::Paused => f.write_str("the server asked for a pause")?,
            HoldReason::Draining => f.write_str("the server takes nothing new, it finishes what runs")?,
            HoldReason::BackgroundOnly => f.write_str("the server takes only discardable frames")?,
            HoldReason::RetryAfter => f.write_str("the server asked to retry later")?,
            HoldReason::Queued => f.write_str("other submits wait for credit in front of it")?,
            HoldReason::BufferFull => f.write_str("the write buffer is full, the server does not read")?,
        }
        match self.waited {
            Duration::ZERO => {}
            waited => write!(f, "; waited {} ms", waited.as_millis())?,
        }
        f.write_str(
            ". Submit again later, have the server answer or drop its frames or grant more, or set the credit policy to \
             ignore",
        )
    }
}

/// The credit in force. Numbers are totals, not increments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    connection: Scope,
    session: Scope,
    /// The newest operation scope only: remembering one epoch per frame would let a peer fill our memory.
    operation: Option<(u64, u32)>,
}

/// What is in force for one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    frames: u16,
    /// Whether a FLOW_UPDATE gave the number.
    granted: bool,
    epoch: Option<u32>,
    /// What the newest update holds back.
    hold: Option<HoldReason>,
    /// When that is over by itself.
    until: Option<Instant>,
}

impl Scope {
    fn new(frames: u16) -> Self {
        Scope { frames, granted: false, epoch: None, hold: None, until: None }
    }

    fn apply(&mut self, now: Instant, update: &FlowUpdateMetadata, frames: u16) -> bool {
        if self.epoch.is_some_and(|last| update.credit_epoch <= last) {
            return false;
        }
        self.epoch = Some(update.credit_epoch);
        if update.flow_flags.contains(FlowUpdateFlags::CREDIT_VALID) {
            self.frames = frames;
            self.granted = true;
        }
        let pause = update.update_reason == FlowUpdateReason::Pause
            || update.backpressure_level == FlowUpdateBackpressureLevel::Hard;
        let retry = update.flow_flags.contains(FlowUpdateFlags::RETRY_AFTER_VALID);
        self.until = retry.then(|| now + Duration::from_millis(u64::from(update.retry_after_ms)));
        self.hold = if update.flow_flags.contains(FlowUpdateFlags::DRAIN_IN_FLIGHT_ONLY) {
            Some(HoldReason::Draining)
        } else if pause {
            Some(HoldReason::Paused)
        } else if retry {
            Some(HoldReason::RetryAfter)
        } else if update.flow_flags.contains(FlowUpdateFlags::BACKGROUND_ONLY) {
            Some(HoldReason::BackgroundOnly)
        } else {
            None
        };
        true
    }

    /// What holds a frame of this class back, credit aside.
    fn holds(&self, now: Instant, class: FrameClass) -> Option<Hold> {
        let reason = self.hold?;
        // A time to retry ends the hold it came with.
        let over = self.until.is_some_and(|until| until <= now);
        let exempt = reason == HoldReason::BackgroundOnly && class == FrameClass::Discardable;
        (!over && !exempt).then_some(Hold { until: self.until, ..Hold::new(reason) })
    }
}

impl Credit {
    /// Both scopes start with what the handshake announced.
    pub fn new(max_concurrent_frames: u16) -> Self {
        let scope = Scope::new(max_concurrent_frames);
        Credit { connection: scope.clone(), session: scope, operation: None }
    }

    /// Applies an update whose metadata passed the codec rules. False when it is not newer than the last one
    /// of its scope and must be ignored (R-FLOW-6).
    pub fn apply(&mut self, now: Instant, update: &FlowUpdateMetadata) -> bool {
        match scope(update) {
            CreditScope::Connection => self.connection.apply(now, update, update.connection_credit),
            CreditScope::Session => self.session.apply(now, update, update.session_credit),
            // Nothing can be throttled inside a frame in this generation.
            CreditScope::Operation(id) => match self.operation {
                Some((known, last)) if known == id && update.credit_epoch <= last => false,
                _ => {
                    self.operation = Some((id, update.credit_epoch));
                    true
                }
            },
        }
    }

    /// Frames that may be live on the connection.
    pub fn connection(&self) -> u16 {
        self.connection.frames
    }

    /// Frames that may be live in the session.
    pub fn session(&self) -> u16 {
        self.session.frames
    }

    /// Frames that may be live at once: the smaller of the two.
    pub fn frames(&self) -> u16 {
        self.connection.frames.min(self.session.frames)
    }

    /// What holds back a frame of `class` while `live` others are in flight.
    pub fn hold(&self, now: Instant, class: FrameClass, live: usize) -> Option<Hold> {
        for scope in [&self.connection, &self.session] {
            if let Some(hold) = scope.holds(now, class) {
                return Some(hold);
            }
        }
        // A number that was granted says more than one that was announced.
        let mut scopes = [&self.connection, &self.session];
        scopes.sort_by_key(|scope| !scope.granted);
        let full = scopes.into_iter().find(|scope| live >= usize::from(scope.frames))?;
        let reason = HoldReason::Credit { live, allowed: full.frames, granted: full.granted };
        Some(Hold::new(reason))
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

/// A client's dealings with its credit: when to hold a submit back, and for how long.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) credit: Credit,
    pub(crate) policy: CreditPolicy,
    /// Since when submits wait for a number that was only announced while no frame ends: then, and how many had ended.
    stalled: Option<(Instant, u64)>,
}

impl Gate {
    pub(crate) fn new(credit: Credit, policy: CreditPolicy) -> Self {
        Gate { credit, policy, stalled: None }
    }

    /// Whether a frame may go out. `ends` counts the frames that have ended so far.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        class: FrameClass,
        live: usize,
        ends: u64,
    ) -> Result<(), Hold> {
        if self.policy == CreditPolicy::Ignore {
            return Ok(());
        }
        let Some(hold) = self.credit.hold(now, class, live) else {
            self.stalled = None;
            return Ok(());
        };
        let announced = matches!(hold.reason, HoldReason::Credit { granted: false, .. });
        if !announced || self.policy != CreditPolicy::Honour {
            return Err(hold);
        }
        let since = match self.stalled {
            Some((since, then)) if then == ends => since,
            _ => now,
        };
        self.stalled = Some((since, ends));
        let until = since + ANNOUNCED_CREDIT_PATIENCE;
        if now < until { Err(Hold { until: Some(until), ..hold }) } else { Ok(()) }
    }
}

impl Machine {
    /// The credit the server granted.
    pub fn credit(&self) -> Option<&Credit> {
        match &self.role {
            Role::Client(role) => Some(&role.gate.credit),
            _ => None,
        }
    }

    /// Whether a frame of `class` may be submitted now under the server's credit and pauses.
    ///
    /// # Errors
    ///
    /// [`CommandError::Held`] when it has to wait: ask again at `until`, or when [`Machine::credit_changes`] has changed.
    /// [`CommandError::State`] as for [`Machine::submit`].
    pub fn check_credit(&mut self, now: Instant, class: FrameClass) -> Result<(), CommandError> {
        let role = self.client_session("submitting a frame")?;
        // A drop that waits for its reason has ended its frame.
        let live = role.frames.live().saturating_sub(role.held_drops.len());
        role.gate.check(now, class, live, role.frames.ends()).map_err(CommandError::Held)?;
        if role.gate.policy != CreditPolicy::Ignore && live >= usize::from(role.gate.credit.frames()) {
            role.stats.beyond_credit += 1;
        }
        Ok(())
    }

    /// A submit is about to wait for credit.
    pub fn note_held(&mut self) {
        if let Role::Client(role) = &mut self.role {
            role.stats.submits_held += 1;
        }
    }

    /// A number that changes whenever a submit that was held back may be worth another try.
    pub fn credit_changes(&self) -> u64 {
        match &self.role {
            Role::Client(role) => role.frames.ends().wrapping_add(role.updates).wrapping_add(role.drops_held),
            _ => 0,
        }
    }

    /// How the server's credit and pauses are treated.
    pub fn credit_policy(&self) -> CreditPolicy {
        match &self.role {
            Role::Client(role) => role.gate.policy,
            _ => CreditPolicy::Ignore,
        }
    }

    /// Treats them differently from now on. Submits that wait are asked again.
    pub fn set_credit_policy(&mut self, policy: CreditPolicy) {
        if let Role::Client(role) = &mut self.role {
            role.gate.policy = policy;
            role.updates += 1;
        }
    }
}
