//! Certificates that are exchanged while a listener listens.

use std::sync::{Arc, PoisonError, RwLock};

use super::{ServerTls, TlsError};

type Build<C> = Box<dyn Fn(&ServerTls) -> Result<C, TlsError> + Send + Sync>;

/// The configuration a listener uses for its next handshake, and how it is made from certificates.
pub(crate) struct Current<C> {
    config: RwLock<Arc<C>>,
    build: Build<C>,
}

impl<C> std::fmt::Debug for Current<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

impl<C: Send + Sync + 'static> Current<C> {
    pub(crate) fn new(
        tls: &ServerTls,
        build: impl Fn(&ServerTls) -> Result<C, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        let config = build(tls)?;
        if let Err(error) = tls.check_time() {
            // Not refused: the clock may be wrong, and clients that do not verify exist.
            tracing::warn!(%error, "clients will refuse the certificate of this listener");
        }
        Ok(Arc::new(Current { config: RwLock::new(Arc::new(config)), build: Box::new(build) }))
    }

    pub(crate) fn get(&self) -> Arc<C> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reload(self: &Arc<Self>) -> Reload {
        let current = self.clone();
        Reload(Arc::new(Box::new(move |tls| {
            tls.check_time()?;
            let config = Arc::new((current.build)(tls)?);
            *current.config.write().unwrap_or_else(PoisonError::into_inner) = config;
            Ok(())
        })))
    }
}

/// Exchanges the certificates of a listener while it listens.
#[derive(Clone)]
pub struct Reload(Arc<Build<()>>);

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Uses `tls` for every handshake that begins from now on. Sessions that are open stay as they are.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: `tls` cannot be used, or its certificate is not valid now. What was in use stays in use.
    pub fn reload(&self, tls: &ServerTls) -> Result<(), TlsError> {
        (self.0)(tls)
    }
}
