//! TCP, plain and with TLS: length-prefixed frames, a buffer that is used again, one vectored write per frame.

use std::io::IoSlice;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{PREFIX_BYTES, parse, prefix};
use crate::Error;
use crate::certificates::SERVER_NAME;
use crate::options::Options;
use crate::recorder::{Departures, Recorder, looks_right, payload};

/// What a read asks for at least: many small frames arrive in one.
const READ_BYTES: usize = 64 * 1024;

pub(super) async fn serve(options: &Options, tls: Option<rustls::ServerConfig>) -> Result<(), Error> {
    let listener = TcpListener::bind(options.address).await?;
    crate::announce(listener.local_addr()?.port());
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::spawn(async move {
            // A client that is done hangs up, at whatever moment.
            let _ = match tls {
                None => echo(stream).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => echo(stream).await,
                    Err(error) => Err(error.into()),
                },
            };
        });
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let mut frames = Frames::default();
    while let Some(id) = frames.next(&mut stream).await? {
        write(&mut stream, id, frames.payload()).await?;
    }
    Ok(())
}

pub(super) async fn load(options: &Options, tls: Option<rustls::ClientConfig>) -> Result<(), Error> {
    let tls = tls.map(|config| TlsConnector::from(Arc::new(config)));
    // It ends when it is dropped, which is when the others are done.
    let mut background = JoinSet::new();
    if let Some(options) = options.background() {
        let recorder = Arc::new(Recorder::silent(&options));
        connect(&mut background, &options, tls.as_ref(), recorder).await?;
    }
    let recorder = Arc::new(Recorder::new(options));
    let mut sessions = JoinSet::new();
    for _ in 0..options.sessions {
        connect(&mut sessions, options, tls.as_ref(), recorder.clone()).await?;
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    Ok(())
}

/// Adds a session to a set.
async fn connect(
    sessions: &mut JoinSet<Result<(), Error>>,
    options: &Options,
    tls: Option<&TlsConnector>,
    recorder: Arc<Recorder>,
) -> Result<(), Error> {
    let options = options.clone();
    let stream = TcpStream::connect(options.address).await?;
    stream.set_nodelay(true)?;
    match tls {
        None if options.in_flight == 1 => sessions.spawn(one_by_one(stream, options, recorder)),
        None => {
            let (read, write) = stream.into_split();
            sessions.spawn(many(read, write, options, recorder))
        }
        Some(tls) => {
            let stream = tls.connect(ServerName::try_from(SERVER_NAME)?, stream).await?;
            if options.in_flight == 1 {
                sessions.spawn(one_by_one(stream, options, recorder))
            } else {
                let (read, write) = tokio::io::split(stream);
                sessions.spawn(many(read, write, options, recorder))
            }
        }
    };
    Ok(())
}

async fn one_by_one(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    options: Options,
    recorder: Arc<Recorder>,
) -> Result<(), Error> {
    let payload = payload(options.size);
    let mut frames = Frames::default();
    for id in 0.. {
        let sent = std::time::Instant::now();
        write(&mut stream, id, &payload).await?;
        if frames.next(&mut stream).await? != Some(id) || !looks_right(frames.payload(), &payload) {
            return Err("another frame came back".into());
        }
        if !recorder.arrived(sent) {
            break;
        }
    }
    Ok(())
}

/// A task that writes as long as there is room in the window, and one that reads and makes room.
async fn many(
    mut read_half: impl AsyncRead + Unpin,
    mut write_half: impl AsyncWrite + Unpin + Send + 'static,
    options: Options,
    recorder: Arc<Recorder>,
) -> Result<(), Error> {
    let payload = payload(options.size);
    let window = Arc::new(Semaphore::new(options.in_flight));
    let departures = Arc::new(Mutex::new(Departures::new(options.in_flight)));
    let writer = tokio::spawn({
        let (payload, window, departures) = (payload.clone(), window.clone(), departures.clone());
        async move {
            let mut id = 0;
            while let Ok(permit) = window.acquire().await {
                permit.forget();
                departures.lock().await.note(id);
                write(&mut write_half, id, &payload).await?;
                id += 1;
            }
            Ok::<_, Error>((id, write_half))
        }
    });
    let mut frames = Frames::default();
    let mut arrived = 0;
    while let Some(id) = frames.next(&mut read_half).await? {
        arrived += 1;
        if !looks_right(frames.payload(), &payload) {
            return Err("another frame came back".into());
        }
        if !recorder.arrived(departures.lock().await.of(id)) {
            break;
        }
        window.add_permits(1);
    }
    window.close();
    // What is still on its way is read, so that the server is at rest when this ends.
    let (sent, mut write_half) = drain(&mut read_half, &mut frames, &mut arrived, writer).await?;
    while arrived < sent && frames.next(&mut read_half).await?.is_some() {
        arrived += 1;
    }
    write_half.shutdown().await?;
    Ok(())
}

/// Reads until the writer has ended: it may be in the middle of a frame, and the server waits for a reader.
async fn drain<W>(
    read_half: &mut (impl AsyncRead + Unpin),
    frames: &mut Frames,
    arrived: &mut u32,
    mut writer: tokio::task::JoinHandle<Result<W, Error>>,
) -> Result<W, Error> {
    loop {
        tokio::select! {
            ended = &mut writer => return ended?,
            // Cancelled only when nothing more is selected from: what was read is in `frames`.
            more = frames.next(read_half) => {
                more?.ok_or("the server hung up")?;
                *arrived += 1;
            }
        }
    }
}

/// Reads frames into one buffer. A large one arrives where it stays; small ones arrive many at a time.
#[derive(Default)]
struct Frames {
    buffer: Vec<u8>,
    /// What is in use of `buffer`: `taken..filled` has arrived and was not handed out.
    taken: usize,
    filled: usize,
    /// Where the payload is that was handed out last.
    payload: std::ops::Range<usize>,
}

impl Frames {
    /// The number of the next frame; `None` at the end of the stream. Cancel-safe.
    async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<u32>, Error> {
        loop {
            let needed = match self.buffer[self.taken..self.filled].first_chunk() {
                None => READ_BYTES,
                Some(prefix) => {
                    let (length, id) = parse(*prefix)?;
                    let end = self.taken + PREFIX_BYTES + length;
                    if self.filled >= end {
                        self.payload = self.taken + PREFIX_BYTES..end;
                        self.taken = end;
                        return Ok(Some(id));
                    }
                    (PREFIX_BYTES + length).max(READ_BYTES)
                }
            };
            self.make_room(needed);
            match stream.read(&mut self.buffer[self.filled..]).await? {
                0 => return Ok(None),
                read => self.filled += read,
            }
        }
    }

    fn payload(&self) -> &[u8] {
        &self.buffer[self.payload.clone()]
    }

    /// Room for `needed` bytes from `taken` on. What is left of a frame moves to the front.
    fn make_room(&mut self, needed: usize) {
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
        } else if self.taken + needed > self.buffer.len() {
            self.buffer.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        if self.buffer.len() < self.taken + needed {
            self.buffer.resize(self.taken + needed, 0);
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), id: u32, payload: &[u8]) -> Result<(), Error> {
    let prefix = prefix(payload.len(), id)?;
    let mut pieces = [IoSlice::new(&prefix), IoSlice::new(payload)];
    let mut left = pieces.as_mut_slice();
    while !left.is_empty() {
        let written = stream.write_vectored(left).await?;
        if written == 0 {
            return Err("the peer takes no more".into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    // TLS holds records back; TCP does not.
    stream.flush().await?;
    Ok(())
}
