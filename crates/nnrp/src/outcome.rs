//! What a server answers with.

use std::time::Duration;

use nnrp_session::FrameKey;
use nnrp_wire::{
    BudgetPolicy, HeaderFlags, ResultClass, ResultFlags, ResultFrame, Section, TileIndexMode, TypedPayload,
};

/// The answer to a frame, or a part of it, put together step by step. Which frame it answers is said where it is sent:
/// [`Submit::reply`](crate::Submit::reply), [`Submit::partial`](crate::Submit::partial),
/// [`ServerSession::send`](crate::ServerSession::send).
///
/// ```
/// use std::time::Duration;
/// use nnrp::wire::{Section, TensorDType, TypedPayload};
/// use nnrp::Outcome;
///
/// let picture = Outcome::complete()
///     .section(Section::new(100, TensorDType::Fp16).tiles([vec![0; 8192], vec![0; 8192]]))
///     .inference(Duration::from_millis(3));
/// let token = Outcome::partial().payload(TypedPayload::token_chunk("word"));
/// # let _ = (picture, token);
/// ```
///
/// What has no step here is a field of [`ResultFrame`], which is an outcome too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome(Box<ResultFrame>);

/// Everything but the ids of the frame, which are those of the frame it answers.
impl From<ResultFrame> for Outcome {
    fn from(result: ResultFrame) -> Self {
        Outcome(Box::new(result))
    }
}

impl Outcome {
    /// Everything that was asked for.
    pub fn complete() -> Self {
        Outcome::default()
    }

    /// A part; more follows, unless it is the [`last`](Outcome::last). With tensors, say how many of the frame's tiles
    /// have no result: [`Outcome::dropped_tiles`].
    pub fn partial() -> Self {
        Self::of_class(ResultClass::Partial, ResultFlags::PARTIAL, BudgetPolicy::ALLOW_PARTIAL)
    }

    /// Everything, at lower quality than was asked for.
    pub fn degraded() -> Self {
        Self::of_class(ResultClass::Degraded, ResultFlags::NONE, BudgetPolicy::ALLOW_DEGRADED)
    }

    /// The content of an earlier frame.
    pub fn reused(frame_id: u32) -> Self {
        let mut outcome =
            Self::of_class(ResultClass::StaleReuse, ResultFlags::NONE, BudgetPolicy::ALLOW_STALE_REUSE);
        outcome.0.reused_frame_id = frame_id;
        outcome
    }

    fn of_class(class: ResultClass, flags: ResultFlags, policy: BudgetPolicy) -> Self {
        Outcome::from(ResultFrame {
            result_class: class,
            result_flags: flags,
            applied_budget_policy: policy,
            ..ResultFrame::default()
        })
    }

    /// One more tensor section: a payload for every tile.
    pub fn section(mut self, section: impl Into<Section>) -> Self {
        self.0.sections.push(section.into());
        self
    }

    /// More tensor sections, for instance those of a frame: `Outcome::complete().sections(submit.sections())`.
    pub fn sections<S: Into<Section>>(mut self, sections: impl IntoIterator<Item = S>) -> Self {
        self.0.sections.extend(sections.into_iter().map(Into::into));
        self
    }

    /// One more typed payload.
    pub fn payload(mut self, payload: TypedPayload) -> Self {
        self.0.typed_payloads.push(payload);
        self
    }

    /// More typed payloads.
    pub fn payloads(mut self, payloads: impl IntoIterator<Item = TypedPayload>) -> Self {
        self.0.typed_payloads.extend(payloads);
        self
    }

    /// The tiles it is about, covered and dropped ones. Without it they are those of the frame when their number fits the
    /// sections, and otherwise 0, 1, 2 and so on.
    pub fn tile_ids(mut self, ids: impl IntoIterator<Item = u16>) -> Self {
        self.0.tile_ids = ids.into_iter().collect();
        self
    }

    /// The tiles `base`, `base + 1` and so on, written as a range.
    pub fn tiles_from(mut self, base: u16) -> Self {
        self.0.tile_index_mode = TileIndexMode::DenseRange;
        self.0.tile_base_id = base.into();
        self
    }

    /// How many of its tiles have no result; their payloads are empty. A partial result with tensors has at least one
    /// (R-RES-7).
    pub fn dropped_tiles(mut self, tiles: u16) -> Self {
        self.0.dropped_tile_count = tiles;
        self
    }

    /// Nothing follows, although it is partial.
    pub fn last(mut self) -> Self {
        self.0.flags |= HeaderFlags::EOS;
        self
    }

    /// A number of the application's; 0 is success.
    pub fn status(mut self, code: u16) -> Self {
        self.0.status_code = code;
        self
    }

    /// The profile that was used.
    pub fn profile(mut self, profile_id: u16) -> Self {
        self.0.active_profile_id = profile_id;
        self
    }

    /// How long it was computed, told to the client in whole milliseconds of at most 65535.
    pub fn inference(mut self, took: Duration) -> Self {
        self.0.inference_ms = millis(took);
        self
    }

    /// How long the frame had waited before that, likewise.
    pub fn queued(mut self, took: Duration) -> Self {
        self.0.queue_ms = millis(took);
        self
    }

    /// What of the frame's budget policy was made use of, in place of what the kind of outcome says.
    pub fn applied(mut self, policy: BudgetPolicy) -> Self {
        self.0.applied_budget_policy = policy;
        self
    }

    /// The result of the frame `key`.
    pub(crate) fn of(mut self, key: FrameKey) -> Box<ResultFrame> {
        (self.0.frame_id, self.0.view_id) = (key.frame_id, key.view_id);
        self.0
    }
}

fn millis(took: Duration) -> u16 {
    u16::try_from(took.as_millis()).unwrap_or(u16::MAX)
}
