//! TLS for both bindings: rustls with the aws-lc provider passed explicitly, never installed process-wide.

mod fault;
mod key_log;
mod reload;
mod verify;

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};

use crate::clock;
pub use fault::TlsFault;
pub(crate) use fault::{Failure, is_handshake, may_be_record};
pub use key_log::KeyLog;
pub(crate) use reload::Current;
pub use reload::Reload;
pub(crate) use verify::Refusal;
use verify::{Clients, Servers, WithAlpn};

/// ALPN of the QUIC binding.
pub const QUIC_ALPN: &str = "nnrp/1";

/// ALPN of the TCP binding with TLS.
pub const TCP_ALPN: &str = "nnrp/1-tcp";

/// Names a development certificate is good for.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate, key or trust setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text is not PEM, or holds no certificate or key.
    #[error("{what}: {reason}")]
    Pem {
        /// Which input.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// Which one.
        path: std::path::PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The certificate has expired or is not valid yet: a reload with it would lock everybody out.
    #[error("the certificate cannot be used now: {reason}; renew it, or set the clock")]
    NotValidNow {
        /// Since when, or from when.
        reason: String,
    },
    /// A certificate cannot be checked for this name.
    #[error("{name:?} is neither a host name nor an address")]
    Name {
        /// What was given.
        name: String,
    },
    /// rustls refuses the certificate, the key or a setting.
    #[error("TLS configuration: {0}")]
    Config(String),
}

/// A certificate chain and its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Identity {
    /// From PEM: the chain, leaf first, and a key in PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    ///
    /// [`TlsError::Pem`] naming the input that is wrong, [`TlsError::KeyMismatch`] when the two do not belong together, and
    /// [`TlsError::Config`] when rustls cannot use them.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates("certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|error| TlsError::Pem { what: "private key", reason: error.to_string() })?;
        let identity = Identity { chain, key };
        // Whoever configures a server learns it now, and not when the first client connects.
        ServerTls::from(&identity).config(&[])?;
        Ok(identity)
    }

    /// From PEM files; see [`Identity::from_pem`].
    ///
    /// # Errors
    ///
    /// [`TlsError::File`], and those of [`Identity::from_pem`].
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        private_key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
        };
        Identity::from_pem(&read(certificate.as_ref())?, &read(private_key.as_ref())?)
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(TlsError::Pem { what, reason: "no certificate found".into() }),
        Err(error) => Err(TlsError::Pem { what, reason: error.to_string() }),
    }
}

/// Whom a client believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// The platform's certificate authorities.
    #[default]
    Platform,
    /// These certificates, PEM: authorities, or the very certificate of the server.
    Certificates(Vec<u8>),
    /// Anybody. Whoever answers gets the token.
    DangerAcceptAnyone,
}

/// A certificate for loopback names and a key, both PEM, good for development only.
#[derive(Clone)]
pub struct DevelopmentCertificate {
    /// PEM of the self-signed certificate; also what a client has to trust.
    pub certificate: String,
    /// PEM of the private key (PKCS#8).
    pub private_key: String,
}

impl std::fmt::Debug for DevelopmentCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevelopmentCertificate").field("names", &LOOPBACK_NAMES).finish_non_exhaustive()
    }
}

/// Makes a self-signed certificate for `localhost`, `127.0.0.1` and `::1`.
///
/// # Errors
///
/// [`TlsError::Config`] when the system has no randomness to make a key from.
pub fn development_certificate() -> Result<DevelopmentCertificate, TlsError> {
    let names: Vec<String> = LOOPBACK_NAMES.iter().map(ToString::to_string).collect();
    let made =
        rcgen::generate_simple_self_signed(names).map_err(|error| TlsError::Config(error.to_string()))?;
    Ok(DevelopmentCertificate { certificate: made.cert.pem(), private_key: made.signing_key.serialize_pem() })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn config_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Config(error.to_string())
}

/// Whose certificates a server asks its clients for (mTLS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ClientCertificates {
    /// Nobody's.
    #[default]
    NotAsked,
    /// Those of these authorities, or these very certificates, PEM; a client may come without.
    Requested(Vec<u8>),
    /// Likewise, and nobody comes without.
    Required(Vec<u8>),
}

/// What a listener shows its clients, and what it wants to see of them.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    identity: Identity,
    clients: ClientCertificates,
    key_log: Option<KeyLog>,
}

impl From<Identity> for ServerTls {
    fn from(identity: Identity) -> Self {
        ServerTls { identity, clients: ClientCertificates::NotAsked, key_log: None }
    }
}

impl From<&Identity> for ServerTls {
    fn from(identity: &Identity) -> Self {
        identity.clone().into()
    }
}

impl From<&ServerTls> for ServerTls {
    fn from(tls: &ServerTls) -> Self {
        tls.clone()
    }
}

impl ServerTls {
    /// Asks clients for a certificate. One that is shown must come from `roots` (PEM: authorities, or the very
    /// certificates of clients); a client without one is admitted, and
    /// [`Connection::peer_certificates`](crate::Connection::peer_certificates) is empty for it.
    pub fn request_client_certificates(mut self, roots: impl Into<Vec<u8>>) -> Self {
        self.clients = ClientCertificates::Requested(roots.into());
        self
    }

    /// Admits only clients with a certificate from `roots` (PEM: authorities, or the very certificates of clients).
    pub fn require_client_certificates(mut self, roots: impl Into<Vec<u8>>) -> Self {
        self.clients = ClientCertificates::Required(roots.into());
        self
    }

    /// Writes the secrets of all connections into a file, for debugging.
    pub fn key_log(mut self, file: KeyLog) -> Self {
        self.key_log = Some(file);
        self
    }

    /// Whether its certificate is valid now.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotValidNow`].
    pub fn check_time(&self) -> Result<(), TlsError> {
        match self.identity.chain.first() {
            Some(leaf) => verify::check_time(leaf, clock::calendar(), &provider()),
            None => Ok(()),
        }
    }

    /// A TLS 1.3 configuration with these ALPN protocols and without 0-RTT.
    pub(crate) fn config(&self, alpn: &[String]) -> Result<ServerConfig, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?;
        let builder = match &self.clients {
            ClientCertificates::NotAsked => builder.with_no_client_auth(),
            ClientCertificates::Requested(roots) => {
                builder.with_client_cert_verifier(Arc::new(Clients::new(roots, false, provider.clone())?))
            }
            ClientCertificates::Required(roots) => {
                builder.with_client_cert_verifier(Arc::new(Clients::new(roots, true, provider.clone())?))
            }
        };
        let key =
            CertifiedKey::from_der(self.identity.chain.clone(), self.identity.key.clone_key(), &provider)
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch,
                    other => config_error(other),
                })?;
        let mut config = builder.with_cert_resolver(Arc::new(WithAlpn(Arc::new(key))));
        config.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
        // Replayed frames would be answered twice.
        config.max_early_data_size = 0;
        // Whoever resumes a session is not asked for a certificate again, however old it has become.
        config.send_tls13_tickets = 0;
        if let Some(file) = &self.key_log {
            config.key_log = file.for_rustls();
        }
        Ok(config)
    }
}

/// Whom a client believes, and what it shows a server that asks.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTls {
    trust: Trust,
    identity: Option<Identity>,
    key_log: Option<KeyLog>,
}

impl From<Trust> for ClientTls {
    fn from(trust: Trust) -> Self {
        ClientTls { trust, identity: None, key_log: None }
    }
}

impl From<&Trust> for ClientTls {
    fn from(trust: &Trust) -> Self {
        trust.clone().into()
    }
}

impl From<&ClientTls> for ClientTls {
    fn from(tls: &ClientTls) -> Self {
        tls.clone()
    }
}

impl ClientTls {
    /// Shows `identity` to a server that asks for a certificate (mTLS).
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Writes the secrets of the connection into a file, for debugging.
    pub fn key_log(mut self, file: KeyLog) -> Self {
        self.key_log = Some(file);
        self
    }

    /// A TLS 1.3 configuration for one connection, with these ALPN protocols and without 0-RTT, and the place where
    /// its verifier leaves what it refuses.
    pub(crate) fn config(&self, alpn: &[String]) -> Result<(ClientConfig, Refusal), TlsError> {
        let provider = provider();
        let refusal = Refusal::default();
        let servers = Servers::new(&self.trust, provider.clone(), refusal.clone())?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(config_error)?
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
        config.enable_early_data = false;
        // A configuration lives for one connection: there is nothing to resume.
        config.resumption = Resumption::disabled();
        if let Some(file) = &self.key_log {
            config.key_log = file.for_rustls();
        }
        Ok((config, refusal))
    }
}

/// The name a certificate is checked for: a DNS name, or an address with or without the brackets of a URL.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // A zone says through which interface, not whom.
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name { name: host.to_owned() })
}

/// Certificates as [`Parts`](crate::shared::Parts) wants them.
pub(crate) fn shown(certificates: &[CertificateDer<'static>]) -> Vec<bytes::Bytes> {
    certificates.iter().map(|certificate| bytes::Bytes::copy_from_slice(certificate)).collect()
}
