//! Counters and latencies, in the types that Python has for them.

use std::time::Duration;

use nnrp::{ConnectionStats, Latency};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

/// How long frames took: the end of each bucket in seconds (infinite for the last) and the frames in it and none before, then
/// the seconds of all frames together.
pub(crate) type Measured = (Vec<(f64, u64)>, f64);

/// What a session counts.
pub(crate) fn traffic<'py>(
    py: Python<'py>,
    stats: &ConnectionStats,
) -> PyResult<(Bound<'py, PyDict>, Measured)> {
    Ok((stats.named().into_py_dict(py)?, measured(&stats.frames.latency)))
}

pub(crate) fn measured(latency: &Latency) -> Measured {
    let seconds =
        |(end, frames): (Option<Duration>, u64)| (end.map_or(f64::INFINITY, |end| end.as_secs_f64()), frames);
    (latency.buckets().map(seconds).collect(), latency.sum().as_secs_f64())
}
