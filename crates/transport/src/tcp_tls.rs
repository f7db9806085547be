//! The TLS handshake of the TCP binding, and how it ends when it fails: the peer gets to read why.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

use crate::socket::Socket;
use crate::tls::{Failure, TlsFault};

/// How long a refused peer may take to close, and what it may still send meanwhile: a hello that was under way. Closing
/// at once would reset the connection and destroy the alert.
const ALERT_TIME: Duration = Duration::from_secs(1);
const ALERT_BYTES: usize = 256 * 1024;

/// Does a server's handshake.
pub(crate) async fn accept(
    stream: Socket,
    config: Arc<ServerConfig>,
) -> Result<server::TlsStream<Socket>, Failure> {
    let mut hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let start = match (&mut hello).await {
        Ok(start) => start,
        Err(error) => {
            if let Some(stream) = hello.take_io() {
                let_alert_arrive(stream).await;
            }
            return Err(Failure::of_io(&error));
        }
    };
    // rustls lets those pass who offer nothing; the certificate resolver does not, but cannot say why.
    let offers_alpn = start.client_hello().alpn().is_some();
    match start.into_stream(config).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            let_alert_arrive(stream).await;
            if !offers_alpn {
                return Err(Failure::new(TlsFault::Alpn, "the client offers no ALPN protocol (R-TCP-1)"));
            }
            Err(Failure::of_io(&error))
        }
    }
}

/// Does a client's handshake.
pub(crate) async fn connect(
    stream: Socket,
    name: ServerName<'static>,
    config: ClientConfig,
) -> Result<client::TlsStream<Socket>, Failure> {
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = connecting.await.map_err(|error| Failure::of_io(&error))?;
    if stream.get_ref().1.alpn_protocol().is_none() {
        return Err(Failure::new(
            TlsFault::Alpn,
            "the server chose no ALPN protocol (R-TCP-1): it speaks TLS, but not NNRP",
        ));
    }
    Ok(stream)
}

async fn let_alert_arrive(mut stream: Socket) {
    let farewell = async {
        stream.shutdown().await?;
        let mut scratch = [0; 4096];
        let mut left = ALERT_BYTES;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(ALERT_TIME, farewell).await;
}
