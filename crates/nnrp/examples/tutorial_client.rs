//! The client of docs/tutorial.md.
#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the program prints what came back"
)]

use nnrp::wire::{Section, SubmitFrame, TensorDType};
use nnrp::{ClientConfig, ClientSession, Reply};

const WIDTH: u8 = 32;
const HEIGHT: u8 = 12;

fn picture() -> Vec<u8> {
    let pixel = |x: u8, y: u8| {
        let (across, down) = ((f64::from(x) - 15.5) / 2.0, f64::from(y) - 5.5);
        (200.0 - 20.0 * across.hypot(down)) as u8 // a bright disc; negative numbers become 0
    };
    (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| pixel(x, y))).collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:4433".into());
    let address = address.parse().map_err(|_| format!("{address} is no address such as 127.0.0.1:4433"))?;
    let client = ClientSession::connect_tcp(address, ClientConfig::new()).await?;
    let section = Section::new(1, TensorDType::Uint8).tiles([picture()]);
    let mut frame = SubmitFrame::new(1).tiles([0]).section(section);
    (frame.src_width, frame.src_height) = (WIDTH.into(), HEIGHT.into());
    match client.submit(&frame).await? {
        Reply::Result(result) => {
            let section = result.sections().next().ok_or("a result without a section")?;
            let mask = section.tiles().next().ok_or("a section without a tile")?;
            for row in mask.chunks(WIDTH.into()) {
                println!(
                    "{}",
                    row.iter().map(|pixel| if *pixel == 0 { '.' } else { '#' }).collect::<String>()
                );
            }
        }
        other => println!("no result: {other:?}"),
    }
    client.close("done").await;
    Ok(())
}
