//! Certificates and addresses, as `nnrp.adapters` passes them.

use std::path::PathBuf;

use nnrp::{Address, ClientTls, Identity, KeyLog, Scheme, ServerTls, TlsFault, Trust};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors;

/// What a listener shows and wants to see: certificate, private key, roots of client certificates (`None`: clients are
/// not asked for one), all PEM; whether a client must have one; where secrets are written.
pub(crate) type ServerSide = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, bool, Option<PathBuf>);

/// Whom a client believes, and what it shows: the name to verify, roots (`None`: the platform's), whether to verify,
/// certificate and key of its own, all PEM; where secrets are written.
pub(crate) type ClientSide = (String, Option<Vec<u8>>, bool, Option<(Vec<u8>, Vec<u8>)>, Option<PathBuf>);

pub(crate) fn server_tls(
    (certificate, private_key, roots, required, key_log): ServerSide,
) -> PyResult<ServerTls> {
    let mut tls = ServerTls::from(identity(&certificate, &private_key)?);
    if let Some(path) = key_log {
        tls = tls.key_log(KeyLog::append_to(path)?);
    }
    Ok(match roots {
        None => tls,
        Some(roots) if required => tls.require_client_certificates(roots),
        Some(roots) => tls.request_client_certificates(roots),
    })
}

/// The name to verify, and the rest.
pub(crate) fn client_tls(
    (server_name, roots, verify, shown, key_log): ClientSide,
) -> PyResult<(String, ClientTls)> {
    let mut tls = ClientTls::from(match roots {
        _ if !verify => Trust::DangerAcceptAnyone,
        Some(roots) => Trust::Certificates(roots),
        None => Trust::Platform,
    });
    if let Some(path) = key_log {
        tls = tls.key_log(KeyLog::append_to(path)?);
    }
    let tls = match shown {
        None => tls,
        Some((certificate, private_key)) => tls.identity(identity(&certificate, &private_key)?),
    };
    Ok((server_name, tls))
}

fn identity(certificate: &[u8], private_key: &[u8]) -> PyResult<Identity> {
    Identity::from_pem(certificate, private_key).map_err(|error| errors::tls(&error))
}

/// Certificates as Python gets them: DER, the peer's own first.
pub(crate) fn shown<'py>(py: Python<'py>, certificates: &[bytes::Bytes]) -> Vec<Bound<'py, PyBytes>> {
    certificates.iter().map(|certificate| PyBytes::new(py, certificate)).collect()
}

/// Raises `ValueError` unless certificate and key, PEM, belong in a TLS configuration.
#[pyfunction]
pub(crate) fn check_identity(certificate: &[u8], private_key: &[u8]) -> PyResult<()> {
    identity(certificate, private_key).map(drop)
}

/// Certificate and key, PEM, for loopback names.
#[pyfunction]
pub(crate) fn development_certificate<'py>(
    py: Python<'py>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let made = nnrp::development_certificate().map_err(|error| errors::tls(&error))?;
    Ok((PyBytes::new(py, made.certificate.as_bytes()), PyBytes::new(py, made.private_key.as_bytes())))
}

/// Whether an address asks for TLS, its host and its port; raises `ValueError` for what is no address.
#[pyfunction]
pub(crate) fn parse_address(text: &str) -> PyResult<(bool, String, u16)> {
    let address: Address = text.parse().map_err(|error| PyValueError::new_err(format!("{error}")))?;
    Ok((address.scheme() == Scheme::Tls, address.host().to_owned(), address.port()))
}

/// The names of what can be wrong with TLS.
#[pyfunction]
pub(crate) fn tls_faults() -> Vec<&'static str> {
    TlsFault::NAMES.iter().map(|(_, name)| *name).collect()
}
