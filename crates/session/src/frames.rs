//! Frames in flight, as each side sees them (wire reference 11).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nnrp_wire::{FrameBody, Header, ResultHintReason, TileIds};

use crate::limits::REMEMBERED_SUBMITS;

/// What names a frame inside a session. Views never share a lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// How far a frame has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameState {
    /// Handed to the transport (client), or complete and valid (server).
    Submitted,
    /// A final result went out (server) or came in (client).
    Delivered,
    /// Ended without a result.
    Dropped,
    /// The client gave it up.
    Cancelled,
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
        let ids: TileIds = body.tile_ids();
        let count = u16::try_from(ids.len()).unwrap_or(u16::MAX);
        let mut rest = ids.clone();
        let base = rest.next().unwrap_or(0);
        let contiguous = rest.enumerate().all(|(i, id)| usize::from(id) == usize::from(base) + i + 1);
        if contiguous { SubmittedTiles::Range { base, count } } else { SubmittedTiles::List(ids.collect()) }
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
#[derive(Debug, Default)]
pub(crate) struct ServerFrames {
    frames: HashMap<FrameKey, ServerFrame>,
    /// Answered frames, oldest first; an entry whose generation is outdated means the id was used again.
    answered: VecDeque<(FrameKey, u64)>,
    generation: u64,
    live: usize,
}

#[derive(Debug)]
struct ServerFrame {
    /// Terminal messages still owed. More than one when a client reuses a live id (R-SUB-10).
    owed: u32,
    cancelled: bool,
    tiles: SubmittedTiles,
    generation: u64,
}

impl ServerFrames {
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn submitted(&mut self, key: FrameKey, body: &FrameBody) {
        self.generation += 1;
        let tiles = SubmittedTiles::of(body);
        let generation = self.generation;
        let frame = self.frames.entry(key).or_insert_with(|| ServerFrame {
            owed: 0,
            cancelled: false,
            tiles: SubmittedTiles::Range { base: 0, count: 0 },
            generation,
        });
        frame.owed = frame.owed.saturating_add(1);
        frame.tiles = tiles;
        frame.generation = generation;
        frame.cancelled = false;
        self.live += 1;
    }

    /// One terminal message for `key` is on its way.
    pub(crate) fn answered(&mut self, key: FrameKey) {
        let Some(frame) = self.frames.get_mut(&key) else { return };
        if frame.owed == 0 {
            return;
        }
        frame.owed -= 1;
        self.live -= 1;
        if frame.owed == 0 {
            self.answered.push_back((key, frame.generation));
            if self.answered.len() > REMEMBERED_SUBMITS
                && let Some((old, generation)) = self.answered.pop_front()
                && self.frames.get(&old).is_some_and(|f| f.owed == 0 && f.generation == generation)
            {
                self.frames.remove(&old);
            }
        }
    }

    pub(crate) fn is_live(&self, key: FrameKey) -> bool {
        self.frames.get(&key).is_some_and(|frame| frame.owed > 0)
    }

    /// Marks a live frame as given up by the client. False when it is unknown or answered (R-CAN-1).
    pub(crate) fn cancel(&mut self, key: FrameKey) -> bool {
        match self.frames.get_mut(&key) {
            Some(frame) if frame.owed > 0 => !std::mem::replace(&mut frame.cancelled, true),
            _ => false,
        }
    }

    pub(crate) fn is_cancelled(&self, key: FrameKey) -> bool {
        self.frames.get(&key).is_some_and(|frame| frame.cancelled)
    }

    pub(crate) fn tiles(&self, key: FrameKey) -> Option<SubmittedTiles> {
        self.frames.get(&key).map(|frame| frame.tiles.clone())
    }

    /// Every terminal message still owed, one entry for each.
    pub(crate) fn take_owed(&mut self) -> Vec<FrameKey> {
        let mut owed: Vec<FrameKey> = self
            .frames
            .iter()
            .flat_map(|(key, frame)| std::iter::repeat_n(*key, frame.owed as usize))
            .collect();
        owed.sort_unstable();
        for key in &owed {
            self.answered(*key);
        }
        owed
    }
}

/// Frames a client waits for.
#[derive(Debug, Default)]
pub(crate) struct ClientFrames {
    live: HashMap<FrameKey, ClientFrame>,
    /// Frames whose later results are thrown away, oldest first: cancelled, or given up by the application.
    given_up: VecDeque<FrameKey>,
    outstanding: usize,
    /// Whether any live frame may be lingering; most clients never see a partial result.
    lingering: bool,
    newest_of_view_0: u32,
}

#[derive(Debug)]
pub(crate) struct ClientFrame {
    outstanding: u32,
    cancelled: bool,
    pub(crate) drop_reason: Option<ResultHintReason>,
    /// After a partial result without EOS: when the frame counts as delivered (R-LIFE-1).
    linger_until: Option<Instant>,
    linger: Duration,
}

impl ClientFrame {
    /// Terminal messages still to come.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding as usize
    }
}

impl ClientFrames {
    /// Frames in flight.
    pub(crate) fn live(&self) -> usize {
        self.outstanding
    }

    pub(crate) fn submitted(&mut self, key: FrameKey, linger: Duration) {
        self.given_up.retain(|gone| *gone != key);
        if key.view_id == 0 {
            self.newest_of_view_0 = self.newest_of_view_0.max(key.frame_id);
        }
        let frame = self.live.entry(key).or_insert(ClientFrame {
            outstanding: 0,
            cancelled: false,
            drop_reason: None,
            linger_until: None,
            linger,
        });
        frame.outstanding = frame.outstanding.saturating_add(1);
        frame.cancelled = false;
        frame.linger_until = None;
        self.outstanding += 1;
    }

    pub(crate) fn get_mut(&mut self, key: FrameKey) -> Option<&mut ClientFrame> {
        self.live.get_mut(&key)
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

    /// A terminal message arrived.
    pub(crate) fn ended(&mut self, key: FrameKey) {
        if let Some(frame) = self.live.get_mut(&key) {
            frame.outstanding -= 1;
            self.outstanding -= 1;
            if frame.outstanding == 0 {
                self.live.remove(&key);
            }
        }
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

    /// Ends the frames whose linger is over.
    pub(crate) fn expire_linger(&mut self, now: Instant) {
        let over: Vec<FrameKey> = self
            .live
            .iter()
            .filter(|(_, frame)| frame.linger_until.is_some_and(|at| at <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            self.ended(key);
        }
        self.lingering = self.live.values().any(|frame| frame.linger_until.is_some());
    }

    /// Cancelled or discarded: later results are of no interest, the credit returns with the terminal message.
    pub(crate) fn give_up(&mut self, key: FrameKey) {
        if let Some(frame) = self.live.get_mut(&key) {
            frame.cancelled = true;
        }
        if !self.given_up.contains(&key) {
            if self.given_up.len() >= REMEMBERED_SUBMITS {
                self.given_up.pop_front();
            }
            self.given_up.push_back(key);
        }
    }

    pub(crate) fn is_given_up(&self, key: FrameKey) -> bool {
        self.live.get(&key).is_some_and(|frame| frame.cancelled) || self.given_up.contains(&key)
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
        keys.retain(|key| self.live.get(key).is_some_and(|frame| frame.cancelled));
        keys
    }

    /// Forgets everything: the connection is gone.
    pub(crate) fn clear(&mut self) {
        self.live.clear();
        self.outstanding = 0;
    }
}
