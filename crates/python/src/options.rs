//! What Python's configurations say, by the names of the options of the `nnrp` crate; and what the options are, for the tests
//! that compare both.

use std::time::Duration;

use nnrp::wire::{LossTolerance, PayloadKind};
use nnrp::{
    ClientConfig, ClientSettings, CreditPolicy, Migration, QuicOptions, ServerConfig, ServerSettings,
    TcpOptions,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

use crate::listener::sessions;
use crate::wait::{optional_duration, time_limit};

/// What applications call the ways to treat credit.
const CREDIT_POLICIES: [(&str, CreditPolicy); 4] = [
    ("honour", CreditPolicy::Honour),
    ("strict", CreditPolicy::Strict),
    ("fail", CreditPolicy::Fail),
    ("ignore", CreditPolicy::Ignore),
];

/// # Errors
/// `ValueError` for a name that is none of them.
pub(crate) fn credit_policy(name: &str) -> PyResult<CreditPolicy> {
    CREDIT_POLICIES.iter().find(|row| row.0 == name).map(|row| row.1).ok_or_else(|| {
        let names: Vec<_> = CREDIT_POLICIES.iter().map(|row| row.0).collect();
        PyValueError::new_err(format!("credit_policy must be one of {}, not {name:?}", names.join(", ")))
    })
}

pub(crate) fn credit_policy_name(policy: CreditPolicy) -> &'static str {
    CREDIT_POLICIES.iter().find(|row| row.1 == policy).map_or("", |row| row.0)
}

/// What a server offers its clients.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Terms {
    max_concurrent_frames: u16,
    enable_cache: bool,
    max_sections: u16,
    max_body_bytes: u32,
    enforce_credit: bool,
    expire_frames: bool,
    strict_frame_ids: bool,
    allow_migration: bool,
    answer_probes: bool,
    max_cache_entries: u32,
    max_cache_bytes: u32,
    payload_kinds: u32,
    codecs: u32,
    compressions: u32,
    dtypes: u32,
    layouts: u32,
    max_lanes: u16,
    max_loss_tolerance: u8,
    migration_grace: f64,
    max_kept_bytes: u32,
}

/// What the configuration of a listener says.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Listening {
    max_frame_size: Option<u32>,
    keepalive_interval: Option<f64>,
    handshake_timeout: f64,
    max_pending_handshakes: usize,
    busy_retry_after: f64,
}

/// What the configuration of a client says about its sessions.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Connecting {
    max_frame_size: Option<u32>,
    keepalive_interval: Option<f64>,
    keepalive_timeout: Option<f64>,
    credit_policy: String,
    credit_timeout: Option<f64>,
    max_kept_bytes: u32,
}

/// What a transport's configuration says about the sessions on it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    max_frame_size: Option<u32>,
    keepalive_interval: Option<Duration>,
    keepalive_timeout: Option<Duration>,
    credit: CreditPolicy,
    credit_timeout: Option<Duration>,
    max_kept_bytes: Option<u32>,
}

impl Listening {
    pub(crate) fn config(&self) -> PyResult<ServerConfig> {
        Ok(ServerConfig::new()
            .session_registry(sessions().clone())
            .handshake_timeout(time_limit(self.handshake_timeout)?)
            .max_pending_handshakes(self.max_pending_handshakes)
            .busy_retry_after(time_limit(self.busy_retry_after)?))
    }

    pub(crate) fn limits(&self) -> PyResult<Limits> {
        Ok(Limits {
            max_frame_size: self.max_frame_size,
            keepalive_interval: optional_duration(self.keepalive_interval)?,
            ..Limits::default()
        })
    }
}

impl Connecting {
    pub(crate) fn limits(&self) -> PyResult<Limits> {
        Ok(Limits {
            max_frame_size: self.max_frame_size,
            keepalive_interval: optional_duration(self.keepalive_interval)?,
            keepalive_timeout: optional_duration(self.keepalive_timeout)?,
            credit: credit_policy(&self.credit_policy)?,
            credit_timeout: optional_duration(self.credit_timeout)?,
            max_kept_bytes: Some(self.max_kept_bytes),
        })
    }
}

impl Limits {
    pub(crate) fn apply_to(self, config: ClientConfig) -> ClientConfig {
        let mut config = config
            .keepalive(self.keepalive_interval, self.keepalive_timeout)
            .credit(self.credit)
            .credit_timeout(self.credit_timeout);
        if let Some(bytes) = self.max_kept_bytes {
            config = config.max_kept_bytes(bytes);
        }
        if let Some(bytes) = self.max_frame_size {
            config = config.max_body_bytes(bytes);
        }
        config
    }
}

impl Terms {
    /// # Errors
    /// `ValueError` for a grace that is no time.
    pub(crate) fn settings(&self, limits: Limits) -> PyResult<ServerSettings> {
        let mut settings = ServerSettings::default();
        settings.keepalive_interval = limits.keepalive_interval;
        settings.max_concurrent_frames = self.max_concurrent_frames;
        settings.enable_cache = self.enable_cache;
        settings.enforce_credit = self.enforce_credit;
        settings.expire_frames = self.expire_frames;
        settings.strict_frame_ids = self.strict_frame_ids;
        settings.migration = if self.allow_migration { Migration::Authenticated } else { Migration::Off };
        settings.max_sections = self.max_sections;
        let most = self.max_body_bytes;
        settings.max_body_bytes = limits.max_frame_size.map_or(most, |size| size.min(most));
        settings.answer_probes = self.answer_probes;
        settings.max_cache_entries = self.max_cache_entries;
        settings.max_cache_bytes = self.max_cache_bytes;
        settings.payload_kinds = PayloadKind::from_bits(self.payload_kinds);
        settings.codecs = self.codecs;
        settings.compressions = self.compressions;
        settings.dtypes = self.dtypes;
        settings.layouts = self.layouts;
        settings.max_lanes = self.max_lanes;
        settings.max_loss_tolerance = LossTolerance::from(self.max_loss_tolerance);
        settings.migration_grace = time_limit(self.migration_grace)?;
        settings.max_kept_bytes = self.max_kept_bytes;
        Ok(settings)
    }
}

/// The options of each kind with their defaults, as Rust's `Debug` shows them.
#[pyfunction]
pub(crate) fn options(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    all.set_item("server", ServerSettings::default().named().into_py_dict(py)?)?;
    all.set_item("client", ClientSettings::default().named().into_py_dict(py)?)?;
    all.set_item("listener", ServerConfig::new().named().into_py_dict(py)?)?;
    all.set_item("quic", QuicOptions::default().named().into_py_dict(py)?)?;
    all.set_item("tcp", TcpOptions::default().named().into_py_dict(py)?)?;
    Ok(all)
}
