//! Certificates that are exchanged while a listener listens.

use nnrp::{
    ClientConfig, ClientSession, ClientTls, Identity, Listener, Reply, ServerConfig, ServerSession,
    ServerTls, TlsError,
};

use super::certificates::{Authority, Pem, When};
use super::harness::{Kind, dial, frame, listen, soon, text_of, text_result};

async fn session(kind: Kind, listener: &Listener, tls: ClientTls) -> (ClientSession, ServerSession) {
    let dialling = dial(kind, listener.local_addr(), tls, ClientConfig::new());
    let (dialled, accepted) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    (dialled.unwrap(), accepted.unwrap())
}

async fn works((client, server): &(ClientSession, ServerSession), frame_id: u32) {
    client.send(&frame(frame_id)).await.unwrap();
    let submit = soon("a frame", server.recv()).await.unwrap().unwrap();
    submit.reply(text_result(frame_id, "still here")).await.unwrap();
    let reply: Reply = soon("a result", client.receive()).await.unwrap();
    assert_eq!(text_of(&reply), "still here");
}

pub(crate) async fn the_next_handshake_sees_the_new_certificate_and_sessions_live_on(kind: Kind) {
    let (old, new) = (Authority::new(), Authority::new());
    let listener = listen(kind, old.server(), ServerConfig::new()).await;
    let before = session(kind, &listener, old.trust().into()).await;
    works(&before, 1).await;
    listener.reload_tls(new.server()).unwrap();
    let after = session(kind, &listener, new.trust().into()).await;
    assert_ne!(before.0.peer_certificates(), after.0.peer_certificates());
    let refused = dial(kind, listener.local_addr(), old.trust(), ClientConfig::new()).await;
    assert!(refused.is_err(), "the old certificate is still in use");
    works(&before, 2).await;
    works(&after, 1).await;
}

pub(crate) async fn a_bad_certificate_leaves_the_old_one_in_use(kind: Kind) {
    let authority = Authority::new();
    let listener = listen(kind, authority.server(), ServerConfig::new()).await;
    let expired: ServerTls = authority.sign("localhost", When::Before).identity().into();
    let failed = listener.reload_tls(expired);
    assert!(matches!(failed, Err(TlsError::NotValidNow { .. })), "{failed:?}");
    let later: ServerTls = authority.sign("localhost", When::Later).identity().into();
    assert!(matches!(listener.reload_tls(later), Err(TlsError::NotValidNow { .. })));
    let failed = listener.reload_tls(authority.server().require_client_certificates("not PEM"));
    assert!(matches!(failed, Err(TlsError::Pem { .. })), "{failed:?}");
    works(&session(kind, &listener, authority.trust().into()).await, 1).await;

    // What does not even make an identity says which part is wrong.
    let Pem { certificate, private_key } = authority.sign("localhost", When::Now);
    let other = authority.sign("localhost", When::Now).private_key;
    let made = |certificate: &str, key: &str| Identity::from_pem(certificate.as_bytes(), key.as_bytes());
    assert!(matches!(made(&certificate, &other), Err(TlsError::KeyMismatch)));
    for (certificate, key, wrong) in [
        ("", private_key.as_str(), "certificate"),
        (certificate.as_str(), "", "private key"),
        (certificate.as_str(), certificate.as_str(), "private key"),
    ] {
        match made(certificate, key) {
            Err(TlsError::Pem { what, .. }) => assert_eq!(what, wrong),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn whose_clients_are_believed_is_reloaded_too(kind: Kind) {
    let (server, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let tls = server.server();
    let listener =
        listen(kind, tls.clone().require_client_certificates(old.pem()), ServerConfig::new()).await;
    let shown = |authority: &Authority| {
        ClientTls::from(server.trust()).identity(authority.sign("camera-7", When::Now).identity())
    };
    let before = session(kind, &listener, shown(&old)).await;
    listener.reload_tls(tls.require_client_certificates(new.pem())).unwrap();
    let refused = tokio::select! {
        dialled = dial(kind, listener.local_addr(), shown(&old), ClientConfig::new()) => dialled,
        _ = listener.accept() => panic!("admitted"),
    };
    assert!(refused.is_err());
    works(&session(kind, &listener, shown(&new)).await, 1).await;
    works(&before, 1).await;
}
