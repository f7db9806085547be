//! Sends one frame to a server and prints what comes back.
//!
//! ```text
//! cargo run -p nnrp-examples --bin echo_client -- nnrps://localhost:4433 quic CERTIFICATE
//! cargo run -p nnrp-examples --bin echo_client -- nnrps://localhost:4434 tcp CERTIFICATE
//! cargo run -p nnrp-examples --bin echo_client -- nnrp://localhost:4435 tcp
//! ```
#![allow(clippy::print_stdout, reason = "the program prints what it got")]

use std::time::Duration;

use nnrp::wire::{Section, SubmitFrame, TensorDType, TransportId};
use nnrp::{Address, ClientConfig, ClientSession, Reply};
use nnrp_examples::{Arguments, Failure, trust};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = Arguments::of("echo_client nnrps://HOST:PORT quic|tcp [CERTIFICATE]");
    let address: Address = arguments.required()?;
    let transport = match arguments.required::<String>()?.as_str() {
        "tcp" => TransportId::Tcp,
        "quic" => TransportId::Quic,
        other => return Err(arguments.wrong(other, "neither quic nor tcp")),
    };
    let trust = trust(arguments.optional()?.as_ref())?;
    let config = ClientConfig::new().auth_block("a token");
    let client = ClientSession::connect(&address, transport, trust, config).await?;

    let section = Section::new(1, TensorDType::Uint8).tiles(["left", "right"]);
    let frame = SubmitFrame::new(1).tiles([3, 7]).section(section).budget(Duration::from_secs(5));
    match client.submit(&frame).await? {
        Reply::Result(result) => {
            for section in result.sections() {
                for (id, tile) in result.tile_ids().zip(section.tiles()) {
                    println!("tile {id}: {}", String::from_utf8_lossy(&tile));
                }
            }
        }
        Reply::Dropped { reason, .. } => println!("dropped: {reason:?}"),
        Reply::Failed(failed) => println!("failed: {}", failed.fault),
        _ => {}
    }
    client.close("done").await;
    Ok(())
}
