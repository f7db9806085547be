//! What QUIC did, packet by packet, in files that qvis and others read: qlog, for debugging.
//!
//! Compiled in by the feature `qlog`. Without it, asking for it fails, and nothing is linked.

use std::io;

#[cfg(feature = "qlog")]
pub(crate) use enabled::Stream;

use crate::quic::QuicOptions;
use nnrp_session::Side;

/// Where the events of an endpoint go.
#[cfg(not(feature = "qlog"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream;

/// Opens a file of this endpoint's own in the folder that the options name; `None` when they name none.
///
/// # Errors
///
/// What the operating system says, and [`io::ErrorKind::Unsupported`] without the feature.
pub(crate) fn open(options: &QuicOptions, side: Side) -> io::Result<Option<Stream>> {
    let Some(folder) = &options.qlog else { return Ok(None) };
    #[cfg(feature = "qlog")]
    return enabled::open(folder, side).map(Some);
    #[cfg(not(feature = "qlog"))]
    {
        let _ = (folder, side);
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this build is without qlog: enable the feature `qlog`",
        ))
    }
}

/// Has the connections of this configuration write there.
pub(crate) fn attach(config: &mut quinn::TransportConfig, stream: Option<&Stream>) {
    #[cfg(feature = "qlog")]
    config.qlog_stream(stream.map(|stream| stream.0.clone()));
    #[cfg(not(feature = "qlog"))]
    let _ = (config, stream);
}

#[cfg(feature = "qlog")]
mod enabled {
    use std::fs::File;
    use std::io::{self, LineWriter};
    use std::path::Path;
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nnrp_session::Side;

    #[derive(Clone)]
    pub(crate) struct Stream(pub(super) quinn::QlogStream);

    impl std::fmt::Debug for Stream {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Stream")
        }
    }

    pub(super) fn open(folder: &Path, side: Side) -> io::Result<Stream> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = match side {
            Side::Server => "server",
            Side::Client => "client",
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("nnrp-{name}-{}-{number}.sqlog", process::id()));
        let mut config = quinn::QlogConfig::default();
        // A record is a line: what was written when the process ends is whole.
        config
            .writer(Box::new(LineWriter::new(File::create_new(&path)?)))
            .title(Some(format!("nnrp {name}")));
        let stream = config.into_stream().ok_or_else(|| io::Error::other("the file cannot be written"))?;
        tracing::info!(path = %path.display(), "QUIC events are written to a file");
        Ok(Stream(stream))
    }
}
