//! mTLS: whom a server believes.

use nnrp::{ClientConfig, ClientTls, DialError, HandshakeError, Identity, ServerConfig, ServerTls, TlsFault};

use super::certificates::{Authority, Pem, When, self_signed, self_signed_and_signing};
use super::harness::{Kind, dial, listen, soon};

fn der(pem: &Pem) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap().to_vec()
}

fn client(authority: &Authority, shown: &Pem) -> ClientTls {
    ClientTls::from(authority.trust()).identity(shown.identity())
}

pub(crate) async fn both_ends_read_the_other_ones_certificate(kind: Kind) {
    let authority = Authority::new();
    let (ours, theirs) = (authority.sign("localhost", When::Now), authority.sign("camera-7", When::Now));
    let tls = ServerTls::from(ours.identity()).require_client_certificates(authority.pem());
    let listener = listen(kind, tls, ServerConfig::new()).await;
    let dialling = dial(kind, listener.local_addr(), client(&authority, &theirs), ClientConfig::new());
    let (dialled, accepted) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
    assert_eq!(dialled.peer_certificates(), [der(&ours)]);
    assert_eq!(accepted.peer_certificates(), [der(&theirs)]);
    assert_eq!(accepted.hello().peer_certificates, [der(&theirs)]);
}

pub(crate) async fn the_authentication_reads_the_certificate(kind: Kind) {
    let authority = Authority::new();
    let (known, other) = (authority.sign("camera-7", When::Now), authority.sign("camera-8", When::Now));
    let expected = der(&known);
    let config = ServerConfig::new().authenticate(move |hello| {
        let fits = hello.peer_certificates.first().is_some_and(|shown| *shown == expected);
        async move { fits }
    });
    let tls = authority.server().require_client_certificates(authority.pem());
    let listener = listen(kind, tls, config).await;
    let address = listener.local_addr();
    let dialling = async {
        let refused = dial(kind, address, client(&authority, &other), ClientConfig::new()).await;
        assert!(matches!(refused, Err(DialError::Handshake(HandshakeError::Refused(_)))), "{refused:?}");
        dial(kind, address, client(&authority, &known), ClientConfig::new()).await.unwrap()
    };
    let (_client, accepted) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    assert!(accepted.is_some());
}

/// Dials a listener that requires certificates of `authority` and does not admit this client; what it is told.
async fn told(kind: Kind, authority: &Authority, shown: Option<Identity>) -> (TlsFault, String) {
    let tls = authority.server().require_client_certificates(authority.pem());
    refused(kind, authority, tls, shown).await
}

/// The same at a listener with this configuration.
async fn refused(
    kind: Kind,
    authority: &Authority,
    tls: ServerTls,
    shown: Option<Identity>,
) -> (TlsFault, String) {
    let listener = listen(kind, tls, ServerConfig::new()).await;
    let mut client = ClientTls::from(authority.trust());
    if let Some(shown) = shown {
        client = client.identity(shown);
    }
    for _ in 0..5 {
        let dialling = dial(kind, listener.local_addr(), client.clone(), ClientConfig::new());
        let dialled = tokio::select! {
            dialled = soon("a refusal", dialling) => dialled,
            _ = listener.accept() => panic!("admitted"),
        };
        let (fault, text) = match dialled.expect_err("admitted") {
            DialError::Handshake(HandshakeError::Closed(closed)) => (closed.tls_fault(), closed.to_string()),
            DialError::Connect(error) => (error.tls_fault(), error.to_string()),
            error => panic!("{error:?}"),
        };
        match fault {
            Some(fault) => return (fault, text),
            // Our process stood still. The listener forgot the client as soon as it had told it why, and answered what still came
            // from it with a stateless reset. Of two that arrive together quinn keeps the last.
            None => assert!(kind == Kind::Quic && text.contains("reset by peer"), "{text}"),
        }
    }
    panic!("always a reset");
}

pub(crate) async fn a_client_without_the_required_certificate_learns_why(kind: Kind) {
    let (fault, text) = told(kind, &Authority::new(), None).await;
    assert_eq!(fault, TlsFault::ClientCertificateRequired, "{text}");
    assert!(text.contains("give one to connect with"), "{text}");
}

pub(crate) async fn a_client_certificate_of_a_stranger_is_refused(kind: Kind) {
    let stranger = Authority::new().sign("camera-7", When::Now);
    let (fault, text) = told(kind, &Authority::new(), Some(stranger.identity())).await;
    assert_eq!(fault, TlsFault::UnknownAuthority, "{text}");
    assert!(text.contains("does not trust the authority of our certificate"), "{text}");
}

pub(crate) async fn an_expired_client_certificate_is_refused(kind: Kind) {
    let authority = Authority::new();
    let (fault, text) =
        told(kind, &authority, Some(authority.sign("camera-7", When::Before).identity())).await;
    assert_eq!(fault, TlsFault::Expired, "{text}");
    assert!(text.contains("our certificate has to be renewed"), "{text}");
}

pub(crate) async fn a_requested_certificate_may_be_missing(kind: Kind) {
    let authority = Authority::new();
    let tls = authority.server().request_client_certificates(authority.pem());
    let listener = listen(kind, tls, ServerConfig::new()).await;
    let shown = authority.sign("camera-7", When::Now);
    for (client, certificates) in [(ClientTls::from(authority.trust()), 0), (client(&authority, &shown), 1)] {
        let dialling = dial(kind, listener.local_addr(), client, ClientConfig::new());
        let (dialled, accepted) =
            soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
        assert!(dialled.is_ok());
        assert_eq!(accepted.unwrap().peer_certificates().len(), certificates);
    }
}

pub(crate) async fn a_self_signed_client_certificate_that_is_named_is_believed(kind: Kind) {
    let authority = Authority::new();
    for marked in [false, true] {
        let named = self_signed("camera-7", When::Now, marked);
        let tls = authority.server().require_client_certificates(named.certificate.clone());
        let listener = listen(kind, tls, ServerConfig::new()).await;
        let dialling = dial(kind, listener.local_addr(), client(&authority, &named), ClientConfig::new());
        let (dialled, accepted) =
            soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
        assert!(dialled.is_ok());
        assert_eq!(accepted.unwrap().peer_certificates(), [der(&named)]);
    }
}

pub(crate) async fn naming_a_certificate_believes_nobody_it_signs(kind: Kind) {
    let authority = Authority::new();
    for when in [When::Now, When::Before, When::Later] {
        let (named, signed) = self_signed_and_signing("camera-7", when, "admin");
        let tls = authority.server().require_client_certificates(named.certificate.clone());
        let (fault, text) = refused(kind, &authority, tls, Some(signed.identity())).await;
        assert_eq!(fault, TlsFault::UnknownAuthority, "{text}");
        // Beside an authority, too.
        let both = [authority.pem(), named.certificate.into_bytes()].concat();
        let tls = authority.server().require_client_certificates(both);
        let (fault, text) = refused(kind, &authority, tls, Some(signed.identity())).await;
        assert_eq!(fault, TlsFault::UnknownAuthority, "{text}");
    }
}

pub(crate) async fn a_named_certificate_that_has_expired_is_refused(kind: Kind) {
    let authority = Authority::new();
    for marked in [false, true] {
        let named = self_signed("camera-7", When::Before, marked);
        let tls = authority.server().require_client_certificates(named.certificate.clone());
        let (fault, text) = refused(kind, &authority, tls, Some(named.identity())).await;
        assert_eq!(fault, TlsFault::Expired, "{text}");
    }
}
