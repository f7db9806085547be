//! Listening, and the handshakes of everybody who comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nnrp_session::{HANDSHAKE_TIMEOUT, ServerSettings};
use nnrp_transport::Connection;
#[cfg(feature = "quic")]
use nnrp_transport::quic::QuicAcceptor;
#[cfg(feature = "tcp")]
use nnrp_transport::tcp::TcpAcceptor;
use nnrp_transport::tls::{Reload, ServerTls};
use nnrp_wire::TransportId;
use tokio::sync::watch;

#[cfg(feature = "quic")]
use crate::arrivals::accept_quic;
#[cfg(feature = "tcp")]
use crate::arrivals::accept_tcp;
use crate::arrivals::{decide, shake_hands};
use crate::config::ServerConfig;
use crate::drain::{LastCall, Registry};
use crate::error::{BindError, FailedHandshake, TlsError};
use crate::handshake::PendingSession;
use crate::server::ServerSession;
use crate::stats::Tally;
use crate::waiting::{AcceptClock, Place, Places, Queue};

/// Connections that wait to be accepted, or are in their handshake, per listener and unless told otherwise. Further
/// ones are sent away: each costs a socket and some kilobytes.
pub const MAX_PENDING_HANDSHAKES: usize = 1024;

/// Connections beyond the pending ones that are told that the server is busy. Telling takes a transport handshake;
/// clients beyond these are refused by the transport, without a word.
const MAX_TURNED_AWAY: usize = 64;

/// When clients are asked to try again, unless told otherwise: soon for a person, and far enough apart for a server.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(1);

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
    pub(crate) local: SocketAddr,
    transport: TransportId,
    pub(crate) config: ServerConfig,
    /// `None`: plain.
    reload: Option<Reload>,
    /// Connected, nothing read yet.
    pub(crate) backlog: Queue<(Connection, Place)>,
    /// Hellos to decide about, and handshakes that failed.
    pub(crate) ready: Queue<Ready>,
    /// Admitted by [`Listener::accept`].
    pub(crate) sessions: Queue<ServerSession>,
    /// For connections nobody has decided about yet, wherever they are.
    pub(crate) pending: Places,
    pub(crate) tally: Tally,
    /// For connections that get to hear that there are too many.
    pub(crate) turned_away: Places,
    /// Whether it was said that everybody is let in.
    pub(crate) warned: AtomicBool,
    pub(crate) clock: AcceptClock,
    /// Every connection that was handed out or is in its handshake.
    pub(crate) connections: Registry,
    /// Why nobody is let in any more, while the sessions there are still go on.
    pub(crate) draining: watch::Sender<Option<LastCall>>,
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) closed: watch::Sender<bool>,
}

/// A hello to decide about, or a handshake that failed and still takes a place until somebody is told.
#[derive(Debug)]
pub(crate) struct Ready(
    pub(crate) Result<PendingSession, FailedHandshake>,
    #[expect(dead_code, reason = "held to be dropped")] pub(crate) Option<Place>,
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
}
