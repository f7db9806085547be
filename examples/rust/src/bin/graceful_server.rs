//! Goes away without losing a frame: on Ctrl-C or SIGTERM it takes nothing new, answers what it has, and says what became of it.
//!
//! ```text
//! cargo run -p nnrp-examples --bin graceful_server -- [PORT] [MILLISECONDS_A_FRAME]
//! ```
#![allow(clippy::print_stdout, reason = "the program says what it does")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nnrp::{Listener, Outcome, ServerConfig, ServerSession};
use nnrp_examples::{Arguments, Failure, told_to_end};

/// How long frames that were taken may go on. Shorter than what a service manager grants before it kills: systemd waits 90 s.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::of("graceful_server [PORT] [MILLISECONDS_A_FRAME]");
    let port: u16 = arguments.optional()?.unwrap_or(4433);
    let work = Duration::from_millis(arguments.optional()?.unwrap_or(200));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = Listener::bind_tcp(address, ServerConfig::new().max_concurrent_frames(64)).await?;
    println!("listening on port {}", listener.local_addr().port());

    let accepting = listener.clone();
    let sessions = tokio::spawn(async move {
        while let Some(session) = accepting.accept().await {
            tokio::spawn(serve(session, work));
        }
    });
    told_to_end().await?;
    println!("ending");
    // Handlers go on as if nothing had happened. Clients are asked to submit nothing more; who does, or comes now, is told
    // that the server is busy, and goes to another one.
    let drained = listener.drain(PATIENCE, "the server is being replaced").await;
    sessions.await?;
    println!("answered {} dropped {} refused {}", drained.answered, drained.dropped, drained.refused);
    Ok(())
}

async fn serve(session: ServerSession, work: Duration) {
    while let Ok(Some(submit)) = session.recv().await {
        tokio::spawn(async move {
            tokio::time::sleep(work).await;
            let answer = Outcome::complete().sections(submit.sections());
            let _ = submit.reply(answer).await;
        });
    }
}
