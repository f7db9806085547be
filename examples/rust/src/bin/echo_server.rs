//! Sends every tensor back, over QUIC, over TCP with TLS, and over plain TCP, all with one handler.
//!
//! ```text
//! cargo run -p nnrp-examples --bin echo_server -- CERTIFICATE_OUT [FIRST_PORT]
//! ```
//!
//! The certificate is for this machine's loopback names only; clients read it from the file. Port 0 takes any free ports. A real
//! server loads its own: `Identity::from_pem_files("cert.pem", "key.pem")`.
//!
//! What a server does whose model takes longer is here, too: it bounds what is computed at once, and tells clients that submit
//! more.
#![allow(clippy::print_stdout, reason = "the program says where it listens")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nnrp::wire::{
    FlowUpdateMetadata, ResultHintCongestionState, ResultHintMetadata, ResultHintReason, Section,
};
use nnrp::{Listener, Outcome, ServerConfig, ServerSession, Submit};
use nnrp_examples::{Arguments, Failure, development_identity};
use tokio::sync::Semaphore;

/// Frames that one session may have computed at once.
const AT_ONCE: u16 = 8;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::of("echo_server CERTIFICATE_OUT [FIRST_PORT]");
    let certificate: PathBuf = arguments.required()?;
    let first: u16 = arguments.optional()?.unwrap_or(4433);
    let at =
        |offset: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, if first == 0 { 0 } else { first + offset }));

    let identity = development_identity(&certificate)?;
    let config = ServerConfig::new()
        .max_concurrent_frames(AT_ONCE)
        .model_name("echo")
        .authenticate(|hello| async move { hello.hello.auth_block != "a bad token" });
    let quic = Listener::bind_quic(at(0), &identity, config.clone()).await?;
    let tls = Listener::bind_tcp_tls(at(1), &identity, config.clone()).await?;
    let plain = Listener::bind_tcp(at(2), config).await?;
    println!("quic {} tls {} tcp {}", quic.local_addr(), tls.local_addr(), plain.local_addr());
    loop {
        let session = tokio::select! {
            session = quic.accept() => session,
            session = tls.accept() => session,
            session = plain.accept() => session,
        };
        let Some(session) = session else { return Ok(()) };
        tokio::spawn(async move {
            let ended = serve(&session).await;
            println!("session {} over {}: {ended:?}", session.id(), session.transport());
        });
    }
}

async fn serve(session: &ServerSession) -> Result<(), Failure> {
    let gate = Arc::new(Semaphore::new(AT_ONCE.into()));
    // `None`: the client said goodbye. An error: it was lost.
    while let Some(submit) = session.recv().await? {
        let Ok(permit) = gate.clone().try_acquire_owned() else {
            submit.reject(ResultHintReason::QueueFull).await?;
            session.hint(ResultHintMetadata::congestion(ResultHintCongestionState::Saturated)).await?;
            session.flow_update(FlowUpdateMetadata::pause().retry_after(Duration::from_millis(20))).await?;
            continue;
        };
        tokio::spawn(async move {
            answer(submit).await;
            drop(permit);
        });
    }
    Ok(())
}

async fn answer(submit: Submit) {
    let started = Instant::now();
    // Views of the one buffer the frame was received into; they outlive it.
    let input: Vec<Section> = submit.sections().map(Into::into).collect();
    let output = tokio::select! {
        output = infer(input) => output,
        // The client does not want it any more. Dropping the frame is the answer it still gets.
        () = submit.cancelled() => return,
    };
    let result = Outcome::complete().sections(output).inference(started.elapsed());
    // The tiles are those of the frame. A client that has left gets nothing, and that is no error of ours.
    let _ = submit.reply(result).await;
}

/// The model. One that computes belongs on a thread of its own: `tokio::task::spawn_blocking`.
async fn infer(input: Vec<Section>) -> Vec<Section> {
    input
}
