//! Secrets of connections, in a file, for debugging.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nnrp::{ClientConfig, ClientTls, KeyLog, ServerConfig};

use super::certificates::Authority;
use super::harness::{Kind, dial, listen, soon};

/// A path of this test's own, whose file goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Scratch(std::env::temp_dir().join(format!("nnrp-key-log-{}-{number}", std::process::id())))
    }

    fn lines(&self) -> BTreeSet<String> {
        std::fs::read_to_string(&self.0).unwrap().lines().map(str::to_owned).collect()
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) async fn both_sides_write_the_same_secrets(kind: Kind) {
    let authority = Authority::new();
    let (of_server, of_client) = (Scratch::new(), Scratch::new());
    let server = authority.server().key_log(KeyLog::append_to(&of_server).unwrap());
    let client = ClientTls::from(authority.trust()).key_log(KeyLog::append_to(&of_client).unwrap());
    let listener = listen(kind, server, ServerConfig::new()).await;
    for sessions in 1..=2 {
        let dialling = dial(kind, listener.local_addr(), &client, ClientConfig::new());
        let (dialled, accepted) =
            soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
        assert!(dialled.is_ok() && accepted.is_some());
        let written = of_client.lines();
        assert_eq!(written, of_server.lines());
        let traffic =
            written.iter().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).collect::<Vec<_>>();
        assert_eq!(traffic.len(), sessions, "{written:?}");
        // 32 bytes say which connection, 32 or 48 are its secret.
        let digits: Vec<_> = traffic[0].split(' ').map(str::len).collect();
        assert!(digits[1] == 64 && matches!(digits[2], 64 | 96), "{digits:?}");
    }
}

pub(crate) async fn a_key_log_is_for_its_owner_alone() {
    let path = Scratch::new();
    KeyLog::append_to(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(KeyLog::append_to(path.as_ref().join("below a file")).is_err());
}
