//! One development certificate for every server of a run, so that none has a cheaper handshake or cipher than another.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// The name it is for.
pub(crate) const SERVER_NAME: &str = "localhost";

const CERTIFICATE: &str = "certificate.pem";
const PRIVATE_KEY: &str = "private_key.pem";

/// Makes one and writes `certificate.pem` and `private_key.pem` into `directory`.
pub(crate) fn write(directory: Option<String>) -> Result<(), Error> {
    let directory = directory.ok_or("certificate DIRECTORY")?;
    let directory = Path::new(&directory);
    let made = nnrp::development_certificate()?;
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join(CERTIFICATE), made.certificate.as_bytes())?;
    std::fs::write(directory.join(PRIVATE_KEY), made.private_key.as_bytes())?;
    Ok(())
}

/// What a server of ours shows.
pub(crate) fn identity(directory: &Path) -> Result<nnrp::Identity, Error> {
    let certificate = std::fs::read(directory.join(CERTIFICATE))?;
    let private_key = std::fs::read(directory.join(PRIVATE_KEY))?;
    Ok(nnrp::Identity::from_pem(&certificate, &private_key)?)
}

/// Whom a client of ours believes.
pub(crate) fn trust(directory: &Path) -> Result<nnrp::Trust, Error> {
    Ok(nnrp::Trust::Certificates(std::fs::read(directory.join(CERTIFICATE))?))
}

/// The same for the floor's servers.
pub(crate) fn server(directory: &Path, alpn: &[u8]) -> Result<rustls::ServerConfig, Error> {
    let chain = certificates(directory)?;
    let private_key = PrivateKeyDer::from_pem_file(directory.join(PRIVATE_KEY))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// The same for its clients.
pub(crate) fn client(directory: &Path, alpn: &[u8]) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(directory)? {
        roots.add(certificate)?;
    }
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

fn certificates(directory: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    Ok(CertificateDer::pem_file_iter(directory.join(CERTIFICATE))?.collect::<Result<_, _>>()?)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
