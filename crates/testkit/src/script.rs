//! Random scripts of everything two applications can do with a session, over a [`SimulatedLink`](crate::link): the same
//! bytes give the same script, the same network and the same outcome.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nnrp_session::{
    Admission, ClientSettings, DRAIN_TIME, DropFrame, Event, Fault, FrameKey, ServerSettings, Side,
    UNANSWERED,
};
use nnrp_wire::{
    BudgetPolicy, CacheInvalidateMetadata, CacheInvalidateScope, CacheObjectKind, CachePut, CachePutFlags,
    CachePutMetadata, ErrorCode, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind,
    Header, HeaderFlags, MessageType, ObjectReferenceBlock, Packet, ResultClass, ResultFrame,
    ResultHintMetadata, ResultHintReason, Revision, SessionPatch, SessionPatchField, SessionPatchMetadata,
    SubmitFrame, TransportProbeMetadata, TypedPayload,
};

use crate::link::{Break, Conditions, LinkKind, Path, SILENCE_NOTICED};
use crate::packets;
use crate::random::Random;
use crate::story::{Answer, FrameStory, Story, body_of, tag};
use crate::world::World;

/// Bytes in front of the steps: the link and its seed.
pub const HEAD: usize = 8;
/// Bytes of a step: what to do, and three numbers.
pub const STEP: usize = 4;
/// Steps of the longest script.
const MAX_STEPS: usize = 80;

/// Longest pause in what one side sends. The client below gives a server up after [`LOST_AFTER`]: it must not do so for
/// this.
const LONGEST_STALL: Duration = Duration::from_secs(2);
/// See [`LONGEST_STALL`].
const LOST_AFTER: Duration = Duration::from_secs(8);
/// All that is under way has arrived, and every partially answered frame counts as delivered (R-LIFE-1).
const QUIET_AFTER: Duration = Duration::from_secs(90);

/// Bits of the first byte: the server's application decides about its client when a step says so.
const SLOW: u8 = 0x18;

/// Frames a client may have in flight, where that is enforced: few enough to be exceeded.
const CREDIT: u16 = 4;

const DELAYS_MS: [u64; 4] = [0, 1, 20, 150];
const JITTERS_MS: [u64; 4] = [0, 1, 20, 100];
const LOSSES: [u64; 4] = [0, 1, 5, 20];
const REPEATS_MS: [u64; 4] = [10, 50, 100, 200];
const SEGMENTS: [usize; 4] = [5, 40, 300, 1500];
const WINDOWS: [usize; 4] = [200, 2000, 20_000, 1 << 20];

/// What came of a script: proof that scripts reach what they are meant to test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames submitted.
    pub frames: u64,
    /// Results and drops the client got.
    pub answers: u64,
    /// Frames the session ended instead of an answer.
    pub ended_with_session: u64,
    /// Frames given up by their client.
    pub given_up: u64,
    /// Frames refused by the library: cache misses, and submits that crossed a close.
    pub refused: u64,
    /// Frames whose budget ran out.
    pub expired: u64,
    /// Frames beyond the credit.
    pub beyond_credit: u64,
    /// Replies to patches, objects, probes and pings.
    pub replies: u64,
    /// 1 for a script whose link broke.
    pub broken: u64,
    /// 1 for a script in which an application closed before everything was answered.
    pub closed_early: u64,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.answers += other.answers;
        self.ended_with_session += other.ended_with_session;
        self.given_up += other.given_up;
        self.refused += other.refused;
        self.expired += other.expired;
        self.beyond_credit += other.beyond_credit;
        self.replies += other.replies;
        self.broken += other.broken;
        self.closed_early += other.closed_early;
    }
}

/// The script of a seed.
pub fn from_seed(seed: u64, kind: LinkKind) -> Vec<u8> {
    let mut random = Random::new(seed);
    let steps = 4 + usize::try_from(random.below(MAX_STEPS as u64 - 4)).unwrap_or(0);
    let mut script = random.bytes(HEAD + steps * STEP);
    if let Some(first) = script.first_mut() {
        *first = *first & !1 | u8::from(kind == LinkKind::Lanes);
    }
    script
}

/// Plays a script and checks that everything holds that must hold.
///
/// # Errors
///
/// The promise that was broken.
pub fn play(script: &[u8]) -> Result<Outcome, String> {
    let mut head = [0; HEAD];
    for (to, from) in head.iter_mut().zip(script) {
        *to = *from;
    }
    let mut stage = Stage::new(head);
    stage.advance(Duration::ZERO)?;
    for step in script.get(HEAD..).unwrap_or(&[]).chunks_exact(STEP).take(MAX_STEPS) {
        if let [what, a, b, c] = *step {
            stage.step(what, a, b, c)?;
        }
    }
    stage.finish()
}

/// A script being played.
struct Stage {
    world: World,
    story: Story,
    head: [u8; HEAD],
    hello: Option<()>,
    next_ids: [u32; 3],
    epochs: u32,
    /// Something held bytes up for longer than a close waits.
    disturbed: bool,
    broken_at: Option<Instant>,
}

fn pick<T: Copy>(from: [T; 4], by: u8) -> T {
    let [a, b, c, d] = from;
    match by & 3 {
        0 => a,
        1 => b,
        2 => c,
        _ => d,
    }
}

impl Stage {
    fn new(head: [u8; HEAD]) -> Self {
        let [first, weather, size, s0, s1, s2, s3, s4] = head;
        let kind = if first & 1 == 1 { LinkKind::Lanes } else { LinkKind::Stream };
        let conditions = Conditions {
            delay: Duration::from_millis(pick(DELAYS_MS, weather)),
            jitter: Duration::from_millis(pick(JITTERS_MS, weather >> 2)),
            loss_percent: pick(LOSSES, weather >> 4),
            repeat: Duration::from_millis(pick(REPEATS_MS, weather >> 6)),
            segment: pick(SEGMENTS, size),
            window: pick(WINDOWS, size >> 2),
        };
        let seed = u64::from_le_bytes([s0, s1, s2, s3, s4, 0, 0, 0]);
        let mut world = World::new(kind, conditions, seed);
        let mut settings = ServerSettings::default();
        settings.max_concurrent_frames = CREDIT;
        settings.expire_frames = size & 16 != 0;
        settings.enforce_credit = size & 32 != 0;
        settings.keepalive_interval = (first & 2 != 0).then_some(Duration::from_secs(1));
        world.server.machine.serve(settings);
        let mut hello = packets::hello();
        hello.metadata.cache_object_bitmap = 0x1FF;
        hello.metadata.cache_namespace_count = 1;
        hello.metadata.max_lane_count = 3;
        let mut settings = ClientSettings::default();
        if first & 4 != 0 {
            settings.keepalive_interval = Some(LOST_AFTER / 8);
            settings.keepalive_timeout = Some(LOST_AFTER);
        }
        // The first command on a connection; it can only fail when that is over.
        let _ = world.client.machine.open(world.now, &hello, settings);
        Stage {
            world,
            story: Story { bound: (size & 32 != 0).then_some(CREDIT), ..Story::default() },
            head,
            hello: None,
            next_ids: [1; 3],
            epochs: 0,
            disturbed: false,
            broken_at: None,
        }
    }

    fn advance(&mut self, by: Duration) -> Result<(), String> {
        let Stage { world, story, head, hello, .. } = self;
        world.advance(by, |world| {
            while let Some(event) = world.client.events.pop_front() {
                story.client_told(event)?;
            }
            while let Some(event) = world.server.events.pop_front() {
                if let Event::Hello(_) = event {
                    *hello = Some(());
                } else {
                    story.server_told(event)?;
                }
            }
            // Some servers take their time; see `step`.
            if head[0] & SLOW != SLOW && hello.take().is_some() {
                admit(world, story);
            }
            story.check_now(&world.client.machine, &world.server.machine)
        })
    }

    fn step(&mut self, what: u8, a: u8, b: u8, c: u8) -> Result<(), String> {
        match what {
            0..=59 => self.advance(Duration::from_millis(u64::from(a) * u64::from(b) / 16))?,
            60..=109 => self.submit(a, b, c),
            110..=149 => self.answer(a, b, c),
            150..=161 => self.give_up(a, b),
            162..=169 => self.drop_frame(a, b),
            170..=177 => self.patch(a, b),
            178..=187 => self.cache(a, b, c),
            188..=195 => self.flow_update(a, b),
            196..=203 => self.ping(a, b),
            204..=209 => self.hint(a),
            210..=215 => self.probe(),
            216..=223 => self.stall(a, b),
            224..=229 => self.another_result(a),
            230..=235 => self.pause_reading(a, b),
            236..=239 => self.unwanted(a, b),
            240..=247 => {
                if self.hello.take().is_some() {
                    if a < 16 {
                        let now = self.world.now;
                        self.world
                            .server
                            .machine
                            .refuse_client(now, Fault::refusal(ErrorCode::AuthFailed, "no"));
                    } else {
                        admit(&mut self.world, &mut self.story);
                    }
                }
            }
            248 => self.close(a),
            249 => self.break_off(a, b),
            250.. => self.submit(a, b, c),
        }
        // Whatever was sent begins its journey, and what was due at this instant happens.
        self.advance(Duration::ZERO)
    }
}

fn admit(world: &mut World, story: &mut Story) {
    let admission = Admission { fallback_session_id: 1, ..Admission::default() };
    story.established.1 = world.server.machine.admit(world.now, &admission).is_ok();
}

// ---------------------------------------------------------------- what a client does
impl Stage {
    fn submit(&mut self, view: u8, how: u8, budget: u8) {
        let view = usize::from(view) % self.next_ids.len();
        let Some(next) = self.next_ids.get_mut(view) else { return };
        let key = FrameKey { view_id: u16::try_from(view).unwrap_or(0), frame_id: *next };
        let referring = how & 7 == 0;
        let frame = SubmitFrame {
            view_id: key.view_id,
            trace_id: tag(key, 0),
            latency_budget_ms: u16::from(budget) * 8,
            typed_payloads: vec![TypedPayload::opaque_bytes(body_of(key))],
            camera_reference: referring.then(|| ObjectReferenceBlock {
                object_kind: CacheObjectKind::CameraBlock,
                cache_key_lo: u32::from(how >> 3) & 3,
                ..ObjectReferenceBlock::default()
            }),
            ..packets::frame(key.frame_id)
        };
        let Ok(packet) = frame.encode(1, Revision::Current) else { return };
        let now = self.world.now;
        let machine = &mut self.world.client.machine;
        let sent = if how & 0x80 == 0 {
            machine.submit(now, packet)
        } else if machine.state() == nnrp_session::ConnectionState::Active {
            machine.send_packet(now, packet.to_packet())
        } else {
            return;
        };
        if sent.is_ok() {
            *next += 1;
            self.story.frames.insert(key, FrameStory { referring, ..FrameStory::default() });
        }
    }

    fn give_up(&mut self, which: u8, how: u8) {
        let keys: Vec<FrameKey> = self.story.frames.keys().copied().collect();
        let Some(key) = nth(&keys, which) else { return };
        let now = self.world.now;
        let told = match how % 3 {
            0 => self.world.client.machine.cancel(key).is_ok(),
            1 => {
                // In a datagram, which may get lost.
                self.world.client.machine.ignore_results(key);
                let mut header = Header::new(MessageType::FrameCancel);
                header.session_id = 1;
                header.frame_id = key.frame_id;
                header.view_id = key.view_id;
                self.datagram(now, header)
            }
            _ => {
                self.world.client.machine.ignore_results(key);
                false
            }
        };
        if let Some(story) = self.story.frames.get_mut(&key) {
            story.given_up |= told || !how.is_multiple_of(3);
            story.cancelled |= told;
        }
    }

    fn datagram(&mut self, now: Instant, header: Header) -> bool {
        let possible = self.world.link.kind() == LinkKind::Lanes && !self.world.client.gone;
        if possible {
            let packet = Packet::build(header, Bytes::new(), Bytes::new()).to_bytes();
            self.world.link.send(now, Side::Client, Path::Datagram, &packet, false);
        }
        possible
    }

    /// Sends a packet of the client that wants a reply of this kind.
    fn ask(&mut self, packet: Packet, reply: MessageType) {
        let now = self.world.now;
        let machine = &mut self.world.client.machine;
        if machine.state() == nnrp_session::ConnectionState::Active
            && machine.send_packet(now, packet).is_ok()
        {
            self.story.client_asked.entry(reply).or_default().0 += 1;
        }
    }

    fn patch(&mut self, mask: u8, value: u8) {
        let metadata = SessionPatchMetadata {
            patch_mask: SessionPatchField::from_bits(u32::from(mask & 0x7)),
            target_cadence_x100: u32::from(value),
            quality_tier: u16::from(value),
            ..SessionPatchMetadata::default()
        };
        if let Ok(packet) =
            (SessionPatch { metadata, block: None }).encode(session_header(MessageType::SessionPatch))
        {
            self.ask(packet.to_packet(), MessageType::SessionPatchAck);
        }
    }

    fn cache(&mut self, key: u8, how: u8, size: u8) {
        let key = u32::from(key) & 3;
        if how & 3 == 0 {
            let order = CacheInvalidateMetadata {
                invalidate_scope: CacheInvalidateScope::ObjectKey,
                cache_key_lo: key,
                ..CacheInvalidateMetadata::default()
            };
            let packet = packets::control(MessageType::CacheInvalidate, 1, &order.encode());
            if self.story.established.0 {
                let _ = self.world.client.machine.send_packet(self.world.now, packet);
            }
            return;
        }
        let flags = if how & 4 == 0 { CachePutFlags::REUSABLE } else { CachePutFlags::default() };
        let metadata = CachePutMetadata {
            cache_key_lo: key,
            object_kind: CacheObjectKind::CameraBlock,
            flags,
            ttl_ms: u32::from(how >> 3) * 100,
            ..CachePutMetadata::default()
        };
        let object = Bytes::from(vec![0xCA; 1 + usize::from(size)]);
        if let Ok(packet) = (CachePut { metadata, object }).encode(session_header(MessageType::CachePut)) {
            self.ask(packet.to_packet(), MessageType::CacheAck);
        }
    }

    fn probe(&mut self) {
        let probe = TransportProbeMetadata::default();
        let replies = self.story.client_asked.entry(MessageType::TransportProbeAck).or_default().0;
        // More are answered with an ERROR.
        if replies < u64::from(nnrp_session::MAX_PROBES) {
            let packet = packets::control(MessageType::TransportProbe, 0, &probe.encode());
            self.ask(packet, MessageType::TransportProbeAck);
        }
    }

    fn ping(&mut self, who: u8, number: u8) {
        let mut header = session_header(MessageType::Ping);
        header.trace_id = u64::from(number);
        let packet = Packet::build(header, Bytes::new(), Bytes::new());
        match who % 3 {
            0 => self.ask(packet, MessageType::Pong),
            1 => {
                let now = self.world.now;
                let machine = &mut self.world.server.machine;
                if machine.state() == nnrp_session::ConnectionState::Active
                    && machine.send_packet(now, packet).is_ok()
                {
                    self.story.server_asked.entry(MessageType::Pong).or_default().0 += 1;
                }
            }
            _ => {
                if self.story.established.0 && self.datagram(self.world.now, header) {
                    self.story.client_asked.entry(MessageType::Pong).or_default().0 += 1;
                }
            }
        }
    }
}

fn dropped_for(reason: ResultHintReason) -> Answer {
    Answer::Drop(Some(reason))
}

fn session_header(message: MessageType) -> Header {
    let mut header = Header::new(message);
    header.session_id = 1;
    header
}

fn nth<T: Copy>(items: &[T], which: u8) -> Option<T> {
    items.get(usize::from(which).checked_rem(items.len())?).copied()
}

// ---------------------------------------------------------------- what a server does
impl Stage {
    /// One result of an open frame: whole, partial, degraded, the last part.
    fn answer(&mut self, which: u8, class: u8, parts: u8) {
        let Some(key) = nth(&self.story.open, which) else { return };
        for _ in 0..parts % 4 {
            self.push(key, ResultClass::Partial, false);
        }
        match class % 6 {
            0 | 1 => self.push(key, ResultClass::Complete, false),
            2 => self.push(key, ResultClass::Degraded, false),
            3 => self.push(key, ResultClass::StaleReuse, false),
            4 => self.push(key, ResultClass::Partial, true),
            _ => self.push(key, ResultClass::Partial, false),
        }
    }

    /// Tokens after the first complete result (R-RES-10).
    fn another_result(&mut self, which: u8) {
        let done = |story: &FrameStory| story.answers.contains(&Answer::Push { terminal: true });
        let keys: Vec<FrameKey> =
            self.story.frames.iter().filter(|(_, story)| done(story)).map(|(key, _)| *key).collect();
        if let Some(key) = nth(&keys, which) {
            self.push(key, ResultClass::Complete, false);
        }
    }

    fn push(&mut self, key: FrameKey, class: ResultClass, last: bool) {
        let Some(story) = self.story.frames.get_mut(&key) else { return };
        let partial = class == ResultClass::Partial;
        let result = ResultFrame {
            view_id: key.view_id,
            trace_id: tag(key, story.answers.len()),
            result_class: class,
            dropped_tile_count: u16::from(partial),
            applied_budget_policy: if partial {
                BudgetPolicy::ALLOW_PARTIAL
            } else {
                BudgetPolicy::default()
            },
            flags: if last { HeaderFlags::EOS } else { HeaderFlags::default() },
            ..packets::result(key.frame_id)
        };
        let Ok(packet) = result.encode(1, Revision::Current) else { return };
        if self.world.server.machine.push_result(self.world.now, packet).is_ok() {
            let terminal = !partial || last;
            story.answers.push(Answer::Push { terminal });
            if terminal {
                self.story.open.retain(|open| *open != key);
            }
        }
    }

    fn drop_frame(&mut self, which: u8, reason: u8) {
        let Some(key) = nth(&self.story.open, which) else { return };
        let twice = reason & 6 == 0;
        let reason = (reason & 1 == 0).then_some(ResultHintReason::ServerBusy);
        self.push_drop(key, reason);
        if twice {
            // At once: the first may still wait for its reason (R-LIFE-4).
            let again = DropFrame { frame_id: key.frame_id, view_id: key.view_id, ..DropFrame::default() };
            let _ = self.world.server.machine.push_drop(&again);
        }
    }

    fn push_drop(&mut self, key: FrameKey, reason: Option<ResultHintReason>) {
        let Some(story) = self.story.frames.get_mut(&key) else { return };
        let drop = DropFrame {
            frame_id: key.frame_id,
            view_id: key.view_id,
            trace_id: tag(key, story.answers.len()),
            reason,
            ..DropFrame::default()
        };
        if self.world.server.machine.push_drop(&drop).is_ok() {
            story.answers.push(Answer::Drop(reason));
            self.story.open.retain(|open| *open != key);
        }
    }

    fn hint(&mut self, which: u8) {
        let hint = ResultHintMetadata { reason: ResultHintReason::None, ..ResultHintMetadata::default() };
        let mut header = session_header(MessageType::ResultHint);
        header.frame_id = nth(&self.story.open, which).map_or(0, |key| key.frame_id);
        let _ = self.world.server.machine.push_hint(header, &hint);
    }

    fn flow_update(&mut self, who: u8, credit: u8) {
        self.epochs += 1;
        let update = FlowUpdateMetadata {
            scope_kind: FlowUpdateScopeKind::Session,
            update_reason: FlowUpdateReason::Grant,
            session_credit: u16::from(credit),
            credit_epoch: self.epochs,
            flow_flags: FlowUpdateFlags::CREDIT_VALID,
            ..FlowUpdateMetadata::default()
        };
        let packet = packets::control(MessageType::FlowUpdate, 1, &update.encode());
        if who & 1 == 0 {
            if self.story.established.0 {
                let _ = self.world.client.machine.send_packet(self.world.now, packet);
            }
        } else if self.story.established.1
            && self.world.server.machine.send_packet(self.world.now, packet).is_ok()
        {
            self.story.updates.push_back(update);
        }
    }

    /// What says nothing new: a drop of a frame that never was, or a second one (R-LIFE-4).
    fn unwanted(&mut self, how: u8, which: u8) {
        let dropped = |story: &FrameStory| matches!(story.answers.last(), Some(Answer::Drop(_)));
        let keys: Vec<FrameKey> =
            self.story.frames.iter().filter(|(_, story)| dropped(story)).map(|(key, _)| *key).collect();
        let drop = match nth(&keys, which).filter(|_| how & 1 == 0) {
            Some(key) => DropFrame { frame_id: key.frame_id, view_id: key.view_id, ..DropFrame::default() },
            None => DropFrame::default(),
        };
        let _ = self.world.server.machine.push_drop(&drop);
    }
}

// ---------------------------------------------------------------- what happens to both
impl Stage {
    fn stall(&mut self, who: u8, how_long: u8) {
        let side = if who & 1 == 0 { Side::Client } else { Side::Server };
        let pause = LONGEST_STALL * u32::from(how_long) / 255;
        self.world.link.stall(self.world.now, side, pause);
        self.disturbed = true;
    }

    fn pause_reading(&mut self, who: u8, how_long: u8) {
        let side = if who & 1 == 0 { Side::Client } else { Side::Server };
        let now = self.world.now;
        self.world.node(side).pause_reading(now, now + LONGEST_STALL * u32::from(how_long) / 255);
        self.disturbed = true;
    }

    fn break_off(&mut self, how: u8, bytes: u8) {
        let how = match how % 4 {
            0 => Break::Reset,
            1 => Break::After(Side::Client, usize::from(bytes) * 4),
            2 => Break::After(Side::Server, usize::from(bytes) * 4),
            _ => Break::Silence,
        };
        self.world.link.break_off(self.world.now, how);
        self.story.broken = true;
        self.broken_at.get_or_insert(self.world.now);
    }

    fn close(&mut self, who: u8) {
        let now = self.world.now;
        if who & 1 == 0 {
            self.story.client_closed = true;
            self.world.client.machine.close(now, "script");
        } else {
            self.story.server_closed = true;
            self.world.server.machine.close(now, "script");
            for key in std::mem::take(&mut self.story.open) {
                if let Some(story) = self.story.frames.get_mut(&key) {
                    story.answers.push(dropped_for(UNANSWERED));
                }
            }
        }
    }

    /// Everything is answered, everything arrives; then somebody closes, and both ends come to theirs.
    fn finish(mut self) -> Result<Outcome, String> {
        let early = self.story.client_closed || self.story.server_closed;
        if self.hello.take().is_some() {
            admit(&mut self.world, &mut self.story);
        }
        if self.broken_at.is_none() && !early {
            self.advance(QUIET_AFTER)?;
            for key in self.story.open.clone() {
                self.push(key, ResultClass::Complete, false);
            }
            self.advance(QUIET_AFTER)?;
            let Story { client_ended, server_ended, failed, .. } = &self.story;
            if *failed == (0, 0) {
                if client_ended.is_some() || server_ended.is_some() {
                    return Err(format!("ended without a cause: {client_ended:?}, {server_ended:?}"));
                }
                self.story.check_quiet(&self.world.client.machine, &self.world.server.machine)?;
            }
        }
        if self.story.client_ended.is_none() && self.story.server_ended.is_none() {
            self.close(self.head[0] >> 4);
            self.advance(Duration::ZERO)?;
            if self.head[0] & 0x60 == 0 {
                self.close(!(self.head[0] >> 4));
            }
        }
        self.advance(SILENCE_NOTICED + QUIET_AFTER + 4 * DRAIN_TIME)?;
        self.story.check_end(&self.world.client.machine, &self.world.server.machine)?;
        if !self.world.client.gone || !self.world.server.gone {
            return Err("a transport outlives its session".into());
        }
        if !self.world.link.is_broken() && !self.disturbed {
            self.story.check_farewell()?;
        }
        Ok(self.outcome(early))
    }

    fn outcome(&self, early: bool) -> Outcome {
        let frames = || self.story.frames.values();
        let count = |wanted: fn(&FrameStory) -> bool| frames().filter(|story| wanted(story)).count() as u64;
        let replies = self.story.client_asked.values().chain(self.story.server_asked.values());
        Outcome {
            frames: frames().count() as u64,
            answers: frames().map(|story| story.received as u64).sum(),
            ended_with_session: count(|story| story.ends == 0 && !story.given_up),
            given_up: count(|story| story.given_up),
            refused: count(|story| story.answers.contains(&Answer::Refused)),
            expired: count(|story| story.answers.contains(&dropped_for(ResultHintReason::BudgetExceeded))),
            beyond_credit: count(|story| story.answers.contains(&dropped_for(ResultHintReason::QueueFull))),
            replies: replies.map(|(_, replies)| *replies).sum(),
            broken: u64::from(self.world.link.is_broken()),
            closed_early: u64::from(early),
        }
    }
}
