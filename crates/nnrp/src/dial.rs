//! How a client comes to a session: by address, over a transport.

use std::net::SocketAddr;

use nnrp_transport::tls::ClientTls;
use nnrp_wire::TransportId;

use crate::address::{Address, Scheme};
use crate::client::ClientSession;
use crate::config::ClientConfig;
use crate::error::{ConnectError, HandshakeError};

/// A client could not be connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The transport could not be set up.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server did not open a session.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl ClientSession {
    /// Connects over QUIC and opens a session. Cancel-safe: what was half open is closed.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    #[cfg(feature = "quic")]
    pub async fn connect_quic(
        address: SocketAddr,
        server_name: &str,
        tls: impl Into<ClientTls>,
        config: ClientConfig,
    ) -> Result<Self, DialError> {
        let timeout = Some(config.settings.handshake_timeout);
        let options = &config.quic;
        let connection = nnrp_transport::quic::connect(address, server_name, tls, options, timeout).await?;
        Ok(Self::open(connection, config).await?)
    }

    /// Connects over TCP with TLS, verifying the certificate for `server_name`, and opens a session. Cancel-safe: what
    /// was half open is closed.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    #[cfg(feature = "tcp")]
    pub async fn connect_tcp_tls(
        address: SocketAddr,
        server_name: &str,
        tls: impl Into<ClientTls>,
        config: ClientConfig,
    ) -> Result<Self, DialError> {
        let timeout = Some(config.settings.handshake_timeout);
        let options = &config.tcp;
        let connection =
            nnrp_transport::tcp::connect_tls(address, server_name, tls, options, timeout).await?;
        Ok(Self::open(connection, config).await?)
    }

    /// Resolves an [`Address`], connects to it and opens a session. `nnrps://` goes over `transport` with TLS, whose
    /// certificate is verified for the host of the address; `nnrp://` is plain TCP whatever `transport` says. Every
    /// address of the host is tried in turn, and nothing else: never the other transport, never without TLS. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`DialError`]: that of the last address tried; [`ConnectError::NotBuilt`] for a transport whose feature is off.
    pub async fn connect(
        address: &Address,
        transport: TransportId,
        tls: impl Into<ClientTls>,
        config: ClientConfig,
    ) -> Result<Self, DialError> {
        let tls = tls.into();
        let host = address.host();
        let mut failed = None;
        for found in address.resolve().await? {
            let (tls, config) = (tls.clone(), config.clone());
            let dialled = match (address.scheme(), transport) {
                #[cfg(feature = "tcp")]
                (Scheme::Plain, _) => Self::connect_tcp(found, config).await,
                #[cfg(feature = "tcp")]
                (Scheme::Tls, TransportId::Tcp) => Self::connect_tcp_tls(found, host, tls, config).await,
                #[cfg(not(feature = "tcp"))]
                (Scheme::Plain, _) | (_, TransportId::Tcp) => {
                    not_built(TransportId::Tcp, found, host, tls, config)
                }
                #[cfg(feature = "quic")]
                (Scheme::Tls, _) => Self::connect_quic(found, host, tls, config).await,
                #[cfg(not(feature = "quic"))]
                (Scheme::Tls, _) => not_built(TransportId::Quic, found, host, tls, config),
            };
            match dialled {
                // The network may reach another of its addresses; a refusal is not tried again.
                Err(DialError::Connect(error @ (ConnectError::Io { .. } | ConnectError::Timeout { .. }))) => {
                    failed = Some(error);
                }
                decided => return decided,
            }
        }
        Err(failed.unwrap_or_else(|| address.unknown()).into())
    }

    /// Connects over plain TCP and opens a session. Cancel-safe: what was half open is closed.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    #[cfg(feature = "tcp")]
    pub async fn connect_tcp(address: SocketAddr, config: ClientConfig) -> Result<Self, DialError> {
        let timeout = Some(config.settings.handshake_timeout);
        let connection = nnrp_transport::tcp::connect(address, &config.tcp, timeout).await?;
        Ok(Self::open(connection, config).await?)
    }
}

/// What connecting comes to over a transport whose feature is off.
#[cfg(not(all(feature = "quic", feature = "tcp")))]
fn not_built(
    transport: TransportId,
    _address: SocketAddr,
    _host: &str,
    _tls: ClientTls,
    _config: ClientConfig,
) -> Result<ClientSession, DialError> {
    Err(ConnectError::NotBuilt(transport).into())
}
