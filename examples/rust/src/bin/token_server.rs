//! Streams the answer to a prompt word by word, until it is complete or its client leaves.
//!
//! ```text
//! cargo run -p nnrp-examples --bin token_server -- [PORT] [MILLISECONDS_A_WORD]
//! PYTHONPATH=examples/python python -m token_stream.client "Tell me" --port PORT
//! ```
#![allow(clippy::print_stdout, reason = "the program says what it does")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nnrp::wire::TypedPayload;
use nnrp::{Listener, Outcome, ServerConfig, ServerSession, Submit};
use nnrp_examples::{Arguments, Failure};

/// What a language model would say.
const ANSWER: &str =
    "that every frame is answered, that a part is an answer too, and that whoever leaves early is heard";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::of("token_server [PORT] [MILLISECONDS_A_WORD]");
    let port: u16 = arguments.optional()?.unwrap_or(4433);
    let pace = Duration::from_millis(arguments.optional()?.unwrap_or(20));
    // Plain TCP is for this machine, or for networks you trust.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = Listener::bind_tcp(address, ServerConfig::new().max_concurrent_frames(16)).await?;
    println!("listening on port {}", listener.local_addr().port());
    while let Some(session) = listener.accept().await {
        tokio::spawn(serve(session, pace));
    }
    Ok(())
}

async fn serve(session: ServerSession, pace: Duration) {
    // Prompts of one session are answered side by side.
    while let Ok(Some(submit)) = session.recv().await {
        tokio::spawn(async move {
            let (frame, made) = (submit.key(), generate(submit, pace).await);
            match made {
                Made::All(words) => println!("{frame}: {words} words"),
                Made::Some(words) => println!("{frame}: cancelled after {words} words"),
            }
        });
    }
}

enum Made {
    All(usize),
    Some(usize),
}

async fn generate(submit: Submit, pace: Duration) -> Made {
    let mut words = 0;
    for word in ANSWER.split(' ') {
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = submit.cancelled() => return Made::Some(words),
        }
        let part = Outcome::partial().payload(TypedPayload::token_chunk(format!(" {word}")));
        if submit.partial(part).await.is_err() {
            return Made::Some(words);
        }
        words += 1;
    }
    // The end is a result of its own: only now is it known that nothing follows.
    let _ = submit.reply(Outcome::complete().payload(TypedPayload::token_chunk("."))).await;
    Made::All(words)
}
