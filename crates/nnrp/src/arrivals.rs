//! What comes in at a listener: connections, their handshakes, and the decision about each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nnrp_session::{Admission, ServerSettings};
use nnrp_transport::clock;
#[cfg(feature = "quic")]
use nnrp_transport::quic::QuicAcceptor;
#[cfg(feature = "tcp")]
use nnrp_transport::tcp::{Accepted, TcpAcceptor, TcpHandshake};
use nnrp_transport::tls::TlsFault;
use nnrp_transport::{Connection, Filter, Item};
use nnrp_wire::{ErrorCode, MessageType};

use crate::auth::Verdict;
use crate::error::{ConnectError, FailedHandshake, HandshakeError};
use crate::handshake::{PendingSession, busy};
use crate::listener::{HandshakeOptions, Inner, Ready};
use crate::stats::Fate;
use crate::waiting::Place;

/// Of the places for pending connections, the part beyond which QUIC clients have to prove their address first, which
/// costs them a round trip.
const RETRY_FROM: usize = 8;

/// QUIC connections that are nobody's, in multiples of the places for pending ones: in their handshake, or closed and kept for a
/// while by the transport. Beyond it nobody new is heard; each costs some 20 KiB, and a client that closes with its first
/// packet leaves one for two minutes.
const MAX_LINGERING: usize = 4;

/// How long such a client may take to say the hello that is answered so: a few round trips, since it holds a place that
/// another could be told from.
const TURN_AWAY_TIME: Duration = Duration::from_secs(2);

/// How long to leave a listener alone whose accept failed (too many open files passes).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What becomes of a connection that has just come.
enum Welcome {
    /// It waits to be accepted.
    Wait(Place),
    /// It is told that there are too many.
    TurnAway(Place),
}

impl Inner {
    /// What to do with one more connection; `None` to do nothing for it.
    fn welcome(&self) -> Option<Welcome> {
        if let Some(place) = self.pending.take() {
            return Some(Welcome::Wait(place));
        }
        self.tally.count(Fate::Full);
        let limit = self.config.max_pending_handshakes;
        tracing::warn!(limit, "a client is sent away: too many wait to be accepted");
        self.turned_away.take().map(Welcome::TurnAway)
    }

    /// Starts on a connection that the transport has set up.
    fn receive(self: &Arc<Self>, connection: Connection, welcome: Welcome) {
        match welcome {
            Welcome::Wait(place) => self.backlog.push((connection, place)),
            Welcome::TurnAway(place) => {
                tokio::spawn(turn_away(connection, place, self.config.busy_retry_after));
            }
        }
    }

    /// Says once that a listener others can reach lets everybody in.
    pub(crate) fn warn_about_strangers(&self) {
        let open = self.config.authenticator.is_none() && !self.local.ip().is_loopback();
        if open && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = %self.local,
                "everybody who reaches this address is let in; ServerConfig::authenticate decides who is"
            );
        }
    }

    /// A client did not get past the transport's handshake. One that only knocked is no news.
    fn failed(&self, error: &ConnectError) {
        match error {
            ConnectError::Handshake { address, reason, fault: Some(fault) }
                if *fault != TlsFault::Truncated =>
            {
                self.tally.count(Fate::Tls);
                tracing::warn!(peer = %address, %fault, "a client failed in its TLS handshake: {reason}");
            }
            _ => {
                self.tally.count(Fate::Left);
                tracing::debug!(%error, "a client left in its handshake");
            }
        }
    }

    fn finish_closing(&self) {
        self.backlog.close();
        self.ready.close();
        self.sessions.close();
        self.closed.send_replace(true);
    }
}

#[cfg(feature = "tcp")]
pub(crate) async fn accept_tcp(inner: Arc<Inner>, acceptor: TcpAcceptor) {
    let handshake = acceptor.handshake();
    let mut closing = inner.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                // Without a place the socket closes before anything is built around it.
                if let Some(welcome) = inner.welcome() {
                    let finishing = finish_tcp(inner.clone(), handshake.clone(), accepted, welcome);
                    if handshake.is_plain() {
                        finishing.await;
                    } else {
                        tokio::spawn(finishing);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accepting failed; trying again");
                clock::sleep_until(Some(clock::now() + ACCEPT_RETRY)).await;
            }
        }
    }
    drop(acceptor);
    inner.finish_closing();
}

/// Does one client's TLS handshake; on plain TCP there is none, and this is done at once.
#[cfg(feature = "tcp")]
async fn finish_tcp(inner: Arc<Inner>, handshake: TcpHandshake, accepted: Accepted, welcome: Welcome) {
    let mut closed = inner.closed.subscribe();
    let finished = tokio::select! {
        biased;
        finished = handshake.finish(accepted, inner.config.handshake_timeout) => finished,
        _ = closed.wait_for(|closed| *closed) => return,
    };
    match finished {
        Ok(connection) => inner.receive(connection, welcome),
        Err(error) => inner.failed(&error),
    }
}

#[cfg(feature = "quic")]
pub(crate) async fn accept_quic(inner: Arc<Inner>, acceptor: QuicAcceptor) {
    let acceptor = Arc::new(acceptor);
    let mut closing = inner.closing.subscribe();
    loop {
        let incoming = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            incoming = acceptor.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        // Under pressure a client first has to show that it is where it says: spoofed addresses take no place.
        let (lingering, places) = (acceptor.lingering(), inner.config.max_pending_handshakes);
        if lingering > MAX_LINGERING * places {
            inner.tally.count(Fate::Full);
            incoming.ignore();
            continue;
        }
        let crowded = inner.pending.taken().max(lingering) > places / RETRY_FROM;
        if crowded && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Some(welcome) = inner.welcome() else {
            incoming.refuse();
            continue;
        };
        let inner = inner.clone();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor.finish(incoming, inner.config.handshake_timeout).await {
                Ok(connection) => inner.receive(connection, welcome),
                Err(error) => inner.failed(&error),
            }
        });
    }
    acceptor.close();
    inner.finish_closing();
}

/// Tells a client that too many are waiting. It has said hello by then: on QUIC there is no stream to answer on before.
async fn turn_away(connection: Connection, _place: Place, retry_after: Duration) {
    connection.adopt(|machine, _| machine.serve(ServerSettings::default()));
    connection.claim();
    match tokio::time::timeout(TURN_AWAY_TIME, connection.receive(Filter::Handshake)).await {
        Ok(Ok(Item::Hello(_))) => {
            connection.with(|machine, now| machine.refuse_client(now, busy(retry_after)));
        }
        // Whoever broke a rule has heard which, and whoever is silent hears nothing (R-HELLO-7).
        _ => connection.abort(0, ""),
    }
}

/// Waits for one client's hello, in its own task, while the accept clock runs.
pub(crate) async fn shake_hands(
    inner: Arc<Inner>,
    connection: Connection,
    place: Place,
    options: HandshakeOptions,
) {
    let deadline = inner.clock.elapsed().saturating_add(options.timeout);
    let peer = connection.peer_addr();
    connection.adopt(|machine, _| machine.serve(options.settings));
    inner.connections.add(&connection);
    inner.last_call(&connection);
    connection.claim();
    let outcome = tokio::select! {
        item = connection.receive(Filter::Handshake) => item,
        () = inner.clock.reached(deadline) => {
            // R-HELLO-7: too slow, no ERROR.
            connection.abort(0, "");
            inner.tally.count(Fate::Timeout);
            let failed = FailedHandshake { peer, error: HandshakeError::Timeout(options.timeout) };
            inner.ready.push(Ready(Err(failed), Some(place)));
            return;
        }
    };
    match outcome {
        Ok(Item::Hello(hello)) => {
            let left = deadline.saturating_sub(inner.clock.elapsed());
            let pending = PendingSession::new(connection, *hello, left, Some(place)).counted(&inner.tally);
            inner.ready.push(Ready(Ok(pending.among(inner.config.sessions.clone())), None));
        }
        Ok(Item::Migrate(asked)) => {
            let left = deadline.saturating_sub(inner.clock.elapsed());
            let sessions = inner.config.sessions.clone();
            let pending = PendingSession::migrating(connection, *asked, sessions, left, Some(place));
            inner.ready.push(Ready(Ok(pending.counted(&inner.tally)), None));
        }
        Ok(Item::HandshakeFailed(failure)) => {
            let draining = inner.draining.borrow().is_some();
            inner.tally.count(if draining { Fate::Draining } else { Fate::Handshake });
            if failure
                .packet
                .as_ref()
                .is_some_and(|asked| asked.header.msg_type == MessageType::SessionMigrate)
            {
                // Unlike after an ERROR the client is to close.
                connection.keep_until_gone(place.clone());
            }
            let failed = FailedHandshake { peer, error: HandshakeError::Refused(failure) };
            inner.ready.push(Ready(Err(failed), Some(place)));
        }
        Ok(_) => {}
        // Somebody who only probed, or changed their mind: no fault.
        Err(closed) => {
            inner.tally.count(Fate::Left);
            tracing::debug!(%peer, %closed, "a client left before its hello");
        }
    }
}

/// Lets the application's authentication decide, then admits or refuses.
pub(crate) async fn decide(inner: Arc<Inner>, pending: PendingSession) {
    let config = &inner.config;
    let peer = pending.connection().peer_addr();
    let mut verdict = Verdict::Admit;
    if let Some(authenticator) = &config.authenticator {
        let deciding = authenticator.decide(pending.hello().clone());
        verdict = tokio::time::timeout(pending.time_left(), deciding).await.unwrap_or_else(|_| {
            tracing::warn!(%peer, "no decision within the handshake timeout");
            Verdict::Refuse
        });
    }
    let token_ttl = match verdict {
        // How long its authentication lasts was said when the session was opened.
        Verdict::Admit | Verdict::AdmitFor(_) if pending.is_migration() => {
            // What becomes of it is logged there.
            let _ = pending.migrate();
            return;
        }
        Verdict::Admit => None,
        Verdict::AdmitFor(ttl) => Some(ttl),
        Verdict::Refuse => {
            // Who sent none is told, as it may not know that one is wanted.
            let text = if pending.hello().hello.auth_block.is_empty() {
                "authentication refused; no auth block was sent"
            } else {
                "authentication refused"
            };
            tracing::warn!(%peer, "{text}");
            return pending.refuse(ErrorCode::AuthFailed, text);
        }
        Verdict::Busy { retry_after } => {
            tracing::info!(%peer, "a client is sent away for now");
            return pending.turn_away(retry_after);
        }
    };
    let admission = Admission {
        model_name: config.model_name.clone(),
        extra_extensions: config.extensions.clone(),
        token_ttl,
        ..Admission::default()
    };
    match pending.admit(admission) {
        Ok(session) => inner.sessions.push(session),
        Err(error) => tracing::warn!(%error, "handshake failed"),
    }
}
