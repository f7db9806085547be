//! A relay between a client and its server whose line can be cut: what is sent after that, or is on its way, is gone, and
//! neither side is told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use super::harness::Kind;

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Relay {
    pub(crate) async fn start(kind: Kind, server: SocketAddr) -> Self {
        let (cut, line) = watch::channel(false);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = if kind.is_quic() {
            let socket = Arc::new(UdpSocket::bind(any).await.unwrap());
            let address = socket.local_addr().unwrap();
            tokio::spawn(datagrams(socket, server, line));
            address
        } else {
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::spawn(bytes(from_client, to_server, line.clone()));
                    tokio::spawn(bytes(from_server, to_client, line.clone()));
                }
            });
            address
        };
        Relay { address, cut }
    }

    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }
}

async fn bytes(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    line: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        // The sender's kernel has had its acknowledgement: nobody will send this again.
        if !*line.borrow() && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        if *line.borrow() {
            // Hold the socket, so that no end of stream gives the cut away.
            while let Ok(1..) = from.read(&mut buffer).await {}
            std::future::pending::<()>().await;
        }
    }
}

async fn datagrams(socket: Arc<UdpSocket>, server: SocketAddr, line: watch::Receiver<bool>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
        if *line.borrow() {
            continue;
        }
        let upstream = match clients.entry(client) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let upstream = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                upstream.connect(server).await.unwrap();
                tokio::spawn(back(upstream.clone(), socket.clone(), client, line.clone()));
                new.insert(upstream).clone()
            }
        };
        let _ = upstream.send(&buffer[..len]).await;
    }
}

async fn back(
    upstream: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    line: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len) = upstream.recv(&mut buffer).await {
        if !*line.borrow() {
            let _ = socket.send_to(&buffer[..len], client).await;
        }
    }
}
