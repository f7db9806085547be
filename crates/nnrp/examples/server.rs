//! The server of README.md.
#![allow(clippy::print_stdout, reason = "the program says where it listens")]

use nnrp::{Listener, Outcome, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4433".into());
    let address = address.parse().map_err(|_| format!("{address} is no address such as 127.0.0.1:4433"))?;
    let listener = Listener::bind_tcp(address, ServerConfig::new()).await?;
    println!("listening on {}", listener.local_addr());
    while let Some(session) = listener.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(submit)) = session.recv().await {
                let sections = submit.sections(); // run your model here
                let _ = submit.reply(Outcome::complete().sections(sections)).await;
            }
        });
    }
    Ok(())
}
