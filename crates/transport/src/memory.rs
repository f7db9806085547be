//! Connections inside one process, for tests and for embedding: the same driver as TCP over a pair of pipes.

use std::net::{Ipv4Addr, SocketAddr};

use nnrp_session::Side;
use nnrp_wire::TransportId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffer::BufferPool;
use crate::connection::Connection;
use crate::shared::Parts;
use crate::stream_driver;

/// Bytes in flight in each direction.
const PIPE_BYTES: usize = 64 * 1024;

/// A connected pair: client, server. The server side waits to be claimed, like a listener's connection.
pub fn pair() -> (Connection, Connection) {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    (over(ours, Side::Client), over(theirs, Side::Server))
}

/// One end of a connection over any byte stream. It speaks as on TCP: packets follow each other, in order. Needs a tokio
/// runtime around it.
pub fn over<S>(stream: S, side: Side) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (read, write) = tokio::io::split(stream);
    let (connection, path) = Connection::new(Parts {
        side,
        // Such streams have no number of their own on the wire; they behave like the ordered one.
        transport: TransportId::Tcp,
        peer: nowhere,
        local: nowhere,
        quic: None,
        encrypted: false,
        certificates: Vec::new(),
        pool: BufferPool::default(),
        claimed: side == Side::Client,
    });
    stream_driver::spawn(&path, read, write, None, None);
    connection
}
