//! What QUIC does, in files, where that is compiled in.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use nnrp::{BindError, Listener, QuicOptions, ServerConfig};

use super::certificates::Authority;

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("nnrp-qlog-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Python's `test_wire_logs.py` looks into the files.
pub(crate) async fn what_quic_does_is_written_or_refused() {
    let folder = Folder::new();
    let mut options = QuicOptions::default();
    options.qlog = Some(folder.0.clone());
    let config = ServerConfig::new().quic(options);
    let bound = Listener::bind_quic((Ipv4Addr::LOCALHOST, 0).into(), Authority::new().server(), config).await;
    let files = std::fs::read_dir(&folder.0).unwrap().count();
    match bound {
        Ok(_) => assert!(cfg!(feature = "qlog") && files == 1),
        Err(BindError::Io { source, .. }) => {
            assert!(!cfg!(feature = "qlog") && source.kind() == ErrorKind::Unsupported && files == 0);
        }
        Err(error) => panic!("{error}"),
    }
}
