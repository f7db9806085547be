//! `hostile` attacks servers and prints what it cost them; `hostile serve …` is such a server.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::process::ExitCode;
use std::time::Duration;

use nnrp_attacks::counting::Counting;
use nnrp_attacks::{Kind, Mode, Result, attacks, serve};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", kind, mode, handshake] => {
            let kind =
                Kind::ALL.into_iter().find(|known| known.name() == *kind).ok_or("no such transport")?;
            let mode = [Mode::Echo, Mode::Lavish, Mode::Deaf, Mode::Raw]
                .into_iter()
                .find(|known| known.name() == *mode)
                .ok_or("no such mode")?;
            serve::serve(kind, mode, Duration::from_millis(handshake.parse()?)).await
        }
        names => attacks::report(&std::env::current_exe()?, names).await,
    }
}
