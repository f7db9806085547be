//! Runs a machine over one QUIC connection: the control stream, a stream for each frame, datagrams.
//!
//! Frames arrive in [`receive`], which handles all that have arrived whole in one turn on the machine; those that have not are
//! read on by tasks of their own ([`frame`]). Results of one frame are put back in order by [`ordering`]. Frames leave through the
//! [`Outlet`], in the call that makes them where that can be; what has to wait for anything is up to the writer task ([`send`]).

mod control;
mod datagrams;
mod frame;
mod frame_stream;
mod ordering;
mod outlet;
mod receive;
mod send;

use std::sync::Arc;

use nnrp_session::{DRAIN_TIME, TransportEnd};
use quinn::{ConnectionError, VarInt};
use tokio::task::JoinSet;

pub(crate) use self::outlet::Outlet;
use crate::path::Path;
use crate::quic::Counted;
use crate::quic_link::QuicLink;
use crate::roaming::roaming;
use crate::tls::Failure;

/// Starts the tasks of a connection. The endpoint is kept alive as long as the connection.
/// `counted` is dropped when the connection is closed.
pub(crate) fn spawn(path: &Arc<Path>, link: QuicLink, endpoint: quinn::Endpoint, counted: Option<Counted>) {
    let path = path.clone();
    tokio::spawn(async move {
        let quic = link.connection().clone();
        let mut tasks = JoinSet::new();
        let driver = Driver { path: path.clone(), quic: quic.clone() };
        tasks.spawn(roaming(driver.clone().accept_frames(), true));
        tasks.spawn(driver.clone().accept_datagrams());
        let (control_sender, control) = tokio::sync::oneshot::channel();
        tasks.spawn(driver.clone().run_control(control_sender));
        let writer = tokio::spawn(driver.write(link.clone(), control));
        let error = quic.closed().await;
        let failure = Failure::of_quic(&error, None);
        if let Some(fault) = failure.fault {
            path.note_tls_fault(fault);
        }
        let end = TransportEnd { clean: is_clean(&error), text: failure.text };
        // What the peer sent before it closed may still be on its way through the readers.
        let _ = tokio::time::timeout(DRAIN_TIME, async { while tasks.join_next().await.is_some() {} }).await;
        path.transport_lost(&end);
        let _ = writer.await;
        link.outlet().close();
        path.transport_closed(&end);
        // The CONNECTION_CLOSE has to leave before the socket does. On a server others keep the endpoint busy, so this lasts
        // its time: nothing of the connection waits with it.
        drop((path, quic, link, tasks, counted));
        let _ = tokio::time::timeout(DRAIN_TIME, endpoint.wait_idle()).await;
    });
}

fn is_clean(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code == VarInt::from_u32(0),
        ConnectionError::LocallyClosed => true,
        _ => false,
    }
}

#[derive(Clone)]
struct Driver {
    path: Arc<Path>,
    quic: quinn::Connection,
}

impl Driver {
    /// Closes the connection if it is open. quinn forgets why one was lost when it is closed afterwards, and a lost one would pass for
    /// one that was closed in order.
    fn close(&self, code: u32, reason: &str) {
        if self.quic.close_reason().is_none() {
            self.quic.close(VarInt::from_u32(code), reason.as_bytes());
        }
    }
}
