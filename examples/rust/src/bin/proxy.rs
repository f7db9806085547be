//! Accepts QUIC from the network and forwards every frame to a server on plain TCP, for instance one in Python beside it.
//!
//! ```text
//! cargo run -p nnrp-examples --bin proxy -- UPSTREAM_PORT CERTIFICATE_OUT [PORT]
//! ```
//!
//! The client's token goes on to the upstream server, which decides: what it refuses is refused here. Payloads are not copied:
//! what arrived in one buffer leaves from it. Results come back as they come, parts included; a frame its client cancels is
//! cancelled upstream, and one that the upstream drops is dropped with the same reason.
#![allow(clippy::print_stdout, reason = "the program says where it listens")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use nnrp::wire::{ErrorCode, ResultFrame, ResultHintReason, SubmitFrame};
use nnrp::{
    Admission, ClientConfig, ClientSession, CreditPolicy, HandshakeOptions, Listener, PendingSession, Reply,
    ServerConfig, ServerSession, Submit,
};
use nnrp_examples::{Arguments, Failure, development_identity};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::of("proxy UPSTREAM_PORT CERTIFICATE_OUT [PORT]");
    let upstream: u16 = arguments.required()?;
    let certificate: PathBuf = arguments.required()?;
    let port: u16 = arguments.optional()?.unwrap_or(4433);
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream));
    let identity = development_identity(&certificate)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = Listener::bind_quic(address, &identity, ServerConfig::new()).await?;
    println!("forwarding {} to {upstream}", listener.local_addr());
    let options = HandshakeOptions::default();
    while let Some(hello) = listener.accept_hello(&options).await {
        match hello {
            // Connecting takes a moment, which nobody else waits for.
            Ok(pending) => drop(tokio::spawn(forward(pending, upstream))),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

/// Opens the same session upstream, then lets the client in and carries frames and results.
async fn forward(pending: PendingSession, upstream: SocketAddr) {
    let mut hello = pending.hello().hello.clone();
    // Ids are each server's own, and references would be to objects that only this end keeps.
    hello.metadata.requested_session_id = 0;
    hello.metadata.cache_object_bitmap = 0;
    // The client's own submits were held back where the upstream wants it; nothing is held back twice.
    let config = ClientConfig::from_hello(hello).credit(CreditPolicy::Ignore);
    let behind = match ClientSession::connect_tcp(upstream, config).await {
        Ok(behind) => behind,
        Err(error) => {
            println!("refused: {error}");
            let code = match &error {
                nnrp::DialError::Handshake(refused) => refused.code().unwrap_or(ErrorCode::ServerBusy),
                _ => ErrorCode::ServerBusy,
            };
            return pending.refuse(code, "the server behind this one did not take the session");
        }
    };
    // The client gets the credit that the upstream gives.
    let mut settings = nnrp::ServerSettings::default();
    settings.max_concurrent_frames = behind.ack().metadata.max_concurrent_frames;
    settings.max_body_bytes = behind.ack().metadata.max_body_bytes;
    settings.enable_cache = false;
    pending.set_settings(settings);
    let admission = Admission { model_name: behind.ack().model_name.clone(), ..Admission::default() };
    let front = match pending.admit(admission) {
        Ok(front) => front,
        Err(error) => return println!("left: {error}"),
    };
    carry(&front, &behind).await;
    behind.close("the client has left").await;
    front.close("the server behind has left").await;
}

/// Carries frames until either end is gone.
async fn carry(front: &ServerSession, behind: &ClientSession) {
    loop {
        let submit = tokio::select! {
            submit = front.recv() => submit,
            _ = behind.closed() => return,
        };
        let Ok(Some(submit)) = submit else { return };
        tokio::spawn(exchange(submit, behind.clone()));
    }
}

/// One frame there, and its results back.
async fn exchange(submit: Submit, behind: ClientSession) {
    let frame = SubmitFrame::from_received(&submit.packet.header, &submit.metadata, &submit.body);
    if behind.send(&frame).await.is_err() {
        return;
    }
    loop {
        let reply = tokio::select! {
            reply = behind.receive_for(frame.frame_id, Some(frame.view_id)) => reply,
            () = submit.cancelled() => {
                let _ = behind.cancel(submit.key()).await;
                return;
            }
        };
        // Whatever ends in `return` drops the frame, which tells the client.
        match reply {
            Ok(Reply::Result(result)) => {
                let last = result.is_last();
                let on = ResultFrame::from_received(&result.packet.header, &result.metadata, &result.body);
                if last {
                    let _ = submit.reply(on).await;
                    return;
                }
                if submit.partial(on).await.is_err() {
                    return;
                }
            }
            Ok(Reply::Dropped { reason, .. }) => {
                let _ = submit.reject(reason.unwrap_or(ResultHintReason::ServerBusy)).await;
                return;
            }
            _ => return,
        }
    }
}
