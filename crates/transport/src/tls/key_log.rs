//! The secrets of connections, written where Wireshark reads them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file that the TLS secrets of connections are appended to, in the format of NSS that Wireshark and others read
/// (`SSLKEYLOGFILE`). Whoever has it and a capture can read everything that was said, tokens included: it is for debugging,
/// nothing is written unless [`ServerTls::key_log`](super::ServerTls::key_log) or
/// [`ClientTls::key_log`](super::ClientTls::key_log) asks for it, and no environment variable is looked at.
///
/// A write that fails is logged, once, and costs no connection.
#[derive(Clone, Debug)]
pub struct KeyLog(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    path: PathBuf,
    /// `None` once a write has failed.
    file: Mutex<Option<File>>,
}

impl KeyLog {
    /// Opens a file for appending, and makes it, readable by its owner alone, if there is none.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn append_to(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let path = path.as_ref().to_owned();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        tracing::warn!(path = %path.display(), "TLS secrets are written to a file: whoever has it can read the traffic");
        Ok(KeyLog(Arc::new(Keys { path, file: Mutex::new(Some(file)) })))
    }

    pub(super) fn for_rustls(&self) -> Arc<dyn rustls::KeyLog> {
        self.0.clone()
    }
}

impl rustls::KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A line is one write, so that processes can share the file.
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(line.as_bytes())) {
            tracing::warn!(path = %self.path.display(), %error, "TLS secrets can no longer be written");
            *file = None;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
