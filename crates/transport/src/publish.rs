//! What a machine has to say, on its way to the application.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use nnrp_session::{Ended, EndedBy, Event, FrameKey, Machine, RejectedPacket, Side};
use nnrp_wire::Packet;

use crate::error::Closed;
use crate::inbox::Room;
use crate::item::Item;
use crate::session_event::SessionEvent;
use crate::shared::Shared;

/// Who is to be woken.
#[derive(Default)]
#[must_use = "somebody waits"]
pub(crate) struct Wakes {
    /// Mostly there is one.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    fn add(&mut self, waker: Option<Waker>) {
        match (&self.first, waker) {
            (None, waker) => self.first = waker,
            (Some(_), waker) => self.more.extend(waker),
        }
    }

    pub(crate) fn wake(self) {
        self.first.into_iter().chain(self.more).for_each(Waker::wake);
    }
}

impl Shared {
    /// Hands the machine's events to those who wait for them, or keeps them. `room` goes with the first item. Under the
    /// machine's lock; whoever is to be woken is, once that is free.
    pub(crate) fn publish(&self, machine: &mut Machine, room: &mut Room, wakes: &mut Wakes) {
        while let Some(event) = machine.poll_event() {
            let item = match event {
                Event::Packet(packet, _) | Event::Control(packet) => Item::Packet(packet),
                Event::Hello(mut hello) => {
                    hello.peer_certificates.clone_from(&self.certificates);
                    Item::Hello(hello)
                }
                Event::Migrate(migration) => Item::Migrate(migration),
                Event::MigrationAnswered(answer) => {
                    // What follows is for the session, which is not here yet.
                    self.link().hold_control();
                    Item::MigrationAnswered(answer)
                }
                Event::Established(established) => Item::Established(established),
                Event::HandshakeFailed(failure) => Item::HandshakeFailed(failure),
                Event::Submit(submit) => {
                    self.log_frame(&submit.packet, "a frame arrived");
                    self.pieces.note_news();
                    Item::Submit(submit)
                }
                Event::Result(result) => {
                    let drop = result.push.is_none();
                    self.pieces.note_news();
                    self.log_frame(&result.packet, if drop { "a drop arrived" } else { "a result arrived" });
                    Item::Result(result)
                }
                Event::FrameFailed(failed) => Item::FrameFailed(failed),
                Event::Rejected(rejected) => {
                    self.events.send(|| SessionEvent::Refused(Box::new(rejected.fault.clone())));
                    self.counters.packets_refused.fetch_add(1, Ordering::Relaxed);
                    let limit = rejected.fault.rule.is_some_and(|rule| rule.as_str().starts_with("R-LIM-"));
                    self.counters.limits_hit.fetch_add(u64::from(limit), Ordering::Relaxed);
                    if self.side == Side::Client {
                        // Nobody receives these on a client: what they concern has failed by itself.
                        self.log_refused(machine.session_id(), &rejected);
                        continue;
                    }
                    Item::Rejected(rejected)
                }
                Event::Hint(packet, hint) => {
                    self.hints.send(|| ((*packet).clone(), hint));
                    self.events.send(|| SessionEvent::Hint((*packet).clone(), hint));
                    Item::Packet(packet)
                }
                Event::FlowUpdate(packet, update) => {
                    self.flow_updates.send(|| ((*packet).clone(), update));
                    self.events.send(|| SessionEvent::FlowUpdate((*packet).clone(), update));
                    Item::Packet(packet)
                }
                Event::Cancelled(key) => {
                    self.log_unwanted(machine.session_id(), key, "a frame was cancelled");
                    if self.side == Side::Client {
                        // Before: who is not in the line yet finds this.
                        self.note_given_up();
                        wakes.more.extend(self.inbox.give_up(key));
                    }
                    self.cancels.send(|| key);
                    self.events.send(|| SessionEvent::Cancelled(key));
                    continue;
                }
                Event::Expired(key) => {
                    self.log_unwanted(machine.session_id(), key, "a frame expired");
                    self.cancels.send(|| key);
                    self.events.send(|| SessionEvent::Expired(key));
                    continue;
                }
                Event::Patched(parameters) => {
                    self.events.send(|| SessionEvent::Patched(parameters));
                    continue;
                }
                Event::PeerClosing(reason) => {
                    self.events.send(|| SessionEvent::PeerClosing(reason.clone()));
                    let ended = Ended { by: EndedBy::Peer, fault: None, reason };
                    self.inbox.end_frames(Closed(Arc::new(ended), None));
                    continue;
                }
                Event::Ended(mut ended) => {
                    // The machine knows no addresses; whoever waits wants to know whom it has lost.
                    let peer = self.link().peer;
                    if ended.by == EndedBy::Transport && peer.port() != 0 {
                        ended.reason = format!("{peer}: {}", ended.reason);
                    }
                    let closed = Closed(Arc::from(ended), self.tls_fault.get().copied());
                    let session = machine.session_id();
                    if session == 0 {
                        tracing::debug!(%peer, "a connection without a session is over: {closed}");
                    } else {
                        tracing::info!(session, %peer, "the session is over: {closed}");
                    }
                    self.inbox.close(closed.clone());
                    self.end(closed);
                    continue;
                }
                _ => continue,
            };
            wakes.add(self.inbox.place(item, std::mem::take(room)));
        }
    }

    fn log_frame(&self, packet: &Packet, what: &str) {
        let (header, peer) = (&packet.header, || self.link().peer);
        tracing::debug!(
            session = header.session_id, frame = header.frame_id, view = header.view_id, trace = header.trace_id,
            peer = %peer(), bytes = packet.body.len(), "{what}"
        );
    }

    fn log_unwanted(&self, session: u32, key: FrameKey, what: &str) {
        let peer = || self.link().peer;
        tracing::debug!(session, frame = key.frame_id, view = key.view_id, peer = %peer(), "{what}");
    }

    fn log_refused(&self, session: u32, rejected: &RejectedPacket) {
        let trace = rejected.packet.as_ref().map_or(0, |packet| packet.header.trace_id);
        let (fault, peer) = (&rejected.fault, || self.link().peer);
        tracing::debug!(
            session, frame = fault.frame_id, view = fault.view_id, trace, peer = %peer(), %fault,
            "a packet of the server was refused"
        );
    }
}
