//! The order of results, shared by the tasks that read their streams.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nnrp_session::{Arrival, FrameKey};
use nnrp_wire::Packet;
use tokio::sync::Notify;

use crate::inbox::Room;
use crate::order::Order;
use crate::path::Path;

/// A packet that may have to wait for another, with the room it takes.
pub(super) type Ordered = (Packet, Room);

/// Only a client has results to put in order; on a server nothing is ever noted here.
#[derive(Default)]
pub(super) struct SharedOrder {
    order: Mutex<Order<Ordered>>,
    changed: Notify,
}

impl SharedOrder {
    /// The order, for a turn that hands out by itself what it sets free; then [`SharedOrder::tell`] those who wait. It is locked
    /// before the machine.
    pub(super) fn lock(&self) -> MutexGuard<'_, Order<Ordered>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for a change.
    pub(super) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Applies `change` and passes on, in order, what it sets free.
    pub(super) fn change(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Order<Ordered>) -> Vec<(u64, Ordered)>,
    ) {
        let mut order = self.lock();
        // Under the lock: two streams must not overtake each other between release and delivery.
        for (stream, (packet, room)) in change(&mut order) {
            path.handle_packet(packet, Arrival::Stream(stream), room);
        }
        drop(order);
        self.tell();
    }

    /// Waits until packets that have arrived wait for this stream's.
    pub(super) async fn holds_back(&self, id: u64, key: FrameKey) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().holds_back(id, key) {
                return;
            }
            changed.await;
        }
    }
}
