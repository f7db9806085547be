//! Connections nobody has built a session on: every packet is delivered, nothing is answered.

use std::time::Instant;

use nnrp_wire::{Header, Packet, Phase};

use crate::machine::{Machine, lane_of};
use crate::{Arrival, Ended, EndedBy, Event, Fault, HeaderVerdict};

impl Machine {
    /// Raw connections check what framing needs and nothing else: where this packet ends.
    pub(crate) fn raw_header(&mut self, header: &Header) -> HeaderVerdict {
        match nnrp_wire::check_lengths(header, &self.limits, Phase::Active) {
            Ok(_) => HeaderVerdict::Read(lane_of(header.msg_type)),
            Err(error) => self.raw_fault(Fault::from(error)),
        }
    }

    pub(crate) fn raw_fault(&mut self, fault: Fault) -> HeaderVerdict {
        let reason = fault.text.clone();
        self.end(Ended { by: EndedBy::Fault, fault: Some(fault), reason });
        self.shutdown(0, "");
        HeaderVerdict::Stop
    }

    pub(crate) fn raw_packet(&mut self, _now: Instant, packet: Packet, arrival: Arrival) {
        self.emit(Event::Packet(Box::new(packet), arrival));
    }
}
