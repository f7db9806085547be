//! Echo servers and load clients for `bench/run.py`, which pins them to cores, runs them in turns and compares them.
//!
//! ```text
//! nnrp-bench certificate DIRECTORY
//! nnrp-bench serve --kind ours|floor --transport tcp|tls|quic [--host IP] [--certificates DIRECTORY] [--hold FRAMES]
//! nnrp-bench load  --kind ours|floor --transport tcp|tls|quic [--host IP] --port N --size BYTES [--in-flight N]
//!                  [--sessions N] [--seconds S] [--warm-up S] [--certificates DIRECTORY] [--background-size BYTES]
//!                  [--beside-size BYTES]
//! ```
//!
//! A server prints one line of JSON with its port and ends when its standard input does. A client prints one line when its
//! warm-up is over and one with what it measured; both mark the moments between which others may sample what a process used.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for the command line, about time"
)]

mod certificates;
mod floor;
mod options;
mod ours;
mod recorder;

use std::io::{Read, Write};
use std::process::ExitCode;

use options::{Kind, Options};

/// Anything that ends a run. It is shown, never matched.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let outcome = match command.as_str() {
        "certificate" => certificates::write(arguments.next()),
        "serve" => Options::parse(arguments).and_then(|options| serve(&options)),
        "load" => Options::parse(arguments).and_then(|options| load(&options)),
        _ => Err(format!("no such command: {command:?} (certificate, serve or load)").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nnrp-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread unless told otherwise: where each process has a core, further threads only pass work to each other.
fn runtime(options: &Options) -> Result<tokio::runtime::Runtime, Error> {
    let mut builder = match options.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(options.threads.max(1)).enable_all().build()?)
}

fn serve(options: &Options) -> Result<(), Error> {
    // Whoever started the server holds its standard input; no server outlives that.
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
    runtime(options)?.block_on(async {
        match options.kind {
            Kind::Ours => ours::serve(options).await,
            Kind::Floor => floor::serve(options).await,
        }
    })
}

fn load(options: &Options) -> Result<(), Error> {
    runtime(options)?.block_on(async {
        match options.kind {
            Kind::Ours => ours::load(options).await,
            Kind::Floor => floor::load(options).await,
        }
    })
}

/// Says where a server listens.
fn announce(port: u16) {
    println!("{{\"port\": {port}}}");
    let _ = std::io::stdout().flush();
}
