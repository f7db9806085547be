//! What the programs in `src/bin` share: how they are told where to listen and whom to believe.
//!
//! Start with `src/bin/echo_server.rs` and `src/bin/echo_client.rs`.

pub mod picture;

use std::env::Args;
use std::error::Error;
use std::fmt::{self, Display};
use std::iter::Skip;
use std::path::Path;
use std::str::FromStr;

use nnrp::{Identity, Trust, development_certificate};

/// What can go wrong in an example: anything, and then it is said and the program ends. `main` says how an error looks to
/// programmers, so that is its sentence here.
pub struct Failure(Box<dyn Error + Send + Sync>);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

/// An error with this sentence.
pub fn fail(text: impl Into<String>) -> Failure {
    Failure(text.into().into())
}

/// What the command line says, word by word.
pub struct Arguments {
    usage: &'static str,
    words: Skip<Args>,
}

impl Arguments {
    /// The arguments of this program. `usage` is shown to those who give others.
    pub fn of(usage: &'static str) -> Self {
        Arguments { usage, words: std::env::args().skip(1) }
    }

    /// The next one, which there must be.
    ///
    /// # Errors
    ///
    /// It is missing, or no such thing.
    pub fn required<T: FromStr<Err: Display>>(&mut self) -> Result<T, Failure> {
        let given = self.optional()?;
        given.ok_or_else(|| fail(format!("an argument is missing\nusage: {}", self.usage)))
    }

    /// The next one, if there is one.
    ///
    /// # Errors
    ///
    /// It is no such thing.
    pub fn optional<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, Failure> {
        let Some(word) = self.words.next() else { return Ok(None) };
        word.parse().map(Some).map_err(|error| self.wrong(&word, error))
    }

    /// The error about one that cannot be used.
    pub fn wrong(&self, word: &str, why: impl Display) -> Failure {
        fail(format!("{word:?}: {why}\nusage: {}", self.usage))
    }
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
