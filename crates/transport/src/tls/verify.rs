//! Whose certificates are believed: the verifiers of both sides.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::{TlsError, Trust, certificates, config_error};
use crate::clock;

/// What a verifier refused, kept for whoever reports it: QUIC only passes an alert number on.
pub(crate) type Refusal = Arc<OnceLock<Error>>;

/// Signatures of the handshake are checked the same way whoever is believed.
macro_rules! checks_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// A client's view of servers.
#[derive(Debug)]
pub(super) struct Servers {
    belief: Belief,
    refusal: Refusal,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Belief {
    /// The platform's authorities.
    Platform(Arc<dyn ServerCertVerifier>),
    /// The given authorities, and the given certificates themselves.
    Named { named: Vec<CertificateDer<'static>>, authorities: Option<Arc<WebPkiServerVerifier>> },
    /// Whoever holds the key of the certificate it shows.
    Anyone,
}

impl Servers {
    pub(super) fn new(
        trust: &Trust,
        provider: Arc<CryptoProvider>,
        refusal: Refusal,
    ) -> Result<Self, TlsError> {
        let belief = match trust {
            Trust::Platform => {
                let verifier =
                    rustls_platform_verifier::Verifier::new(provider.clone()).map_err(config_error)?;
                Belief::Platform(Arc::new(verifier))
            }
            Trust::Certificates(pem) => {
                let named = certificates("trusted certificates", pem)?;
                let authorities = roots(&named, &provider).map(|roots| {
                    WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()
                });
                Belief::Named { named, authorities: authorities.transpose().map_err(config_error)? }
            }
            Trust::DangerAcceptAnyone => Belief::Anyone,
        };
        Ok(Servers { belief, refusal, provider })
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_chain = |verifier: &dyn ServerCertVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let (named, authorities) = match &self.belief {
            Belief::Anyone => return Ok(ServerCertVerified::assertion()),
            Belief::Platform(verifier) => return by_chain(verifier.as_ref()),
            Belief::Named { named, authorities } => (named, authorities),
        };
        let verified = match authorities {
            Some(verifier) => by_chain(verifier.as_ref()),
            None => Err(without_authorities(end_entity, now, &self.provider)),
        };
        verified.map_err(stranger).or_else(|error| {
            believe_named(named, end_entity, error)?;
            // Its names still have to fit.
            rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            Ok(ServerCertVerified::assertion())
        })
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.check(end_entity, intermediates, server_name, ocsp_response, now);
        if let Err(error) = &verdict {
            let _ = self.refusal.set(error.clone());
        }
        verdict
    }

    checks_signatures!();
}

/// A server's view of clients: the given authorities, and the given certificates themselves.
#[derive(Debug)]
pub(super) struct Clients {
    named: Vec<CertificateDer<'static>>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl Clients {
    pub(super) fn new(pem: &[u8], mandatory: bool, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let named = certificates("trusted client certificates", pem)?;
        let authorities = roots(&named, &provider)
            .map(|roots| WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build());
        Ok(Clients {
            named,
            authorities: authorities.transpose().map_err(config_error)?,
            mandatory,
            provider,
        })
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = match &self.authorities {
            Some(authorities) => authorities.verify_client_cert(end_entity, intermediates, now),
            None => Err(without_authorities(end_entity, now, &self.provider)),
        };
        verified.map_err(stranger).or_else(|error| {
            believe_named(&self.named, end_entity, error)?;
            Ok(ClientCertVerified::assertion())
        })
    }

    checks_signatures!();
}

fn roots(named: &[CertificateDer<'static>], provider: &CryptoProvider) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let authorities = named.iter().filter(|certificate| is_authority(certificate, provider));
    let (usable, _) = roots.add_parsable_certificates(authorities.cloned());
    (usable > 0).then(|| Arc::new(roots))
}

/// Whether a certificate may sign others: it says so, or is of a version that cannot. Naming one that may not is believing
/// that one alone: whoever has its key must not become an authority for every other name.
fn is_authority(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> bool {
    use CertificateError as E;
    let mut at = clock::calendar();
    for _ in 0..2 {
        let Error::InvalidCertificate(error) = without_authorities(certificate, at, provider) else {
            return true;
        };
        match error {
            // Time is looked at first, so once more at a time when it was good.
            E::ExpiredContext { not_after, .. } => at = not_after,
            E::NotValidYetContext { not_before, .. } => at = not_before,
            // Good to be shown, but for who signed it and for which of the two sides it is.
            E::UnknownIssuer | E::InvalidPurpose | E::InvalidPurposeContext { .. } => return false,
            _ => return true,
        }
    }
    true
}

/// Why a certificate is not believed where nobody is: its time first, then whether it is one to be shown at all.
fn without_authorities(certificate: &CertificateDer<'_>, now: UnixTime, provider: &CryptoProvider) -> Error {
    let verdict = ParsedCertificate::try_from(certificate).and_then(|parsed| {
        let nobody = RootCertStore::empty();
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms)
    });
    verdict.err().unwrap_or_else(|| CertificateError::UnknownIssuer.into())
}

/// A self-signed certificate that is named needs no authority, marked as one or not; an expired one stays refused.
///
/// # Errors
///
/// `error`, the one that the chain led to.
fn believe_named(
    named: &[CertificateDer<'static>],
    end_entity: &CertificateDer<'_>,
    error: Error,
) -> Result<(), Error> {
    let known = named.iter().any(|known| known.as_ref() == end_entity.as_ref());
    if !known || error_of_time(&error).is_some() { Err(error) } else { Ok(()) }
}

/// An authority of the right name and with another key is another authority: somebody has made theirs anew.
fn stranger(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => CertificateError::UnknownIssuer.into(),
        other => other,
    }
}

/// Whether a certificate was refused because its time is over (`true`) or has not begun (`false`).
fn error_of_time(error: &Error) -> Option<bool> {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Some(true),
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => Some(false),
        _ => None,
    }
}

/// Whether a certificate of ours can be shown to anybody at `now`.
///
/// # Errors
///
/// [`TlsError::NotValidNow`]: it has expired, or is not valid yet.
pub(super) fn check_time(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(), TlsError> {
    ParsedCertificate::try_from(certificate).map_err(config_error)?;
    let error = without_authorities(certificate, now, provider);
    match error_of_time(&error) {
        Some(_) => Err(TlsError::NotValidNow { reason: error.to_string() }),
        None => Ok(()),
    }
}

/// Shows the certificate to clients that offer an ALPN protocol. Others would get past TLS, where rustls has nothing to
/// compare (R-TCP-1, R-QUIC-1).
#[derive(Debug)]
pub(super) struct WithAlpn(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for WithAlpn {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.alpn().is_some().then(|| self.0.clone())
    }
}
