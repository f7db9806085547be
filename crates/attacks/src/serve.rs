//! What runs in the victim's process: a listener, and answers about memory on standard output.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nnrp::wire::{ResultFrame, TypedPayload};
use nnrp::{Identity, Listener, ServerConfig, ServerSession, development_certificate};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::watch;

use crate::victim::{Kind, Mode};
use crate::{Result, counting};

/// Bytes of a result in [`Mode::Lavish`].
pub(crate) const LAVISH_BYTES: usize = 1024 * 1024;

/// Serves until standard input ends. The first line on standard output is `ADDRESS CERTIFICATE`, the certificate's PEM in
/// hexadecimal; then one line for each line that is read.
///
/// # Errors
///
/// Those of binding and of standard input and output.
pub async fn serve(kind: Kind, mode: Mode, handshake_timeout: Duration) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = ServerConfig::new().handshake_timeout(handshake_timeout);
    let made = development_certificate()?;
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes())?;
    let listener = match kind {
        Kind::Tcp => Listener::bind_tcp(address, config).await?,
        Kind::Tls => Listener::bind_tcp_tls(address, &identity, config).await?,
        Kind::Quic => Listener::bind_quic(address, &identity, config).await?,
    };
    let certificate = hex(made.certificate.as_bytes());
    let mut output = tokio::io::stdout();
    output.write_all(format!("{} {certificate}\n", listener.local_addr()).as_bytes()).await?;
    output.flush().await?;

    let sessions = Arc::new(AtomicUsize::new(0));
    let leaving = watch::Sender::new(false);
    tokio::spawn(accept(listener, mode, sessions.clone(), leaving.subscribe()));
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    while let Some(question) = questions.next_line().await? {
        match question.as_str() {
            "reset" => counting::reset_peak(),
            "leave" => drop(leaving.send_replace(true)),
            _ => {}
        }
        output.write_all(format!("{}\n", state(&sessions)).as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

async fn accept(
    listener: Listener,
    mode: Mode,
    sessions: Arc<AtomicUsize>,
    mut leaving: watch::Receiver<bool>,
) {
    if mode == Mode::Raw {
        let mut held = Vec::new();
        loop {
            tokio::select! {
                connection = listener.accept_connection() => held.push(connection),
                _ = leaving.changed() => held.clear(),
            }
        }
    }
    while let Some(session) = listener.accept().await {
        let (sessions, mut leaving) = (sessions.clone(), leaving.clone());
        sessions.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            match mode {
                Mode::Echo => answer(&session, None).await,
                Mode::Lavish => answer(&session, Some(LAVISH_BYTES)).await,
                // An application that does not read sees no more of its peer than that.
                _ => tokio::select! {
                    _ = session.closed() => {}
                    _ = leaving.wait_for(|leaving| *leaving) => {}
                },
            }
            drop(session);
            sessions.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Answers each frame with its own sections, or with so many bytes.
async fn answer(session: &ServerSession, bytes: Option<usize>) {
    while let Ok(Some(submit)) = session.recv().await {
        let result = match bytes {
            None => ResultFrame {
                sections: submit.sections().map(Into::into).collect(),
                ..ResultFrame::default()
            },
            Some(bytes) => ResultFrame {
                typed_payloads: vec![TypedPayload::opaque_bytes(vec![1; bytes])],
                ..ResultFrame::default()
            },
        };
        let _ = submit.reply(result).await;
    }
}

fn state(sessions: &AtomicUsize) -> String {
    format!(
        "{} {} {} {} {} {}",
        counting::held(),
        counting::peak(),
        resident(),
        std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        sessions.load(Ordering::Relaxed),
    )
}

/// Bytes of physical memory, where the system says so.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
