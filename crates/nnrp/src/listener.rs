//! Listening, and the handshakes of everybody who comes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nnrp_session::{HANDSHAKE_TIMEOUT, ServerSettings};
use nnrp_transport::clock;
use nnrp_transport::quic::{QuicAcceptor, QuicOptions};
use nnrp_transport::tcp::{Accepted, TcpAcceptor, TcpHandshake, TcpOptions};
use nnrp_transport::tls::{Reload, ServerTls, TlsFault};
use nnrp_transport::{Connection, Filter, Item};
use nnrp_wire::{ErrorCode, TransportId};
use tokio::sync::{Notify, watch};

use crate::config::ServerConfig;
use crate::error::{BindError, ConnectError, FailedHandshake, HandshakeError, TlsError};
use crate::handshake::PendingSession;
use crate::server::ServerSession;

/// Connections that wait to be accepted, or are in their handshake, per listener. Further ones are refused:
/// each costs a socket and some kilobytes.
pub const MAX_PENDING_HANDSHAKES: usize = 1024;

/// Beyond this many pending connections QUIC clients have to prove their address first, which costs them a round trip.
const RETRY_FROM: usize = MAX_PENDING_HANDSHAKES / 8;

/// How long to leave a listener alone whose accept failed (too many open files passes).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How handshakes are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeOptions {
    /// What the server offers.
    pub settings: ServerSettings,
    /// How long a client may take. The clock runs only while somebody is waiting to accept.
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
struct Inner {
    local: SocketAddr,
    transport: TransportId,
    config: ServerConfig,
    /// `None`: plain.
    reload: Option<Reload>,
    /// Connected, nothing read yet.
    backlog: Queue<(Connection, Place)>,
    /// Hellos to decide about, and handshakes that failed.
    ready: Queue<Ready>,
    /// Admitted by [`Listener::accept`].
    sessions: Queue<ServerSession>,
    /// Connections nobody has decided about yet, wherever they are. Each holds a [`Place`].
    pending: Arc<AtomicUsize>,
    clock: AcceptClock,
    closing: watch::Sender<bool>,
    closed: watch::Sender<bool>,
}

/// A hello to decide about, or a handshake that failed and still takes a place until somebody is told.
#[derive(Debug)]
struct Ready(
    Result<PendingSession, FailedHandshake>,
    #[expect(dead_code, reason = "held to be dropped")] Option<Place>,
);

/// One of the places for connections that nobody has decided about. Free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Listens for QUIC clients. Port 0 picks a free one. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub async fn bind_quic(
        address: SocketAddr,
        tls: impl Into<ServerTls>,
        options: &QuicOptions,
        config: ServerConfig,
    ) -> Result<Self, BindError> {
        let acceptor = QuicAcceptor::bind(address, tls, options)?;
        let local = acceptor.local_addr().map_err(|source| BindError::Io { address, source })?;
        let inner = Inner::new(local, TransportId::Quic, config, Some(acceptor.reload()));
        tokio::spawn(accept_quic(inner.clone(), acceptor));
        Ok(Listener(Arc::new(Owner(inner))))
    }

    /// Listens for TCP clients with TLS. Port 0 picks a free one. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub async fn bind_tcp_tls(
        address: SocketAddr,
        tls: impl Into<ServerTls>,
        options: TcpOptions,
        config: ServerConfig,
    ) -> Result<Self, BindError> {
        Self::listen_tcp(address, TcpAcceptor::bind_tls(address, tls, options)?, config)
    }

    /// Listens for plain TCP clients: nothing is encrypted, nobody is verified. Port 0 picks a free one. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub async fn bind_tcp(
        address: SocketAddr,
        options: TcpOptions,
        config: ServerConfig,
    ) -> Result<Self, BindError> {
        Self::listen_tcp(address, TcpAcceptor::bind(address, options)?, config)
    }

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

    fn inner(&self) -> &Arc<Inner> {
        &self.0.0
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

    /// True after [`Listener::close`].
    pub fn is_closed(&self) -> bool {
        *self.inner().closing.borrow()
    }

    /// The next session, handshake, authentication and all. A refused or failed client is logged, told why, and
    /// skipped: nobody on the network can end an accept loop. `None` once the listener is closed. Cancel-safe: no
    /// client is lost.
    pub async fn accept(&self) -> Option<ServerSession> {
        let inner = self.inner();
        let options = HandshakeOptions {
            settings: inner.config.settings.clone(),
            timeout: inner.config.handshake_timeout,
        };
        loop {
            let hello = tokio::select! {
                biased;
                session = inner.sessions.next() => return Some(session),
                hello = self.accept_hello(&options) => hello?,
            };
            match hello {
                Ok(pending) => {
                    tokio::spawn(decide(inner.clone(), pending));
                }
                Err(error) => tracing::warn!(%error, "handshake failed"),
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
        loop {
            if *closing.borrow_and_update() {
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
        if *closing.borrow_and_update() {
            return None;
        }
        tokio::select! {
            biased;
            (connection, _place) = inner.backlog.next() => {
                // Whoever takes a raw connection answers for what comes over it.
                connection.open_windows();
                connection.claim();
                Some(connection)
            }
            _ = closing.wait_for(|closing| *closing) => None,
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
            config,
            reload,
            backlog: Queue::default(),
            ready: Queue::default(),
            sessions: Queue::default(),
            pending: Arc::default(),
            clock: AcceptClock::default(),
            closing: watch::Sender::new(false),
            closed: watch::Sender::new(false),
        })
    }

    /// A place for one more connection, if there is one.
    fn place(&self) -> Option<Place> {
        let taken = self.pending.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pending| {
            (pending < MAX_PENDING_HANDSHAKES).then_some(pending + 1)
        });
        if taken.is_err() {
            tracing::warn!(
                limit = MAX_PENDING_HANDSHAKES,
                "a client was refused: too many wait to be accepted"
            );
            return None;
        }
        Some(Place(self.pending.clone()))
    }

    fn finish_closing(&self) {
        self.backlog.close();
        self.ready.close();
        self.sessions.close();
        self.closed.send_replace(true);
    }
}

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
                if let Some(place) = inner.place() {
                    let finishing = finish_tcp(inner.clone(), handshake.clone(), accepted, place);
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
async fn finish_tcp(inner: Arc<Inner>, handshake: TcpHandshake, accepted: Accepted, place: Place) {
    let mut closed = inner.closed.subscribe();
    let finished = tokio::select! {
        biased;
        finished = handshake.finish(accepted, inner.config.handshake_timeout) => finished,
        _ = closed.wait_for(|closed| *closed) => return,
    };
    match finished {
        Ok(connection) => inner.backlog.push((connection, place)),
        Err(error) => log_failed(&error),
    }
}

/// Says why a client did not get past the transport's handshake. One that only knocked is no news.
fn log_failed(error: &ConnectError) {
    match error.tls_fault() {
        None | Some(TlsFault::Truncated) => tracing::debug!(%error, "a client left in its TLS handshake"),
        Some(_) => tracing::warn!(%error, "a TLS handshake failed"),
    }
}

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
        if inner.pending.load(Ordering::Relaxed) > RETRY_FROM && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Some(place) = inner.place() else {
            incoming.refuse();
            continue;
        };
        let inner = inner.clone();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor.finish(incoming, inner.config.handshake_timeout).await {
                Ok(connection) => inner.backlog.push((connection, place)),
                Err(error) => log_failed(&error),
            }
        });
    }
    acceptor.close();
    inner.finish_closing();
}

/// Waits for one client's hello, in its own task, while the accept clock runs.
async fn shake_hands(inner: Arc<Inner>, connection: Connection, place: Place, options: HandshakeOptions) {
    let deadline = inner.clock.elapsed() + options.timeout;
    let peer = connection.peer_addr();
    connection.adopt(|machine, _| machine.serve(options.settings));
    connection.claim();
    let outcome = tokio::select! {
        item = connection.receive(Filter::Handshake) => item,
        () = inner.clock.reached(deadline) => {
            // R-HELLO-7: too slow, no ERROR.
            connection.abort(0, "");
            let failed = FailedHandshake { peer, error: HandshakeError::Timeout(options.timeout) };
            inner.ready.push(Ready(Err(failed), Some(place)));
            return;
        }
    };
    match outcome {
        Ok(Item::Hello(hello)) => {
            inner.ready.push(Ready(Ok(PendingSession::new(connection, *hello, Some(place))), None));
        }
        Ok(Item::HandshakeFailed(failure)) => {
            let failed = FailedHandshake { peer, error: HandshakeError::Refused(failure) };
            inner.ready.push(Ready(Err(failed), Some(place)));
        }
        Ok(_) => {}
        // Somebody who only probed, or changed their mind: no fault.
        Err(closed) => tracing::debug!(%peer, %closed, "a client left before its hello"),
    }
}

/// Lets the application's authentication decide, then admits or refuses.
async fn decide(inner: Arc<Inner>, pending: PendingSession) {
    let config = &inner.config;
    if let Some(authenticator) = &config.authenticator {
        let verdict = authenticator(pending.hello().clone());
        match tokio::time::timeout(config.handshake_timeout, verdict).await {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                tracing::warn!(peer = %pending.connection().peer_addr(), "authentication refused");
                pending.refuse(ErrorCode::AuthFailed, "authentication refused");
                return;
            }
        }
    }
    match pending.admit_as(None, &config.model_name, Vec::new()) {
        Ok(session) => inner.sessions.push(session),
        Err(error) => tracing::warn!(%error, "handshake failed"),
    }
}

/// A queue whose readers wait; bounded by [`MAX_PENDING_HANDSHAKES`] through its users. After it was closed, what is
/// pushed is dropped: a connection that finishes its handshake then has nobody to talk to.
#[derive(Debug)]
struct Queue<T> {
    /// `None` once closed.
    items: Mutex<Option<VecDeque<T>>>,
    arrived: Notify,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { items: Mutex::new(Some(VecDeque::new())), arrived: Notify::new() }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: T) {
        if let Some(items) = self.lock().as_mut() {
            items.push_back(item);
            self.arrived.notify_one();
        }
    }

    fn put_back(&self, item: T) {
        if let Some(items) = self.lock().as_mut() {
            items.push_front(item);
            self.arrived.notify_one();
        }
    }

    fn take(&self) -> Option<T> {
        self.lock().as_mut()?.pop_front()
    }

    fn has_items(&self) -> bool {
        self.lock().as_ref().is_some_and(|items| !items.is_empty())
    }

    fn close(&self) {
        let items = self.lock().take();
        drop(items);
    }

    /// The next item. Cancel-safe: a notification that is not used goes to the next waiter.
    async fn next(&self) -> T {
        loop {
            let arrived = self.arrived.notified();
            if let Some(item) = self.take() {
                // One notification may stand for several items.
                if self.has_items() {
                    self.arrived.notify_one();
                }
                return item;
            }
            arrived.await;
        }
    }

    /// Waits until there is an item.
    async fn wait(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.has_items() {
                return;
            }
            arrived.await;
        }
    }
}

/// A clock that runs only while somebody accepts: a server that finishes one session before it accepts the next
/// must not find its waiting clients timed out.
#[derive(Debug, Default)]
struct AcceptClock {
    state: Mutex<ClockState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct ClockState {
    accepting: usize,
    ran: Duration,
    since: Option<Instant>,
}

struct Running<'a>(&'a AcceptClock);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.accepting -= 1;
        if state.accepting == 0 {
            if let Some(since) = state.since.take() {
                state.ran += clock::now().saturating_duration_since(since);
            }
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}

impl AcceptClock {
    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) -> Running<'_> {
        let mut state = self.lock();
        state.accepting += 1;
        if state.accepting == 1 {
            state.since = Some(clock::now());
            drop(state);
            self.changed.notify_waiters();
        }
        Running(self)
    }

    fn elapsed(&self) -> Duration {
        let state = self.lock();
        state.ran + state.since.map_or(Duration::ZERO, |since| clock::now().saturating_duration_since(since))
    }

    /// Waits until the clock shows `at`.
    async fn reached(&self, at: Duration) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let deadline = {
                let state = self.lock();
                state.since.map(|since| since + at.saturating_sub(state.ran))
            };
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = clock::sleep_until(deadline) => {}
            }
        }
    }
}
