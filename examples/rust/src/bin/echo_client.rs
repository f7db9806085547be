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
use nnrp_examples::{Failure, fail, trust};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, transport, rest @ ..] = arguments.as_slice() else {
        return Err(fail("to which address, and over quic or tcp?"));
    };
    let address: Address = address.parse()?;
    let transport = if transport == "tcp" { TransportId::Tcp } else { TransportId::Quic };
    let config = ClientConfig::new().auth_block("a token");
    let client = ClientSession::connect(&address, transport, trust(rest.first())?, config).await?;

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
