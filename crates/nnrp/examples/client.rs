//! The client of README.md.
#![allow(clippy::print_stdout, reason = "the program prints what came back")]

use nnrp::wire::{Section, SubmitFrame, TensorDType};
use nnrp::{ClientConfig, ClientSession, Reply};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4433".into());
    let address = address.parse().map_err(|_| format!("{address} is no address such as 127.0.0.1:4433"))?;
    let client = ClientSession::connect_tcp(address, ClientConfig::new()).await?;
    let section = Section::new(1, TensorDType::Uint8).tiles(["left", "right"]);
    let frame = SubmitFrame::new(1).tiles([3, 7]).section(section);
    match client.submit(&frame).await? {
        Reply::Result(result) => println!("tiles {:?} came back", result.tile_ids().collect::<Vec<_>>()),
        other => println!("no result: {other:?}"),
    }
    client.close("done").await;
    Ok(())
}
