//! Connections inside one process, for tests and for embedding: the same driver as TCP over a pair of pipes.

use std::net::{Ipv4Addr, SocketAddr};

use nnrp_session::Side;
use nnrp_wire::TransportId;

use crate::buffer::BufferPool;
use crate::connection::{Connection, Parts};
use crate::stream_driver;

/// Bytes in flight in each direction.
const PIPE_BYTES: usize = 64 * 1024;

/// A connected pair: client, server. The server side waits to be claimed, like a listener's connection.
pub fn pair() -> (Connection, Connection) {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    (start(ours, Side::Client), start(theirs, Side::Server))
}

fn start(stream: tokio::io::DuplexStream, side: Side) -> Connection {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (read, write) = tokio::io::split(stream);
    let (connection, shared) = Connection::new(Parts {
        side,
        // In-memory links have no number of their own on the wire; they behave like the ordered one.
        transport: TransportId::Tcp,
        peer: nowhere,
        local: nowhere,
        quic: None,
        pool: BufferPool::default(),
        claimed: side == Side::Client,
    });
    stream_driver::spawn(&shared, read, write, None);
    connection
}
