//! The native half of the Python package `nnrp`: the bridge to the event loop, buffers, and the classes that wrap the
//! sessions of the `nnrp` crate. No protocol logic lives here.

mod bridge;
mod buffer;
mod client;
mod codec;
mod connection;
mod errors;
mod frame;
mod listener;
mod log;
mod open;
mod operation;
mod options;
mod packet;
mod runtime;
mod server;
mod signal;
mod stats;
mod threads;
mod tls;
mod wait;

#[pyo3::pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::buffer::{Buffer, copied_bytes};
    #[pymodule_export]
    use crate::client::{ClientSession, Subscription};
    #[pymodule_export]
    use crate::connection::{Connection, connect_quic, connect_tcp};
    #[pymodule_export]
    use crate::frame::encode_result;
    #[pymodule_export]
    use crate::listener::{Listener, PendingSession, bind_quic, bind_tcp, drain};
    #[pymodule_export]
    use crate::operation::Operation;
    #[pymodule_export]
    use crate::options::options;
    #[pymodule_export]
    use crate::packet::{FrameBody, Packet, Result, Section, Submit, decode_result, decode_submit};
    #[pymodule_export]
    use crate::server::ServerSession;
    #[pymodule_export]
    use crate::tls::{check_identity, development_certificate, parse_address, tls_faults};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Known at build time: looking it up in the installed metadata costs more than the rest of the import.
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::codec::register(module)?;
        crate::runtime::register(module)
    }
}
