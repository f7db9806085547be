//! Where no descriptor can gather others, the runtime serves every socket.

use std::io;

use tokio::runtime::Handle;

use crate::serving::Lent;

/// There are none on this system.
#[derive(Debug)]
pub struct LoopSockets(Place);

/// A place that nothing has.
#[derive(Debug)]
pub(crate) enum Place {}

impl LoopSockets {
    /// There are none on this system.
    ///
    /// # Errors
    ///
    /// Always [`io::ErrorKind::Unsupported`].
    pub fn new(_: Handle) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never called.
    pub fn serve(&self) {
        match self.0 {}
    }

    pub(crate) fn place(&self, _: std::sync::Weak<dyn Lent>) -> Option<Place> {
        match self.0 {}
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for LoopSockets {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        match self.0 {}
    }
}

impl Place {
    pub(crate) fn watch<S>(&self, _: &S) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn is_of(&self, _: &LoopSockets) -> bool {
        match *self {}
    }

    pub(crate) fn note_wait(&self) {
        match *self {}
    }

    pub(crate) fn leave<S>(&self, _: &S) {
        match *self {}
    }
}

pub(crate) fn are_wanted() -> bool {
    false
}
