//! Listening, and the handshakes of everybody who comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nnrp_session::{Admission, HANDSHAKE_TIMEOUT, ServerSettings};
use nnrp_transport::clock;
#[cfg(feature = "quic")]
use nnrp_transport::quic::QuicAcceptor;
#[cfg(feature = "tcp")]
use nnrp_transport::tcp::{Accepted, TcpAcceptor, TcpHandshake};
use nnrp_transport::tls::{Reload, ServerTls, TlsFault};
use nnrp_transport::{Connection, Filter, Item};
use nnrp_wire::{ErrorCode, MessageType, TransportId};
use tokio::sync::watch;

use crate::auth::Verdict;
use crate::config::ServerConfig;
use crate::drain::{LastCall, Registry};
use crate::error::{BindError, ConnectError, FailedHandshake, HandshakeError, TlsError};
use crate::handshake::{PendingSession, busy};
use crate::server::ServerSession;
use crate::stats::{Fate, Tally};
use crate::waiting::{AcceptClock, Place, Places, Queue};

/// Connections that wait to be accepted, or are in their handshake, per listener and unless told otherwise. Further
/// ones are sent away: each costs a socket and some kilobytes.
pub const MAX_PENDING_HANDSHAKES: usize = 1024;

/// Of the places for pending connections, the part beyond which QUIC clients have to prove their address first, which
/// costs them a round trip.
const RETRY_FROM: usize = 8;

/// QUIC connections that are nobody's, in multiples of the places for pending ones: in their handshake, or closed and kept for a
/// while by the transport. Beyond it nobody new is heard; each costs some 20 KiB, and a client that closes with its first
/// packet leaves one for two minutes.
const MAX_LINGERING: usize = 4;

/// Connections beyond the pending ones that are told that the server is busy. Telling takes a transport handshake;
/// clients beyond these are refused by the transport, without a word.
const MAX_TURNED_AWAY: usize = 64;

/// How long such a client may take to say the hello that is answered so: a few round trips, since it holds a place that
/// another could be told from.
const TURN_AWAY_TIME: Duration = Duration::from_secs(2);

/// When clients are asked to try again, unless told otherwise: soon for a person, and far enough apart for a server.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(1);

/// How long to leave a listener alone whose accept failed (too many open files passes).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How handshakes are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeOptions {
    /// What the server offers.
    pub settings: ServerSettings,
    /// How long a client may take for its hello, and the application for its decision
    /// ([`PendingSession::time_left`]). For the hello, the clock runs only while somebody is waiting to accept.
    pub timeout: Duration,
}

impl Default for HandshakeOptions {
    fn default() -> Self {
        HandshakeOptions { settings: ServerSettings::default(), timeout: HANDSHAKE_TIMEOUT }
    }
}

/// A bound socket that clients can connect to. Cloning shares it. When the last clone is dropped, or after
/// [`Listener::close`], nobody new is accepted; sessions live on.
#[derive(Clone, Debug)]
pub struct Listener(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.closing.send_replace(true);
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    local: SocketAddr,
    transport: TransportId,
    config: ServerConfig,
    /// `None`: plain.
    reload: Option<Reload>,
    /// Connected, nothing read yet.
    pub(crate) backlog: Queue<(Connection, Place)>,
    /// Hellos to decide about, and handshakes that failed.
    ready: Queue<Ready>,
    /// Admitted by [`Listener::accept`].
    sessions: Queue<ServerSession>,
    /// For connections nobody has decided about yet, wherever they are.
    pub(crate) pending: Places,
    pub(crate) tally: Tally,
    /// For connections that get to hear that there are too many.
    turned_away: Places,
    /// Whether it was said that everybody is let in.
    warned: AtomicBool,
    clock: AcceptClock,
    /// Every connection that was handed out or is in its handshake.
    pub(crate) connections: Registry,
    /// Why nobody is let in any more, while the sessions there are still go on.
    pub(crate) draining: watch::Sender<Option<LastCall>>,
    pub(crate) closing: watch::Sender<bool>,
    closed: watch::Sender<bool>,
}

/// What becomes of a connection that has just come.
enum Welcome {
    /// It waits to be accepted.
    Wait(Place),
    /// It is told that there are too many.
    TurnAway(Place),
}

/// A hello to decide about, or a handshake that failed and still takes a place until somebody is told.
#[derive(Debug)]
struct Ready(
    Result<PendingSession, FailedHandshake>,
    #[expect(dead_code, reason = "held to be dropped")] Option<Place>,
);

impl Listener {
    /// Listens for QUIC clients. Port 0 picks a free one. Needs a tokio runtime around it. Cancel-safe: it does not wait.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    #[cfg(feature = "quic")]
    pub async fn bind_quic(
        address: SocketAddr,
        tls: impl Into<ServerTls>,
        config: ServerConfig,
    ) -> Result<Self, BindError> {
        let acceptor = QuicAcceptor::bind(address, tls, &config.quic)?;
        let local = acceptor.local_addr().map_err(|source| BindError::Io { address, source })?;
        let inner = Inner::new(local, TransportId::Quic, config, Some(acceptor.reload()));
        tokio::spawn(accept_quic(inner.clone(), acceptor));
        Ok(Listener(Arc::new(Owner(inner))))
    }

    /// Listens for TCP clients with TLS. Port 0 picks a free one. Needs a tokio runtime around it. Cancel-safe: it does not
    /// wait.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    #[cfg(feature = "tcp")]
    pub async fn bind_tcp_tls(
        address: SocketAddr,
        tls: impl Into<ServerTls>,
        config: ServerConfig,
    ) -> Result<Self, BindError> {
        Self::listen_tcp(address, TcpAcceptor::bind_tls(address, tls, config.tcp.clone())?, config)
    }

    /// Listens for plain TCP clients: nothing is encrypted, nobody is verified. Port 0 picks a free one. Needs a tokio
    /// runtime around it. Cancel-safe: it does not wait.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    #[cfg(feature = "tcp")]
    pub async fn bind_tcp(address: SocketAddr, config: ServerConfig) -> Result<Self, BindError> {
        Self::listen_tcp(address, TcpAcceptor::bind(address, config.tcp.clone())?, config)
    }

    #[cfg(feature = "tcp")]
    fn listen_tcp(
        address: SocketAddr,
        acceptor: TcpAcceptor,
        config: ServerConfig,
    ) -> Result<Self, BindError> {
        let local = acceptor.local_addr().map_err(|source| BindError::Io { address, source })?;
        let reload = acceptor.reload();
        if reload.is_none() && !local.ip().is_loopback() {
            tracing::warn!(
                address = %local,
                "plain TCP on an address others can reach: frames and tokens travel in clear; give the listener a certificate"
            );
        }
        let inner = Inner::new(local, TransportId::Tcp, config, reload);
        tokio::spawn(accept_tcp(inner.clone(), acceptor));
        Ok(Listener(Arc::new(Owner(inner))))
    }

    /// Exchanges the certificates, and whose client certificates are believed, for every handshake that begins from now
    /// on. Sessions that are open stay as they are.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: `tls` cannot be used, or its certificate is not valid now, or the listener is plain TCP. What was
    /// in use stays in use.
    pub fn reload_tls(&self, tls: impl Into<ServerTls>) -> Result<(), TlsError> {
        match &self.inner().reload {
            Some(reload) => reload.reload(&tls.into()),
            None => Err(TlsError::Config("a plain TCP listener has no certificate".to_owned())),
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.0
    }

    /// What it was told when it was bound.
    pub fn config(&self) -> &ServerConfig {
        &self.inner().config
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner().local
    }

    /// Which binding it serves.
    pub fn transport(&self) -> TransportId {
        self.inner().transport
    }

    /// Stops accepting. Waiting accepts return `None`; connections nobody has claimed are closed; sessions live
    /// on.
    pub fn close(&self) {
        self.inner().closing.send_replace(true);
    }

    /// Waits until the socket accepts no more. Cancel-safe.
    pub async fn closed(&self) {
        let _ = self.inner().closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Whether nobody is accepted any more: after [`Listener::close`], and once [`Listener::drain`] has begun.
    pub fn is_closed(&self) -> bool {
        *self.inner().closing.borrow() || self.inner().draining.borrow().is_some()
    }

    /// The next session, handshake, authentication and all. A refused or failed client is logged, told why, and
    /// skipped: nobody on the network can end an accept loop. `None` once the listener is closed. Cancel-safe: no
    /// client is lost.
    pub async fn accept(&self) -> Option<ServerSession> {
        loop {
            match self.try_accept().await? {
                Ok(session) => return Some(session),
                Err(error) => tracing::warn!(%error, "handshake failed"),
            }
        }
    }

    /// The same, and the handshakes that failed as well. Clients that [`ServerConfig::authenticate`] refuses are not among them:
    /// it has seen them. `None` once the listener is closed. Cancel-safe: no client is lost.
    pub async fn try_accept(&self) -> Option<Result<ServerSession, FailedHandshake>> {
        let inner = self.inner();
        inner.warn_about_strangers();
        let options = HandshakeOptions {
            settings: inner.config.settings.clone(),
            timeout: inner.config.handshake_timeout,
        };
        loop {
            let hello = tokio::select! {
                biased;
                session = inner.sessions.next() => return Some(Ok(session)),
                hello = self.accept_hello(&options) => hello?,
            };
            match hello {
                Ok(pending) => {
                    tokio::spawn(decide(inner.clone(), pending));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next client whose hello is complete and correct, or the next handshake that failed (already answered
    /// and closed). Handshakes of all waiting clients go on at the same time: a silent one delays nobody. `None`
    /// once the listener is closed. Cancel-safe.
    pub async fn accept_hello(
        &self,
        options: &HandshakeOptions,
    ) -> Option<Result<PendingSession, FailedHandshake>> {
        let inner = self.inner();
        let _running = inner.clock.run();
        let mut closing = inner.closing.subscribe();
        let mut draining = inner.draining.subscribe();
        loop {
            if *closing.borrow_and_update() || draining.borrow_and_update().is_some() {
                return None;
            }
            while let Some((connection, place)) = inner.backlog.take() {
                tokio::spawn(shake_hands(inner.clone(), connection, place, options.clone()));
            }
            tokio::select! {
                biased;
                ready = inner.ready.next() => return Some(ready.0),
                () = inner.backlog.wait() => {}
                _ = closing.changed() => {}
                _ = draining.changed() => {}
            }
        }
    }

    /// Gives a client back that [`Listener::accept_hello`] handed out and nobody decided about: the next call
    /// gets it first.
    pub fn put_back(&self, pending: PendingSession) {
        self.inner().ready.put_back(Ready(Ok(pending), None));
    }

    /// The next connection as it is, without a handshake. `None` once the listener is closed. Cancel-safe.
    pub async fn accept_connection(&self) -> Option<Connection> {
        let inner = self.inner();
        let mut closing = inner.closing.subscribe();
        let mut draining = inner.draining.subscribe();
        if *closing.borrow_and_update() || draining.borrow_and_update().is_some() {
            return None;
        }
        tokio::select! {
            biased;
            (connection, _place) = inner.backlog.next() => {
                // Whoever takes a raw connection answers for what comes over it.
                connection.open_windows();
                connection.claim();
                inner.connections.add(&connection);
                Some(connection)
            }
            _ = closing.wait_for(|closing| *closing) => None,
            _ = draining.wait_for(Option::is_some) => None,
        }
    }
}

impl Inner {
    fn new(
        local: SocketAddr,
        transport: TransportId,
        config: ServerConfig,
        reload: Option<Reload>,
    ) -> Arc<Self> {
        Arc::new(Inner {
            local,
            transport,
            pending: Places::new(config.max_pending_handshakes),
            config,
            reload,
            backlog: Queue::default(),
            ready: Queue::default(),
            sessions: Queue::default(),
            turned_away: Places::new(MAX_TURNED_AWAY),
            tally: Tally::default(),
            warned: AtomicBool::new(false),
            clock: AcceptClock::default(),
            connections: Registry::default(),
            draining: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            closed: watch::Sender::new(false),
        })
    }

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
    fn warn_about_strangers(&self) {
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
async fn accept_tcp(inner: Arc<Inner>, acceptor: TcpAcceptor) {
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
async fn accept_quic(inner: Arc<Inner>, acceptor: QuicAcceptor) {
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
async fn shake_hands(inner: Arc<Inner>, connection: Connection, place: Place, options: HandshakeOptions) {
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
async fn decide(inner: Arc<Inner>, pending: PendingSession) {
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
            tracing::warn!(%peer, "authentication refused");
            return pending.refuse(ErrorCode::AuthFailed, "authentication refused");
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
