//! The server of docs/tutorial.md.
#![allow(clippy::print_stdout, reason = "the program says where it listens")]

use nnrp::wire::{Section, TensorDType};
use nnrp::{Listener, Outcome, ServerConfig, ServerSession, Submit};

fn model(picture: &[u8]) -> Vec<u8> {
    let sum: usize = picture.iter().map(|pixel| usize::from(*pixel)).sum();
    picture.iter().map(|pixel| u8::from(usize::from(*pixel) * picture.len() > sum)).collect()
}

async fn answer(submit: Submit) {
    let Some(picture) = submit.sections().next().and_then(|section| section.tiles().next()) else {
        return; // a submit that is let go of is dropped, and its client is told
    };
    let Ok(mask) = tokio::task::spawn_blocking(move || model(&picture)).await else { return };
    let section = Section::new(1, TensorDType::Uint8).tiles([mask]);
    let _ = submit.reply(Outcome::complete().section(section)).await; // fails when the client has left
}

async fn serve(session: ServerSession) {
    while let Ok(Some(submit)) = session.recv().await {
        tokio::spawn(answer(submit));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4433".into());
    let address = address.parse().map_err(|_| format!("{address} is no address such as 127.0.0.1:4433"))?;
    let config = ServerConfig::new().max_concurrent_frames(4);
    let listener = Listener::bind_tcp(address, config).await?;
    println!("listening on {}", listener.local_addr());
    while let Some(session) = listener.accept().await {
        tokio::spawn(serve(session));
    }
    Ok(())
}
