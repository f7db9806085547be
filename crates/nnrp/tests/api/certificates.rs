//! Certificates for tests: authorities, and whom they sign.

use nnrp::{Identity, ServerTls, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

/// An authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// When a certificate is good.
#[derive(Clone, Copy)]
pub(crate) enum When {
    Now,
    Before,
    Later,
}

/// A certificate and its key, PEM.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) private_key: String,
}

impl Pem {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(self.certificate.as_bytes(), self.private_key.as_bytes()).unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::Certificates(self.certificate.clone().into_bytes())
    }
}

fn params(name: &str, when: When) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    match when {
        When::Now => {}
        When::Before => params.not_after = date_time_ymd(2001, 1, 1),
        When::Later => params.not_before = date_time_ymd(4000, 1, 1),
    }
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = params("authority.example", When::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::Certificates(self.pem())
    }

    pub(crate) fn sign(&self, name: &str, when: When) -> Pem {
        let key = KeyPair::generate().unwrap();
        let signed = params(name, when).signed_by(&key, &self.0).unwrap();
        Pem { certificate: signed.pem(), private_key: key.serialize_pem() }
    }

    /// A server for `localhost`.
    pub(crate) fn server(&self) -> ServerTls {
        self.sign("localhost", When::Now).identity().into()
    }
}

/// A certificate that nobody else signed; `authority` marks it as one.
pub(crate) fn self_signed(name: &str, when: When, authority: bool) -> Pem {
    let mut params = params(name, when);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    Pem { certificate, private_key: key.serialize_pem() }
}

/// A certificate that nobody else signed and that is no authority, and one for `other` that its key has signed.
pub(crate) fn self_signed_and_signing(name: &str, when: When, other: &str) -> (Pem, Pem) {
    let named = CertifiedIssuer::self_signed(params(name, when), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = params(other, When::Now).signed_by(&key, &named).unwrap();
    (
        Pem { certificate: named.pem(), private_key: named.key().serialize_pem() },
        Pem { certificate: signed.pem(), private_key: key.serialize_pem() },
    )
}
