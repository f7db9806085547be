//! A client that does exactly what it is told: bytes on sockets, no library of ours in between.

use std::time::Duration;

use nnrp::wire::{Header, MessageType};
use nnrp_testkit::packets;
use quinn::{Endpoint, RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{Result, failed};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that [`Raw::read_a_little`] takes at most.
pub(crate) const READ_AT_ONCE: usize = 1024;

/// A connection without manners.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
    /// The QUIC connection, for what only QUIC has.
    pub quic: Option<quinn::Connection>,
    _endpoint: Option<Endpoint>,
    /// The session's id; 0 before there is one.
    pub session: u32,
    pings: u64,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// The control stream.
    Quic(SendStream, RecvStream),
}

impl From<TcpStream> for Raw {
    fn from(stream: TcpStream) -> Self {
        Raw { stream: Stream::Tcp(stream), quic: None, _endpoint: None, session: 0, pings: 0 }
    }
}

impl From<TlsStream<TcpStream>> for Raw {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Raw { stream: Stream::Tls(Box::new(stream)), quic: None, _endpoint: None, session: 0, pings: 0 }
    }
}

/// The header of a packet that says whatever is asked for.
pub(crate) fn header(message: u8, session: u32, frame: u32, meta_len: u32, body_len: u32) -> Vec<u8> {
    let mut bytes = b"NNRP\x01\x00".to_vec();
    bytes.extend([message, 40, 0, 0, 0, 0]);
    for number in [meta_len, body_len, session, frame] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.resize(Header::LEN, 0);
    bytes
}

/// A whole packet.
pub(crate) fn packet(
    message: MessageType,
    session: u32,
    frame: u32,
    metadata: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut bytes = header(message.value(), session, frame, len(metadata), len(body));
    bytes.extend_from_slice(metadata);
    bytes.extend_from_slice(body);
    bytes
}

/// The hello of an ordinary client that wants a cache of the usual size.
pub(crate) fn hello() -> Vec<u8> {
    let mut hello = packets::hello();
    hello.metadata.cache_object_bitmap = 0x1FF;
    hello.metadata.cache_namespace_count = 1;
    hello.metadata.max_cache_entries = 256;
    hello.metadata.max_cache_bytes = 8 << 20;
    packets::hello_packet(&hello).to_bytes().to_vec()
}

/// A frame of some bytes.
pub(crate) fn submit(session: u32, frame: u32) -> Vec<u8> {
    packets::submit_packet(session, frame).to_bytes().to_vec()
}

/// A frame with a payload of `bytes` bytes.
pub(crate) fn bulky(session: u32, frame: u32, bytes: usize) -> Vec<u8> {
    packets::bulky_packet(session, frame, bytes).to_bytes().to_vec()
}

impl Raw {
    /// Opens the control stream of a QUIC connection; the victim sees it with the first byte on it.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub async fn over_quic(quic: quinn::Connection, endpoint: Endpoint) -> Result<Raw> {
        let (send, receive) = quic.open_bi().await?;
        let stream = Stream::Quic(send, receive);
        Ok(Raw { stream, quic: Some(quic), _endpoint: Some(endpoint), session: 0, pings: 0 })
    }

    /// Sends bytes where control packets go; on TCP that is where everything goes.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes).await?,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                // What the kernel did not take at once would wait for the next call.
                stream.flush().await?;
            }
            Stream::Quic(send, _) => send.write_all(bytes).await?,
        }
        Ok(())
    }

    /// The same as long as the victim takes bytes; false when it takes none for so long.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn send_unless_held_back(&mut self, bytes: &[u8], patience: Duration) -> Result<bool> {
        match tokio::time::timeout(patience, self.send(bytes)).await {
            Ok(sent) => sent.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn finish(&mut self) -> Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.shutdown().await?,
            Stream::Tls(stream) => stream.shutdown().await?,
            Stream::Quic(send, _) => send.finish()?,
        }
        Ok(())
    }

    /// Sends a frame: on QUIC on a stream of its own.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn frame(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(quic) = &self.quic else { return self.send(bytes).await };
        let mut stream = quic.open_uni().await?;
        stream.write_all(bytes).await?;
        stream.finish()?;
        Ok(())
    }

    /// Sends frames as long as the victim takes bytes; false when it takes none for so long, and the rest is not sent.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn frames_unless_held_back(
        &mut self,
        frames: impl IntoIterator<Item: AsRef<[u8]>>,
        patience: Duration,
    ) -> Result<bool> {
        for frame in frames {
            match tokio::time::timeout(patience, self.frame(frame.as_ref())).await {
                Ok(sent) => sent?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next packet of the control stream, or of the one stream there is.
    ///
    /// # Errors
    ///
    /// At the end of the stream.
    pub async fn next(&mut self) -> Result<(Header, Vec<u8>)> {
        match &mut self.stream {
            Stream::Tcp(stream) => read_packet(stream).await,
            Stream::Tls(stream) => read_packet(stream).await,
            Stream::Quic(_, receive) => read_packet(receive).await,
        }
    }

    /// Reads a kilobyte at most of whatever comes.
    ///
    /// # Errors
    ///
    /// At the end of the stream.
    pub async fn read_a_little(&mut self) -> Result<()> {
        let mut bytes = [0; READ_AT_ONCE];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut bytes).await?,
            Stream::Tls(stream) => stream.read(&mut bytes).await?,
            Stream::Quic(_, receive) => receive.read(&mut bytes).await?.unwrap_or(0),
        };
        if read == 0 { failed("the stream is over") } else { Ok(()) }
    }

    /// The next packet of this type, whatever comes before it.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub async fn until(&mut self, message: MessageType) -> Result<(Header, Vec<u8>)> {
        let waiting = async {
            loop {
                let (header, rest) = self.next().await?;
                if header.msg_type == message {
                    return Ok((header, rest));
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => failed(format!("no {message} within {PATIENCE:?}")),
        }
    }

    /// Waits until the victim has ended the connection, whatever it says before.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn until_closed(&mut self) -> Result<()> {
        let waiting = async { while self.read_a_little().await.is_ok() {} };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(()) => Ok(()),
            Err(_) => failed("the victim keeps the connection"),
        }
    }

    /// Says hello and waits to be let in.
    ///
    /// # Errors
    ///
    /// When the victim refuses.
    pub async fn hello(&mut self) -> Result<()> {
        self.send(&hello()).await?;
        self.session = self.until(MessageType::ServerHelloAck).await?.0.session_id;
        Ok(())
    }

    /// Asks whether the victim is there and waits for this very answer.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub async fn ping(&mut self) -> Result<()> {
        self.pings += 1;
        let trace = self.pings;
        let mut ping = header(MessageType::Ping.value(), self.session, 0, 0, 0);
        ping.truncate(32);
        ping.extend(trace.to_le_bytes());
        self.send(&ping).await?;
        while self.until(MessageType::Pong).await?.0.trace_id != trace {}
        Ok(())
    }

    /// The same without streams: the question and the answer travel in datagrams.
    ///
    /// # Errors
    ///
    /// When it does not come, and where there are none.
    pub async fn ping_by_datagram(&self) -> Result<()> {
        let quic = self.quic()?;
        quic.send_datagram(header(MessageType::Ping.value(), self.session, 0, 0, 0).into())?;
        let answer = tokio::time::timeout(PATIENCE, quic.read_datagram()).await??;
        let answered = answer.first_chunk().map(Header::decode);
        match answered {
            Some(Ok(header)) if header.msg_type == MessageType::Pong => Ok(()),
            _ => failed(format!("{answer:?} answers a PING")),
        }
    }

    /// Sends a frame and waits for its result.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub async fn echo(&mut self, frame: u32) -> Result<()> {
        self.frame(&submit(self.session, frame)).await?;
        let Some(quic) = self.quic.clone() else {
            while self.until(MessageType::ResultPush).await?.0.frame_id != frame {}
            return Ok(());
        };
        let waiting = async {
            loop {
                let mut stream = quic.accept_uni().await?;
                // A stream that was reset brings nothing.
                if let Ok((header, _)) = read_packet(&mut stream).await
                    && (header.msg_type, header.frame_id) == (MessageType::ResultPush, frame)
                {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => failed(format!("no result of frame {frame} within {PATIENCE:?}")),
        }
    }

    /// The QUIC connection.
    ///
    /// # Errors
    ///
    /// On TCP.
    pub fn quic(&self) -> Result<quinn::Connection> {
        self.quic.clone().ok_or_else(|| "this attack needs QUIC".into())
    }

    /// Tells the victim that nothing it says on the control stream will be read.
    ///
    /// # Errors
    ///
    /// On TCP, and when the stream is over.
    pub fn stop_control(&mut self) -> Result<()> {
        match &mut self.stream {
            Stream::Quic(_, receive) => Ok(receive.stop(VarInt::from_u32(0))?),
            _ => failed("this attack needs QUIC"),
        }
    }

    /// The TLS stream.
    ///
    /// # Errors
    ///
    /// Where there is none of its own: on plain TCP and QUIC.
    pub fn tls(&mut self) -> Result<&mut TlsStream<TcpStream>> {
        match &mut self.stream {
            Stream::Tls(stream) => Ok(stream),
            _ => failed("this attack needs TLS over TCP"),
        }
    }
}

async fn read_packet(read: &mut (impl AsyncRead + Unpin)) -> Result<(Header, Vec<u8>)> {
    let mut bytes = [0; Header::LEN];
    read.read_exact(&mut bytes).await?;
    let header = Header::decode(&bytes)?;
    let mut rest = vec![0; header.meta_len as usize + header.body_len as usize];
    read.read_exact(&mut rest).await?;
    Ok((header, rest))
}
