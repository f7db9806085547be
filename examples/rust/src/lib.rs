//! What the programs in `src/bin` share: how they are told where to listen and whom to believe.
//!
//! Start with `src/bin/echo_server.rs` and `src/bin/echo_client.rs`.

pub mod picture;

use std::error::Error;
use std::fmt;
use std::path::Path;

use nnrp::{Identity, Trust, development_certificate};

/// What can go wrong in an example: anything, and then it is said and the program ends.
pub type Failure = Box<dyn Error + Send + Sync>;

/// An error that is only a sentence.
#[derive(Debug)]
pub struct Said(pub String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Said {}

/// An error with this sentence.
pub fn fail(text: impl Into<String>) -> Failure {
    Said(text.into()).into()
}

/// A certificate for loopback names, made now and written to `path` for clients to read. The key stays in this process.
///
/// # Errors
///
/// The file cannot be written.
pub fn development_identity(path: &Path) -> Result<Identity, Failure> {
    let made = development_certificate()?;
    std::fs::write(path, &made.certificate)?;
    Ok(Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes())?)
}

/// Whom a client believes: the certificate in a file, or, without one, the authorities of the platform.
///
/// # Errors
///
/// The file cannot be read.
pub fn trust(certificate: Option<&String>) -> Result<Trust, Failure> {
    match certificate {
        Some(path) => Ok(Trust::Certificates(std::fs::read(path)?)),
        None => Ok(Trust::Platform),
    }
}

/// Waits until somebody asks the program to end: Ctrl-C, or SIGTERM where there is one.
///
/// # Errors
///
/// The signals cannot be listened for.
pub async fn told_to_end() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            asked = tokio::signal::ctrl_c() => asked?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
