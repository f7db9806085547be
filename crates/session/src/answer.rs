//! Answering what is wrong, and the messages both roles treat alike.

use std::time::Instant;

use nnrp_wire::limits::{MAX_CLOSE_REASON_BYTES, MAX_DIAGNOSTIC_SENT_BYTES};
use nnrp_wire::rules::RuleId;
use nnrp_wire::{
    Close, ErrorMessage, ErrorMetadata, ErrorScope, Header, HeaderFlags, MessageType, Packet, TransportId,
};

use crate::limits::{MAX_ERRORS_PER_SECOND, MAX_PINGS_PER_SECOND, QUIET_GRACE};
use crate::machine::{Machine, Role};
use crate::{
    Arrival, ConnectionState, Ended, EndedBy, Event, Fault, FrameKey, HandshakeFailure, HeaderVerdict, Lane,
    Origin, RejectedPacket, Side, Transmit,
};

impl Machine {
    /// Answers a packet that broke a rule, as the rule says, and tells what to do with the rest of it.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        fault: Fault,
        header: &Header,
        packet: Option<Packet>,
    ) -> HeaderVerdict {
        let fault = fault.about(header);
        let handshaking = matches!(self.state, ConnectionState::Init | ConnectionState::Negotiating);
        // R-PROBE-1 and R-PROBE-2 are the two refusals that a handshake survives.
        let probe = header.msg_type == MessageType::TransportProbe && !fault.fatal;
        if fault.fatal || (handshaking && !probe) {
            self.fail(now, fault.made_fatal(), packet);
            return HeaderVerdict::Stop;
        }
        match self.side {
            Side::Server => self.answer_as_server(now, fault, header, packet),
            Side::Client => self.report_as_client(now, fault, header, packet),
        }
        HeaderVerdict::Skip
    }

    fn answer_as_server(&mut self, now: Instant, fault: Fault, header: &Header, packet: Option<Packet>) {
        // After a drain, however many frames crossed CLOSE on their way, each hears why; ERRORs are limited.
        if fault.rule == Some(RuleId::STATE_3) && self.turns_away(header) {
            return;
        }
        if header.msg_type != MessageType::Error {
            self.send_error(now, &fault);
        }
        // A refused frame must always end: peers that never read ERROR would wait for ever. Two rules leave
        // the frame alone: its id belongs to a live one, or to another session.
        let spares_frame = matches!(fault.rule, Some(RuleId::SUB_10 | RuleId::HDR_6));
        if header.msg_type == MessageType::FrameSubmit && !spares_frame {
            self.send_drop_for(header);
        }
        self.emit(Event::Rejected(Box::new(RejectedPacket { fault, packet })));
    }

    /// A client sends ERROR only before closing; anything less is told to its application alone.
    fn report_as_client(&mut self, now: Instant, fault: Fault, header: &Header, packet: Option<Packet>) {
        let key = FrameKey::from(header);
        let about_result = matches!(header.msg_type, MessageType::ResultPush | MessageType::ResultDrop);
        if about_result && packet.is_none() && !self.count_result(now, header, false) {
            return;
        }
        let live = matches!(&self.role, Role::Client(role) if role.frames.is_live(key));
        if about_result && live {
            self.end_malformed(key);
            self.emit(Event::FrameFailed(Box::new(crate::FailedFrame { key, fault, packet })));
            self.finish_drain_if_quiet(now);
        } else {
            self.emit(Event::Rejected(Box::new(RejectedPacket { fault, packet })));
        }
    }

    /// A fatal fault: ERROR, nothing more accepted, close once it is flushed.
    pub(crate) fn fail(&mut self, _now: Instant, fault: Fault, packet: Option<Packet>) {
        let handshaking = matches!(self.state, ConnectionState::Init | ConnectionState::Negotiating);
        let code = fault.code.value();
        self.push_error(&fault);
        if handshaking {
            let failure = HandshakeFailure { fault: fault.clone(), packet };
            self.emit(Event::HandshakeFailed(Box::new(failure)));
        }
        let reason = fault.text.clone();
        self.end(Ended { by: EndedBy::Fault, fault: Some(fault), reason: reason.clone() });
        self.shutdown(code, &reason);
    }

    /// Sends a non-fatal ERROR unless too many went out in this second.
    pub(crate) fn send_error(&mut self, now: Instant, fault: &Fault) {
        if self.error_rate.allow(now, MAX_ERRORS_PER_SECOND) {
            self.push_error(fault);
        }
    }

    pub(crate) fn push_error(&mut self, fault: &Fault) {
        let metadata = ErrorMetadata {
            error_code: fault.code,
            error_scope: fault.scope,
            is_fatal: u32::from(fault.fatal),
            retry_after_ms: fault.retry_after_ms,
            related_session_id: fault.session_id,
            related_frame_id: fault.frame_id,
            related_view_id: u32::from(fault.view_id),
            diagnostic_bytes: 0,
        };
        let error =
            ErrorMessage { metadata, diagnostic: cut(&fault.text, MAX_DIAGNOSTIC_SENT_BYTES).to_owned() };
        let mut header = Header::new(MessageType::Error);
        header.session_id = self.session_id;
        if let Ok(packet) = error.encode(header) {
            self.transmit(Lane::Control, Origin::Library, packet);
        }
    }

    pub(crate) fn send_close(&mut self, reason: &str) {
        self.out.push_back(Transmit::Barrier);
        let mut header = Header::new(MessageType::Close);
        header.session_id = self.session_id;
        let close = Close { reason: cut(reason, MAX_CLOSE_REASON_BYTES).to_owned() };
        if let Ok(packet) = close.encode(header) {
            self.transmit(Lane::Control, Origin::Library, packet);
        }
    }

    pub(crate) fn on_ping(&mut self, now: Instant, ping: &Packet, arrival: Arrival) {
        if !self.ping_rate.allow(now, MAX_PINGS_PER_SECOND) {
            return;
        }
        let mut header = ping.header;
        header.msg_type = MessageType::Pong;
        header.flags = HeaderFlags::default();
        let lane = if arrival == Arrival::Datagram { Lane::Datagram } else { Lane::Ping };
        self.reply_on(lane, Packet::build(header, bytes::Bytes::new(), bytes::Bytes::new()).encode());
    }

    pub(crate) fn on_close(&mut self, now: Instant, packet: &Packet) {
        // Type and lengths were checked with the header, so there is a reason, possibly empty or cut (R-LIM-5).
        let reason = Close::decode(packet).unwrap_or_default().reason;
        match self.state {
            ConnectionState::Init | ConnectionState::Negotiating => {
                let text = if reason.is_empty() { "the peer closed".to_owned() } else { reason.clone() };
                let mut fault = Fault::refusal(nnrp_wire::ErrorCode::InvalidState, text);
                fault.from_peer = true;
                let failure = HandshakeFailure { fault, packet: Some(packet.clone()) };
                self.emit(Event::HandshakeFailed(Box::new(failure)));
                self.end(Ended { by: EndedBy::Peer, fault: None, reason });
                self.shutdown(0, "");
            }
            ConnectionState::Active => {
                self.close_reason = reason;
                self.peer_closes = true;
                if self.side == Side::Server && self.transport == TransportId::Quic {
                    // Frames have streams of their own; some that were sent before may be a step behind this one.
                    self.quiet_until.get_or_insert(now + QUIET_GRACE);
                } else {
                    self.take_leave(now);
                }
            }
            // The answer to our own CLOSE.
            ConnectionState::Draining | ConnectionState::Closed => {}
        }
    }

    /// The peer has said CLOSE, and what it sent before is here.
    pub(crate) fn take_leave(&mut self, now: Instant) {
        self.quiet_until = None;
        self.emit(Event::PeerClosing(self.close_reason.clone()));
        self.enter_draining(now);
        self.finish_drain_if_quiet(now);
    }

    /// A client that has everything it waited for closes the transport; a server waits for the client to do so.
    pub(crate) fn finish_drain_if_quiet(&mut self, now: Instant) {
        if self.side != Side::Client || self.state != ConnectionState::Draining || self.live_frames() != 0 {
            return;
        }
        if self.transport == TransportId::Quic {
            // Results have streams of their own; more of them may be a step behind this one.
            self.quiet_until = Some(now + QUIET_GRACE);
        } else {
            self.finish_drain();
        }
    }

    pub(crate) fn finish_drain(&mut self) {
        self.quiet_until = None;
        let reason = std::mem::take(&mut self.close_reason);
        self.end(Ended { by: EndedBy::Peer, fault: None, reason });
        self.shutdown(0, "");
    }

    pub(crate) fn on_error(&mut self, now: Instant, packet: Packet) {
        let Ok(error) = ErrorMessage::decode(&packet) else {
            // Never answer an ERROR with an ERROR; what cannot be read is only counted.
            return;
        };
        let fault = peer_fault(&error);
        let handshaking = matches!(self.state, ConnectionState::Init | ConnectionState::Negotiating);
        if handshaking && self.side == Side::Client {
            let failure = HandshakeFailure { fault: fault.clone(), packet: Some(packet) };
            self.emit(Event::HandshakeFailed(Box::new(failure)));
            self.end(Ended { by: EndedBy::Fault, reason: fault.to_string(), fault: Some(fault) });
            self.shutdown(0, "");
        } else if fault.fatal {
            self.end(Ended { by: EndedBy::Fault, reason: fault.to_string(), fault: Some(fault) });
            self.shutdown(0, "");
        } else if fault.scope == ErrorScope::Frame && self.side == Side::Client {
            self.on_frame_error(now, fault, packet);
        } else {
            self.emit(Event::Control(Box::new(packet)));
        }
    }
}

/// What a received ERROR says. `error_scope` and `is_fatal` are obeyed as sent (wire reference 9.1).
fn peer_fault(error: &ErrorMessage) -> Fault {
    let metadata = &error.metadata;
    let scope = match metadata.error_scope {
        known if known.is_assigned() => known,
        _ => ErrorScope::Connection,
    };
    let mut fault = Fault::refusal(metadata.error_code, error.diagnostic.clone());
    fault.from_peer = true;
    fault.message = Some(MessageType::Error);
    fault.fatal = metadata.is_fatal != 0 && scope != ErrorScope::Frame;
    fault.scope = scope;
    fault.retry_after_ms = metadata.retry_after_ms;
    fault.session_id = metadata.related_session_id;
    fault.frame_id = metadata.related_frame_id;
    fault.view_id = u16::try_from(metadata.related_view_id).unwrap_or(u16::MAX);
    fault
}

/// The longest prefix of `text` of at most `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}
