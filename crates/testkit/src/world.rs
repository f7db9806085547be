//! A client and a server at the ends of a [`SimulatedLink`], and the clock they share.

use std::time::{Duration, Instant};

use nnrp_session::Side;

use crate::link::{Conditions, LinkKind, SimulatedLink};
use crate::node::Node;
use crate::pair::epoch;

/// Steps at one instant: far more than any burst needs, and a sign that time stands still.
const MAX_STEPS_AT_ONCE: usize = 100_000;

/// Both ends and what is between them.
#[derive(Debug)]
pub struct World {
    /// The time both ends believe it is.
    pub now: Instant,
    /// The client's end.
    pub client: Node,
    /// The server's end.
    pub server: Node,
    /// The network.
    pub link: SimulatedLink,
}

impl World {
    /// Two raw connections at the ends of a link.
    pub fn new(kind: LinkKind, conditions: Conditions, seed: u64) -> Self {
        World {
            now: epoch(),
            client: Node::new(Side::Client, kind),
            server: Node::new(Side::Server, kind),
            link: SimulatedLink::new(kind, conditions, seed),
        }
    }

    /// The end of one side.
    pub fn node(&mut self, side: Side) -> &mut Node {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Writes what the machines have to send after a command.
    pub fn pump(&mut self) {
        self.client.pump(self.now, &mut self.link);
        self.server.pump(self.now, &mut self.link);
    }

    /// Goes to the next thing that happens, if one does until `until`, and lets it happen. False when none does; the clock
    /// then says `until`.
    ///
    /// # Errors
    ///
    /// A sentence, when a machine asks for ever to be woken at a time that is over.
    pub fn step(&mut self, until: Instant) -> Result<bool, String> {
        self.pump();
        let next = [self.link.next(), self.client.deadline(), self.server.deadline()];
        let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= until) else {
            self.now = until;
            return Ok(false);
        };
        self.now = self.now.max(at);
        if let Some((side, delivery)) = self.link.deliver(self.now) {
            let (node, link) = match side {
                Side::Client => (&mut self.client, &mut self.link),
                Side::Server => (&mut self.server, &mut self.link),
            };
            node.handle_delivery(self.now, delivery, link);
        } else {
            self.client.handle_timeout(self.now, &mut self.link)?;
            self.server.handle_timeout(self.now, &mut self.link)?;
        }
        Ok(true)
    }

    /// Lets time pass; `look` is called after everything that happens.
    ///
    /// # Errors
    ///
    /// As [`World::step`], what `look` says, and a sentence when time stands still.
    pub fn advance(
        &mut self,
        by: Duration,
        mut look: impl FnMut(&mut World) -> Result<(), String>,
    ) -> Result<(), String> {
        let until = self.now + by;
        let mut steps = 0;
        let mut last = self.now;
        look(self)?;
        while self.step(until)? {
            look(self)?;
            steps = if self.now == last { steps + 1 } else { 0 };
            last = self.now;
            if steps > MAX_STEPS_AT_ONCE {
                return Err("time stands still".into());
            }
        }
        look(self)
    }
}
