//! How attackers get at their victim: an ordinary connection over its transport, or a bare socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, TransportConfig};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Kind, Raw, Result, Victim};

/// The name in the victim's certificate.
const NAME: &str = "localhost";

/// Opens connections to one victim, over QUIC all from one socket.
#[derive(Clone)]
pub struct Dialer {
    address: SocketAddr,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Tcp,
    Tls(TlsConnector),
    Quic(Endpoint),
}

impl Dialer {
    /// A dialer whose QUIC side behaves like `transport`.
    ///
    /// # Errors
    ///
    /// When there is no socket, or the victim's certificate cannot be trusted.
    pub fn new(victim: &Victim, transport: TransportConfig) -> Result<Dialer> {
        let way = match victim.kind {
            Kind::Tcp => Way::Tcp,
            Kind::Tls => Way::Tls(Arc::new(trusting(&victim.certificate, "nnrp/1-tcp")?).into()),
            Kind::Quic => Way::Quic(endpoint(trusting(&victim.certificate, "nnrp/1")?, transport)?),
        };
        Ok(Dialer { address: victim.address, way })
    }

    /// Connects; on QUIC the control stream is opened, which the victim sees with the first byte on it.
    ///
    /// # Errors
    ///
    /// When the victim does not take the connection.
    pub async fn dial(&self) -> Result<Raw> {
        self.dial_to(self.address).await
    }

    /// The same to another address, from where a relay leads to the victim.
    ///
    /// # Errors
    ///
    /// As [`Dialer::dial`].
    pub async fn dial_to(&self, address: SocketAddr) -> Result<Raw> {
        match &self.way {
            Way::Tcp => Ok(socket(address).await?.into()),
            Way::Tls(connector) => {
                let name = ServerName::try_from(NAME)?;
                Ok(connector.connect(name, socket(address).await?).await?.into())
            }
            Way::Quic(endpoint) => {
                let quic = endpoint.connect(address, NAME)?.await?;
                Raw::over_quic(quic, endpoint.clone()).await
            }
        }
    }

    /// A socket to a victim that listens on TCP, and nothing on it yet: no TLS either.
    ///
    /// # Errors
    ///
    /// When the victim does not take the connection.
    pub async fn bare(&self) -> Result<Raw> {
        Ok(socket(self.address).await?.into())
    }

    /// Connects and opens a session.
    ///
    /// # Errors
    ///
    /// When the victim refuses.
    pub async fn session(&self) -> Result<Raw> {
        let mut raw = self.dial().await?;
        raw.hello().await?;
        Ok(raw)
    }
}

async fn socket(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS that believes this one certificate and offers this one protocol.
fn trusting(certificate: &[u8], alpn: &str) -> Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.into()];
    Ok(tls)
}

fn endpoint(tls: rustls::ClientConfig, transport: TransportConfig) -> Result<Endpoint> {
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}
