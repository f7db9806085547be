//! Frames in flight, as each side sees them (wire reference 11).

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nnrp_wire::{BudgetPolicy, FrameBody, FrameSubmitMetadata, Header, ResultHintReason, TileIds};

use crate::limits::{MAX_EARLY_CANCELS, MIN_PARTIAL_LINGER, REMEMBERED_SUBMITS, REMEMBERED_TILE_BYTES};
use crate::{FrameState, Latency, Side};

/// What names a frame inside a session. Views never share a lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameKey {
    /// Logical lane of the frame; 0 without lanes.
    pub view_id: u16,
    /// Number the client gave it.
    pub frame_id: u32,
}

impl FrameKey {
    /// The key of frame `frame_id` in view 0.
    pub fn new(frame_id: u32) -> Self {
        FrameKey { view_id: 0, frame_id }
    }
}

/// What a session knows by frame. A peer chooses the ids, so the hasher has secrets; a frame is looked up several times on its
/// way, so it is not the standard one, which is made for keys of any length and took a tenth of that way's instructions.
type FrameMap<V> = HashMap<FrameKey, V, foldhash::quality::RandomState>;

/// In one word.
impl Hash for FrameKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.view_id) << 32 | u64::from(self.frame_id));
    }
}

impl From<&Header> for FrameKey {
    fn from(header: &Header) -> Self {
        FrameKey { view_id: header.view_id, frame_id: header.frame_id }
    }
}

impl std::fmt::Display for FrameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "frame {}", self.frame_id)?;
        if self.view_id != 0 {
            write!(f, " of view {}", self.view_id)?;
        }
        Ok(())
    }
}

/// The tiles a submit asked for, kept so that a result may leave its tile ids out. Never keeps the submit's
/// body alive: a remembered frame costs two bytes a tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmittedTiles {
    /// `count` ids from `base`.
    Range {
        /// First tile id.
        base: u16,
        /// Number of ids.
        count: u16,
    },
    /// Any other list.
    List(Arc<[u16]>),
}

impl SubmittedTiles {
    fn of(body: &FrameBody) -> Self {
        let mut ids: TileIds = body.tile_ids();
        let count = u16::try_from(ids.len()).unwrap_or(u16::MAX);
        let base = ids.next().unwrap_or(0);
        let contiguous = ids.enumerate().all(|(i, id)| usize::from(id) == usize::from(base) + i + 1);
        if contiguous {
            SubmittedTiles::Range { base, count }
        } else {
            SubmittedTiles::List(body.tile_ids().collect())
        }
    }

    /// Memory beside the value itself.
    fn bytes(&self) -> usize {
        match self {
            SubmittedTiles::Range { .. } => 0,
            SubmittedTiles::List(ids) => size_of_val::<[u16]>(ids),
        }
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        match self {
            SubmittedTiles::Range { count, .. } => usize::from(*count),
            SubmittedTiles::List(ids) => ids.len(),
        }
    }

    /// True without tiles.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids, in the submit's order.
    pub fn to_vec(&self) -> Vec<u16> {
        match self {
            SubmittedTiles::Range { base, count } => (0..*count).map(|i| base.saturating_add(i)).collect(),
            SubmittedTiles::List(ids) => ids.to_vec(),
        }
    }
}

/// Frames a server owes answers for, and a memory of the ones it has answered.
///
/// The two are apart: what every frame looks at is small and stays in the processor's caches, however many sessions there are,
/// and the memory is written and forgotten in order. It is searched only for frames that come late.
#[derive(Debug, Default)]
pub(crate) struct ServerFrames {
    live: FrameMap<ServerFrame>,
    /// Answered frames, oldest first. An id that was used again is there more than once.
    answered: VecDeque<Answered>,
    /// Terminal messages owed in all.
    owed: usize,
    /// Bytes of the tile ids of all frames, live and answered.
    tile_bytes: usize,
    /// When which live frame's budget is over, where frames expire.
    deadlines: BTreeSet<(Instant, FrameKey)>,
    /// Cancels of frames that have not come yet, oldest first.
    early_cancels: VecDeque<FrameKey>,
    /// Some frame has expired. Each answer asks whether its own has, and hardly any ever does.
    any_expired: bool,
}

/// What became of a submit.
pub(crate) struct Submitted {
    /// Its cancel was here before it.
    pub(crate) cancelled: bool,
    /// A frame of this id is still owed an answer.
    pub(crate) again: bool,
}

/// A frame that is owed an answer.
#[derive(Debug)]
struct ServerFrame {
    /// Terminal messages still owed. More than one when a client reuses a live id (R-SUB-10).
    owed: u32,
    state: FrameState,
    tiles: SubmittedTiles,
    since: Instant,
    deadline: Option<Instant>,
}

/// What is remembered of one that has its answer.
#[derive(Debug)]
struct Answered {
    key: FrameKey,
    state: FrameState,
    tiles: SubmittedTiles,
}

impl ServerFrame {
    fn becomes(&mut self, state: FrameState) {
        debug_assert!(self.state.leads_to(Side::Server, state), "{:?} -> {state:?}", self.state);
        self.state = state;
    }
}

/// What a FRAME_CANCEL met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// A live frame.
    Live,
    /// A frame that was cancelled or has ended (R-CAN-1).
    Over,
    /// Nothing yet.
    Unknown,
}

impl ServerFrames {
    pub(crate) fn live(&self) -> usize {
        self.owed
    }

    /// A submit arrived.
    pub(crate) fn submitted(
        &mut self,
        now: Instant,
        key: FrameKey,
        body: &FrameBody,
        deadline: Option<Instant>,
    ) -> Submitted {
        let tiles = SubmittedTiles::of(body);
        self.tile_bytes += tiles.bytes();
        let fresh = ServerFrame { owed: 1, state: FrameState::Submitted, tiles, since: now, deadline };
        let mut again = false;
        match self.live.entry(key) {
            Entry::Vacant(place) => {
                place.insert(fresh);
            }
            Entry::Occupied(mut place) => {
                again = true;
                let old = place.insert(fresh);
                place.get_mut().owed = old.owed.saturating_add(1);
                self.tile_bytes -= old.tiles.bytes();
                if let Some(at) = old.deadline {
                    self.deadlines.remove(&(at, key));
                }
            }
        }
        self.deadlines.extend(deadline.map(|at| (at, key)));
        self.owed += 1;
        self.forget();
        let early = self.early_cancels.iter().position(|cancelled| *cancelled == key);
        let cancelled =
            early.and_then(|at| self.early_cancels.remove(at)).is_some() && self.cancel(key) == Cancel::Live;
        Submitted { cancelled, again }
    }

    /// The application's side has the frame now.
    pub(crate) fn handed_over(&mut self, key: FrameKey) {
        if let Some(frame) = self.live.get_mut(&key)
            && frame.state == FrameState::Submitted
        {
            frame.becomes(FrameState::Processing);
        }
    }

    /// One terminal message for `key` is on its way: a result, or a drop. Returns when the frame arrived; `None` when no
    /// message was owed.
    pub(crate) fn answered(&mut self, key: FrameKey, with_result: bool) -> Option<Instant> {
        let Entry::Occupied(mut place) = self.live.entry(key) else { return None };
        let frame = place.get_mut();
        let since = frame.since;
        frame.owed = frame.owed.saturating_sub(1);
        self.owed -= 1;
        if frame.owed > 0 {
            return Some(since);
        }
        if frame.state.is_live() && with_result {
            frame.becomes(FrameState::Ready);
            frame.becomes(FrameState::Delivered);
        } else if frame.state.is_live() {
            frame.becomes(FrameState::Dropped);
        }
        let ServerFrame { state, tiles, deadline, .. } = place.remove();
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, key));
        }
        // Before, so that the memory never grows beyond what it may keep.
        if self.answered.len() >= REMEMBERED_SUBMITS {
            self.forget_oldest();
        }
        self.answered.push_back(Answered { key, state, tiles });
        self.forget();
        Some(since)
    }

    /// Forgets the oldest answered frames until the ids of all take no more room than they may.
    fn forget(&mut self) {
        while self.tile_bytes > REMEMBERED_TILE_BYTES && self.forget_oldest() {}
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.answered.pop_front();
        self.tile_bytes -= oldest.as_ref().map_or(0, |oldest| oldest.tiles.bytes());
        oldest.is_some()
    }

    /// What is remembered of a frame that has its answer.
    fn remembered(&self, key: FrameKey) -> Option<&Answered> {
        self.answered.iter().rev().find(|answered| answered.key == key)
    }

    pub(crate) fn is_live(&self, key: FrameKey) -> bool {
        self.live.contains_key(&key)
    }

    pub(crate) fn state(&self, key: FrameKey) -> Option<FrameState> {
        match self.live.get(&key) {
            Some(frame) => Some(frame.state),
            None => self.remembered(key).map(|answered| answered.state),
        }
    }

    /// Whether its budget ran out before its answer.
    pub(crate) fn is_expired(&self, key: FrameKey) -> bool {
        self.any_expired && self.state(key) == Some(FrameState::Expired)
    }

    /// Marks a live frame as given up by the client.
    pub(crate) fn cancel(&mut self, key: FrameKey) -> Cancel {
        let Some(frame) = self.live.get_mut(&key) else {
            return if self.remembered(key).is_some() { Cancel::Over } else { Cancel::Unknown };
        };
        if !frame.state.is_live() {
            return Cancel::Over;
        }
        frame.becomes(FrameState::Cancelled);
        Cancel::Live
    }

    /// Keeps a cancel that has overtaken its submit.
    pub(crate) fn cancel_when_it_comes(&mut self, key: FrameKey) {
        if self.early_cancels.contains(&key) {
            return;
        }
        if self.early_cancels.len() >= MAX_EARLY_CANCELS {
            self.early_cancels.pop_front();
        }
        self.early_cancels.push_back(key);
    }

    pub(crate) fn tiles(&self, key: FrameKey) -> Option<SubmittedTiles> {
        match self.live.get(&key) {
            Some(frame) => Some(frame.tiles.clone()),
            None => self.remembered(key).map(|answered| answered.tiles.clone()),
        }
    }

    /// When the next budget is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Ends a frame whose budget is over; says which, and how many terminal messages it is owed.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(FrameKey, u32)> {
        let (_, key) = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first();
        let frame = self.live.get_mut(&key)?;
        frame.deadline = None;
        let owed = frame.owed;
        if frame.state.is_live() {
            frame.becomes(FrameState::Expired);
            self.any_expired = true;
        }
        for _ in 0..owed {
            self.answered(key, false);
        }
        Some((key, owed))
    }

    /// Every terminal message still owed, one entry for each.
    pub(crate) fn take_owed(&mut self) -> Vec<FrameKey> {
        let mut owed: Vec<FrameKey> = self
            .live
            .iter()
            .flat_map(|(key, frame)| std::iter::repeat_n(*key, frame.owed as usize))
            .collect();
        owed.sort_unstable();
        for key in &owed {
            self.answered(*key, false);
        }
        owed
    }
}

/// Frames a client waits for.
#[derive(Debug, Default)]
pub(crate) struct ClientFrames {
    live: FrameMap<ClientFrame>,
    /// Frames whose later results are thrown away, oldest first: cancelled, or given up by the application.
    given_up: VecDeque<FrameKey>,
    outstanding: usize,
    /// Whether any live frame may be lingering; most clients never see a partial result.
    lingering: bool,
    newest_of_view_0: u32,
    /// Terminal messages so far: whoever waits for credit looks whether it has changed.
    ends: u64,
}

#[derive(Debug)]
pub(crate) struct ClientFrame {
    outstanding: u32,
    state: FrameState,
    since: Instant,
    pub(crate) drop_reason: Option<ResultHintReason>,
    /// What the client accepts instead of a complete result.
    pub(crate) allowed: BudgetPolicy,
    /// After a partial result without EOS: when the frame counts as delivered (R-LIFE-1).
    linger_until: Option<Instant>,
    linger: Duration,
}

impl ClientFrame {
    /// Whether nobody here wants its results.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state == FrameState::Cancelled
    }

    /// Terminal messages still to come.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding as usize
    }

    fn becomes(&mut self, state: FrameState) {
        debug_assert!(self.state.leads_to(Side::Client, state), "{:?} -> {state:?}", self.state);
        self.state = state;
    }
}

impl ClientFrames {
    /// Frames in flight, cancelled ones included: their credit returns with their terminal message.
    pub(crate) fn live(&self) -> usize {
        self.outstanding
    }

    /// Changes with every frame that ends.
    pub(crate) fn ends(&self) -> u64 {
        self.ends
    }

    /// A submit goes out. True when a frame of this id has no answer yet.
    pub(crate) fn submitted(&mut self, now: Instant, key: FrameKey, metadata: &FrameSubmitMetadata) -> bool {
        self.given_up.retain(|gone| *gone != key);
        if key.view_id == 0 {
            self.newest_of_view_0 = self.newest_of_view_0.max(key.frame_id);
        }
        // R-LIFE-1: a frame's own budget, at least a second.
        let budget = Duration::from_millis(u64::from(metadata.latency_budget_ms));
        let mut frame = ClientFrame {
            outstanding: 1,
            state: FrameState::Announced,
            since: now,
            drop_reason: None,
            allowed: metadata.budget_policy,
            linger_until: None,
            linger: budget.max(MIN_PARTIAL_LINGER),
        };
        frame.becomes(FrameState::Submitted);
        self.outstanding += 1;
        match self.live.entry(key) {
            Entry::Vacant(place) => {
                place.insert(frame);
                false
            }
            Entry::Occupied(mut place) => {
                frame.outstanding = place.get().outstanding.saturating_add(1);
                place.insert(frame);
                true
            }
        }
    }

    pub(crate) fn get_mut(&mut self, key: FrameKey) -> Option<&mut ClientFrame> {
        self.live.get_mut(&key)
    }

    /// The latency a live frame may take, at least a second.
    pub(crate) fn budget(&self, key: FrameKey) -> Duration {
        self.live.get(&key).map_or(MIN_PARTIAL_LINGER, |frame| frame.linger)
    }

    /// The live frame a hint speaks of. Hints of other implementations carry no view: view 0 then stands for any, unless
    /// view 0 itself has had a frame of this id, whose hint may be late.
    pub(crate) fn hinted(&self, key: FrameKey) -> Option<FrameKey> {
        if self.live.contains_key(&key) {
            return Some(key);
        }
        if key.view_id != 0 || key.frame_id <= self.newest_of_view_0 {
            return None;
        }
        self.live.keys().find(|live| live.frame_id == key.frame_id).copied()
    }

    pub(crate) fn is_live(&self, key: FrameKey) -> bool {
        self.live.contains_key(&key)
    }

    /// Where a frame stands; `None` for one that is over or was never submitted.
    pub(crate) fn state(&self, key: FrameKey) -> Option<FrameState> {
        let given_up = || self.given_up.contains(&key).then_some(FrameState::Cancelled);
        self.live.get(&key).map(|frame| frame.state).or_else(given_up)
    }

    /// A terminal message arrived. Returns when the frame was submitted; `None` when it was not live.
    pub(crate) fn ended(&mut self, key: FrameKey, state: FrameState) -> Option<Instant> {
        let Entry::Occupied(mut place) = self.live.entry(key) else { return None };
        let frame = place.get_mut();
        let since = frame.since;
        frame.outstanding -= 1;
        self.outstanding -= 1;
        self.ends += 1;
        if frame.outstanding == 0 {
            if frame.state.is_live() {
                frame.becomes(state);
            }
            place.remove();
        }
        Some(since)
    }

    /// A result that is not the last one arrived.
    pub(crate) fn partial(&mut self, key: FrameKey, now: Instant) {
        if let Some(frame) = self.live.get_mut(&key) {
            frame.linger_until = Some(now + frame.linger);
            self.lingering = true;
        }
    }

    /// When the next partially answered frame counts as delivered.
    pub(crate) fn next_linger(&self) -> Option<Instant> {
        if !self.lingering {
            return None;
        }
        self.live.values().filter_map(|frame| frame.linger_until).min()
    }

    /// Ends the frames whose linger is over, and counts how long each took until its last part came; says how many.
    pub(crate) fn expire_linger(&mut self, now: Instant, latency: &mut Latency) -> u64 {
        if !self.lingering {
            return 0;
        }
        let over: Vec<(FrameKey, Instant)> = self
            .live
            .iter()
            .filter_map(|(key, frame)| {
                Some((*key, frame.linger_until.filter(|at| *at <= now)? - frame.linger))
            })
            .collect();
        for (key, last_part) in &over {
            if let Some(since) = self.ended(*key, FrameState::Delivered) {
                latency.record(since, *last_part);
            }
        }
        self.lingering = self.live.values().any(|frame| frame.linger_until.is_some());
        over.len() as u64
    }

    /// Cancelled or discarded: later results are of no interest, the credit returns with the terminal message. True when
    /// the frame was live.
    pub(crate) fn give_up(&mut self, key: FrameKey) -> bool {
        let live = self.live.get_mut(&key).filter(|frame| frame.state.is_live());
        let was_live = live.map(|frame| frame.becomes(FrameState::Cancelled)).is_some();
        if !self.given_up.contains(&key) {
            if self.given_up.len() >= REMEMBERED_SUBMITS {
                self.given_up.pop_front();
            }
            self.given_up.push_back(key);
        }
        was_live
    }

    /// The frame of this id, in this view or any, that was given up.
    pub(crate) fn given_up(&self, frame_id: u32, view_id: Option<u16>) -> Option<FrameKey> {
        let wanted =
            |key: &&FrameKey| key.frame_id == frame_id && view_id.is_none_or(|view| view == key.view_id);
        self.given_up.iter().rev().find(wanted).copied()
    }

    pub(crate) fn has_given_up(&self) -> bool {
        !self.given_up.is_empty()
    }

    pub(crate) fn is_given_up(&self, key: FrameKey) -> bool {
        self.state(key) == Some(FrameState::Cancelled)
    }

    /// The frames in flight, in order of their ids.
    pub(crate) fn live_keys(&self) -> Vec<FrameKey> {
        let mut keys: Vec<FrameKey> = self.live.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Those of them that were cancelled.
    pub(crate) fn cancelled_keys(&self) -> Vec<FrameKey> {
        let mut keys = self.live_keys();
        keys.retain(|key| self.live.get(key).is_some_and(|frame| frame.state == FrameState::Cancelled));
        keys
    }

    /// Ends everything: the connection is gone. Says how many frames that cost.
    pub(crate) fn lose_all(&mut self) -> u64 {
        let lost = self.outstanding as u64;
        self.live.clear();
        self.outstanding = 0;
        self.ends += lost;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashSet;
    use std::hash::BuildHasher;

    /// Keys, and places for them.
    const PLACES: u32 = 1 << 12;

    #[test]
    fn ids_at_any_distance_are_spread_whatever_the_secrets_of_a_map_are() {
        for distance in [1, 2, 1 << 8, 1 << 16, 1 << 20] {
            for _ in 0..64 {
                let map = FrameMap::<()>::default();
                let hashes: Vec<u64> = (0..PLACES)
                    .map(|i| map.hasher().hash_one(FrameKey::new(i.wrapping_mul(distance))))
                    .collect();
                let places: HashSet<u64> = hashes.iter().map(|hash| hash % u64::from(PLACES)).collect();
                // Random places: 1 - 1/e of them are taken, 2589 of 4096, give or take 20.
                assert!(places.len() > 2400, "{} places for ids {distance} apart", places.len());
                assert_eq!(hashes.iter().map(|hash| hash >> 57).collect::<HashSet<u64>>().len(), 128);
            }
        }
    }

    #[test]
    fn no_two_maps_agree() {
        let (one, other) = (FrameMap::<()>::default(), FrameMap::<()>::default());
        let key = FrameKey::new(1);
        assert_ne!(one.hasher().hash_one(key), other.hasher().hash_one(key));
    }
}
