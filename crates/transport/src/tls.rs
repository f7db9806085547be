//! TLS for both bindings: rustls with the aws-lc provider passed explicitly, never installed process-wide.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// ALPN of the QUIC binding.
pub const QUIC_ALPN: &str = "nnrp/1";

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
    /// rustls refuses the certificate, the key or a setting.
    #[error("TLS configuration: {0}")]
    Config(String),
}

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
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
        server_config(&identity, &[])?;
        Ok(identity)
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

/// A TLS 1.3 server configuration with these ALPN protocols and without 0-RTT.
pub(crate) fn server_config(identity: &Identity, alpn: &[String]) -> Result<ServerConfig, TlsError> {
    let identity = identity.clone();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(config_error)?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch,
            other => config_error(other),
        })?;
    config.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
    // Replayed frames would be answered twice.
    config.max_early_data_size = 0;
    Ok(config)
}

/// A TLS 1.3 client configuration with these ALPN protocols and without 0-RTT.
pub(crate) fn client_config(trust: &Trust, alpn: &[String]) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(config_error)?;
    let mut config = match trust {
        Trust::Platform => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(config_error)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        Trust::Certificates(pem) => {
            let trusted = certificates("trusted certificates", pem)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned::new(trusted, provider)?))
                .with_no_client_auth()
        }
        Trust::DangerAcceptAnyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyone(provider)))
            .with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
    config.enable_early_data = false;
    Ok(config)
}

/// Believes the given authorities, and the given certificates themselves: a self-signed server certificate
/// that is not marked as an authority verifies when it is named, for the names and the time it is made for.
#[derive(Debug)]
struct Pinned {
    trusted: Vec<CertificateDer<'static>>,
    chain: Option<Arc<rustls::client::WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(trusted: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(trusted.iter().cloned());
        let chain = if usable == 0 {
            None
        } else {
            let built = rustls::client::WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots),
                provider.clone(),
            )
            .build();
            Some(built.map_err(config_error)?)
        };
        Ok(Pinned { trusted, chain, provider })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = match &self.chain {
            Some(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        };
        let Err(error) = verified else { return verified };
        if !self.trusted.iter().any(|known| known.as_ref() == end_entity.as_ref()) {
            return Err(error);
        }
        // The very certificate was named, so no chain is needed; its names still have to fit. An expired one
        // stays refused.
        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_name(&parsed, server_name)?;
        match error {
            rustls::Error::InvalidCertificate(
                rustls::CertificateError::Expired
                | rustls::CertificateError::ExpiredContext { .. }
                | rustls::CertificateError::NotValidYet
                | rustls::CertificateError::NotValidYetContext { .. },
            ) => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks that the peer holds the key of the certificate it shows, and nothing about whose it is.
#[derive(Debug)]
struct AcceptAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
