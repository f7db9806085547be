//! What a client and a server application know of their session, and what must be true of it however the network
//! behaved: told twice, once by each application, and compared.

use std::collections::{BTreeMap, VecDeque};

use nnrp_session::{
    Ended, Event, FrameKey, MAX_QUEUED_REPLIES, Machine, ReceivedResult, ReceivedSubmit, RejectedPacket,
};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{FlowUpdateMetadata, HeaderFlags, MessageType, ResultClass, ResultHintReason};

/// Packets of the application that stand between a reply and the bound on replies.
const REPLY_SLACK: usize = 64;

/// One answer a server has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A result, and whether it ends its frame.
    Push {
        /// No more is needed.
        terminal: bool,
    },
    /// A drop, and the reason it was given.
    Drop(Option<ResultHintReason>),
    /// The library refused the submit: an ERROR and a drop, of which the client sees the first.
    Refused,
}

/// The story of one frame.
#[derive(Debug, Default)]
pub struct FrameStory {
    /// The client no longer wants it.
    pub given_up: bool,
    /// The client has told the server so.
    pub cancelled: bool,
    /// It refers to an object that may not be there.
    pub referring: bool,
    /// How often the server's application saw it.
    pub seen: u32,
    /// What the server did about it, in order.
    pub answers: Vec<Answer>,
    /// How many of the answers the client got.
    pub received: usize,
    /// How often the client was told that it ended.
    pub ends: u32,
    /// How often the server was told that it is no longer wanted.
    pub cancels: u32,
}

impl FrameStory {
    /// Whether the server has said its last word.
    pub fn answered(&self) -> bool {
        self.answers.iter().any(|answer| !matches!(answer, Answer::Push { terminal: false }))
    }

    /// A server that has closed refuses what still comes, and its application hears no more of it.
    fn refused_unheard(&mut self, server_closed: bool) {
        if server_closed && self.seen == 0 && self.answers.is_empty() {
            self.answers.push(Answer::Refused);
        }
    }

    /// Whether the server's application saw it, or had no need to.
    fn arrived(&self, bound: bool) -> bool {
        let refused = matches!(self.answers.as_slice(), [Answer::Refused | Answer::Drop(_)]);
        self.seen == 1 || refused || (bound && self.given_up)
    }

    /// What the client has still to hear.
    fn missing(&self) -> usize {
        self.answers.len() - self.received.min(self.answers.len())
    }
}

/// Replies of each kind: how many are wanted, and how many came.
pub type Replies = BTreeMap<MessageType, (u64, u64)>;

/// What happened so far.
#[derive(Debug, Default)]
pub struct Story {
    /// Every frame that was submitted.
    pub frames: BTreeMap<FrameKey, FrameStory>,
    /// Frames the server's application has and has not ended, oldest first.
    pub open: Vec<FrameKey>,
    /// Requests of the client that want one reply each, by the kind of the reply, and the replies.
    pub client_asked: Replies,
    /// The same of the server.
    pub server_asked: Replies,
    /// Flow updates on their way to the client.
    pub updates: VecDeque<FlowUpdateMetadata>,
    /// How the client's session ended.
    pub client_ended: Option<Ended>,
    /// How the server's session ended.
    pub server_ended: Option<Ended>,
    /// The client's handshake failed, and the server's.
    pub failed: (u32, u32),
    /// The session exists, for the client and for the server.
    pub established: (bool, bool),
    /// The application of this end has closed.
    pub client_closed: bool,
    /// The same of the server.
    pub server_closed: bool,
    /// The link broke.
    pub broken: bool,
    /// Frames the server takes at once; `None` where credit is not enforced.
    pub bound: Option<u16>,
    /// What the last flow update granted the client.
    pub granted: Option<u16>,
    /// Hints the client got.
    pub hints: u64,
}

type Told = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Told {
    if holds { Ok(()) } else { Err(what()) }
}

/// What is written into `trace_id` of everything about a frame: which frame, and the how manieth answer.
pub fn tag(key: FrameKey, number: usize) -> u64 {
    u64::from(key.view_id) << 48 | u64::from(key.frame_id) << 16 | (number as u64 & 0xFFFF)
}

fn number_in(tag: u64) -> usize {
    usize::try_from(tag & 0xFFFF).unwrap_or(usize::MAX)
}

// ---------------------------------------------------------------- what the client is told
impl Story {
    /// Takes one event of the client.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn client_told(&mut self, event: Event) -> Told {
        ensure(self.client_ended.is_none(), || format!("the client was told {event:?} after its end"))?;
        match event {
            Event::Established(_) => self.established.0 = true,
            Event::HandshakeFailed(_) => self.failed.0 += 1,
            Event::Result(result) => return self.client_got(&result),
            Event::FrameFailed(failed) => {
                let unheard = self.server_closed;
                let story = self.frames.get_mut(&failed.key).ok_or("an unknown frame failed")?;
                story.refused_unheard(unheard);
                let refused = story.answers.get(story.received) == Some(&Answer::Refused);
                ensure(refused, || format!("{} failed: {}; {story:?}", failed.key, failed.fault))?;
                story.received += 1;
                story.ends += 1;
                ensure(story.ends == 1 && !story.given_up, || format!("{} ended again", failed.key))?;
            }
            Event::Rejected(rejected) => return Err(format!("the client refused {rejected:?}")),
            Event::Hint(..) => self.hints += 1,
            // The one an enforcing server begins with.
            Event::FlowUpdate(_, update) if self.bound.is_some() && update.credit_epoch == 0 => {}
            Event::FlowUpdate(_, update) => {
                self.granted = Some(update.session_credit);
                let expected = self.updates.pop_front();
                ensure(expected == Some(update), || format!("{update:?} instead of {expected:?}"))?;
            }
            Event::Control(packet) if packet.header.msg_type != MessageType::Error => {
                return replied(&mut self.client_asked, packet.header.msg_type);
            }
            Event::Ended(ended) => self.client_ended = Some(*ended),
            _ => {}
        }
        Ok(())
    }

    fn client_got(&mut self, result: &ReceivedResult) -> Told {
        let header = &result.packet.header;
        let key = FrameKey::from(header);
        let unheard = self.server_closed;
        let Some(story) = self.frames.get_mut(&key) else {
            return Err(format!("a result of {key}, which was never submitted"));
        };
        ensure(!story.given_up, || format!("a result of {key} after it was given up"))?;
        story.refused_unheard(unheard);
        if self.bound.is_some() && story.seen == 0 && story.answers.is_empty() {
            // Beyond the credit (R-SUB-11).
            story.answers.push(Answer::Drop(Some(ResultHintReason::QueueFull)));
        }
        let mut number = story.received;
        if self.broken {
            // Some of what was sent is lost; what has arrived is still in order.
            let last = story.answers.len().saturating_sub(1);
            let said = if header.trace_id == 0 { last } else { number_in(header.trace_id) };
            number = number.max(said);
        }
        let Some(answer) = story.answers.get(number).copied() else {
            return Err(format!("{key} got more than the server sent: {story:?}"));
        };
        story.received = number + 1;
        if answer != Answer::Refused && header.trace_id != 0 {
            ensure(header.trace_id == tag(key, number), || {
                format!("{key} got {:#x} as its answer {number}: {story:?}", header.trace_id)
            })?;
        }
        let terminal = match (&result.push, answer) {
            (Some((metadata, _)), Answer::Push { terminal }) => {
                let says =
                    metadata.result_class != ResultClass::Partial || header.flags.contains(HeaderFlags::EOS);
                ensure(says == terminal, || format!("{key}: class and flags changed on the way"))?;
                // Further results after the last one are legal (R-RES-10).
                terminal && story.ends == 0
            }
            (None, Answer::Drop(reason)) => {
                let fits = result.drop_reason.is_none() || result.drop_reason == reason;
                ensure(fits, || format!("{key} dropped for {:?}, not {reason:?}", result.drop_reason))?;
                true
            }
            (None, Answer::Refused) => true,
            _ => return Err(format!("{key} got another answer than {answer:?}")),
        };
        story.ends += u32::from(terminal);
        ensure(story.ends <= 1, || format!("{key} ended twice: {story:?}"))
    }
}

fn replied(requests: &mut Replies, message: MessageType) -> Told {
    let (asked, replies) = requests.entry(message).or_default();
    *replies += 1;
    ensure(*replies <= *asked, || format!("{replies} × {message} for {asked} requests"))
}

// ---------------------------------------------------------------- what the server is told
impl Story {
    /// Takes one event of the server.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn server_told(&mut self, event: Event) -> Told {
        ensure(self.server_ended.is_none(), || format!("the server was told {event:?} after its end"))?;
        match event {
            Event::HandshakeFailed(_) => self.failed.1 += 1,
            Event::Submit(submit) => return self.server_got(&submit),
            Event::Cancelled(key) => {
                let story = self.frames.get_mut(&key).ok_or("an unknown frame was cancelled")?;
                story.cancels += 1;
                ensure(story.cancelled && story.cancels == 1, || {
                    format!("{key} was cancelled again: {story:?}")
                })?;
            }
            Event::Expired(key) => {
                self.open.retain(|open| *open != key);
                let story = self.frames.get_mut(&key).ok_or("an unknown frame expired")?;
                ensure(!story.answered(), || format!("{key} expired after its answer: {story:?}"))?;
                story.answers.push(Answer::Drop(Some(ResultHintReason::BudgetExceeded)));
            }
            Event::Rejected(rejected) => return self.server_refused(&rejected),
            Event::Control(packet) => {
                return replied(&mut self.server_asked, packet.header.msg_type);
            }
            Event::Ended(ended) => {
                self.server_ended = Some(*ended);
                self.open.clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn server_got(&mut self, submit: &ReceivedSubmit) -> Told {
        let header = &submit.packet.header;
        let key = FrameKey::from(header);
        let Some(story) = self.frames.get_mut(&key) else {
            return Err(format!("the server saw {key}, which was never submitted"));
        };
        story.seen += 1;
        ensure(story.seen == 1, || format!("the server saw {key} {} times", story.seen))?;
        ensure(header.trace_id == tag(key, 0), || format!("{key} changed on its way"))?;
        let wanted = body_of(key);
        let whole = submit.body.typed_payloads().next().is_some_and(|payload| payload.data == wanted);
        ensure(whole, || format!("the body of {key} changed on its way"))?;
        self.open.push(key);
        Ok(())
    }

    /// The library refuses only what the peer could not know to be out of place.
    fn server_refused(&mut self, rejected: &RejectedPacket) -> Told {
        let fault = &rejected.fault;
        let key = FrameKey { view_id: fault.view_id, frame_id: fault.frame_id };
        let submit = fault.message == Some(MessageType::FrameSubmit);
        match fault.rule {
            Some(RuleId::STATE_3) if self.server_closed => {}
            Some(RuleId::OBJ_24) if self.frames.get(&key).is_some_and(|story| story.referring) => {}
            _ => return Err(format!("the server refused what is legal: {fault:?}")),
        }
        if submit {
            let story = self.frames.get_mut(&key).ok_or("an unknown frame was refused")?;
            story.answers.push(Answer::Refused);
        }
        Ok(())
    }
}

/// What a frame carries: its size and its bytes follow from its key.
pub fn body_of(key: FrameKey) -> Vec<u8> {
    let seed = key.frame_id.wrapping_mul(31).wrapping_add(u32::from(key.view_id));
    let len = 1 + (seed.wrapping_mul(97) % 300);
    (0..len).map(|i| u8::try_from((seed + i) % 251).unwrap_or(0)).collect()
}

// ---------------------------------------------------------------- what must be true
impl Story {
    /// At any time.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn check_now(&self, client: &Machine, server: &Machine) -> Told {
        for machine in [client, server] {
            let replies = machine.unwritten_replies();
            ensure(replies <= MAX_QUEUED_REPLIES + REPLY_SLACK, || format!("{replies} unwritten replies"))?;
        }
        ensure(client.live_frames() <= self.frames.len(), || "frames live that were never sent".into())?;
        if let Some(bound) = self.bound.filter(|_| self.granted.is_none() && self.updates.is_empty()) {
            ensure(self.open.len() <= usize::from(bound), || format!("{} frames at once", self.open.len()))?;
        }
        if self.server_ended.is_none() && !self.server_closed {
            ensure(server.live_frames() == self.open.len(), || {
                format!("the server owes {} answers, not {}", server.live_frames(), self.open.len())
            })?;
        }
        Ok(())
    }

    /// When everything sent has arrived and everything was answered: nobody waits for anything.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn check_quiet(&self, client: &Machine, server: &Machine) -> Told {
        for (key, story) in &self.frames {
            let arrived = story.arrived(self.bound.is_some());
            ensure(arrived, || format!("{key} never reached the server: {story:?}"))?;
            if !story.given_up {
                // A drop after the client has counted partial results as the answer says nothing new (R-LIFE-1).
                let lingered = story.missing() == 1
                    && story.received > 0
                    && matches!(story.answers.last(), Some(Answer::Drop(_)));
                ensure(story.missing() == 0 || lingered, || format!("{key} lost answers: {story:?}"))?;
                ensure(story.ends == 1 || lingered, || {
                    format!("{key} ended {} times: {story:?}", story.ends)
                })?;
            }
        }
        ensure(client.live_frames() == 0, || format!("{} frames stay live", client.live_frames()))?;
        ensure(server.live_frames() == 0, || format!("{} answers stay owed", server.live_frames()))?;
        let credit = client.credit().map(nnrp_session::Credit::session);
        ensure(self.granted.is_none() || self.granted == credit, || {
            format!("granted {:?}, in force {credit:?}", self.granted)
        })?;
        ensure(self.updates.is_empty(), || format!("flow updates were lost: {:?}", self.updates))?;
        for (message, (asked, replies)) in self.client_asked.iter().chain(&self.server_asked) {
            // PINGs may have been datagrams.
            ensure(asked == replies || *message == MessageType::Pong, || {
                format!("{replies} × {message} for {asked} requests")
            })?;
        }
        Ok(())
    }

    /// After a close that the network did not disturb: what was sent before it has arrived.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn check_farewell(&self) -> Told {
        for (key, story) in &self.frames {
            if !self.client_closed && !story.given_up {
                let lingered = story.received > 0 && matches!(story.answers.last(), Some(Answer::Drop(_)));
                ensure(story.missing() == 0 || lingered, || {
                    format!("{key}: sent before the close and lost: {story:?}")
                })?;
            }
            if !self.server_closed {
                let arrived = story.arrived(self.bound.is_some());
                ensure(arrived, || format!("{key}: submitted before the close and lost: {story:?}"))?;
            }
        }
        Ok(())
    }

    /// After the end: both ends know, were told once, and hold nothing any more.
    ///
    /// # Errors
    ///
    /// The promise that was broken.
    pub fn check_end(&self, client: &Machine, server: &Machine) -> Told {
        for (machine, ended, failed) in
            [(client, &self.client_ended, self.failed.0), (server, &self.server_ended, self.failed.1)]
        {
            let side = machine.side();
            ensure(machine.is_ended() && ended.is_some(), || {
                format!("the {side:?} was not told of the end")
            })?;
            ensure(machine.poll_timeout().is_none(), || format!("a timer of the {side:?} survives the end"))?;
            ensure(machine.live_frames() == 0, || {
                format!("{} frames of the {side:?} survive the end", machine.live_frames())
            })?;
            ensure(failed <= 1, || format!("the handshake of the {side:?} failed {failed} times"))?;
        }
        Ok(())
    }
}
