//! Runs a machine over one ordered byte stream: TCP, TLS over TCP, or memory.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use nnrp_session::{DRAIN_TIME, TransportEnd};
use tokio::io::AsyncWrite;
use tokio::sync::watch;

use crate::alarm::Alarm;
use crate::clock;
use crate::path::Path;
use crate::pen::Pen;
use crate::serving::Serving;
use crate::socket::Socket;
use crate::stream_reader::{ReadEnd, Reader, Source};
use crate::tls::Failure;
use crate::turns::{self, Stream};

/// Starts the tasks of a connection.
/// `socket`: what is read is this in the end, and can be lent to an event loop.
pub(crate) fn spawn<R, W>(
    path: &Arc<Path>,
    read: R,
    write: W,
    idle_timeout: Option<Duration>,
    socket: Option<Socket>,
) where
    R: Source,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (reader_done, reader_ended) = watch::channel(false);
    let serving = Serving::new(Reader::new(path.clone(), read, idle_timeout).run(), socket);
    path.link.served.by(&serving);
    path.link.lay_pen_down(Pen::new(write));
    let writer = Writer { path: path.clone(), idle_timeout };
    let path = path.clone();
    tokio::spawn(async move {
        let _stream = Stream::open();
        let mut write = tokio::spawn(writer.run(reader_ended));
        tokio::select! {
            end = serving.read() => {
                match end {
                    ReadEnd::Transport(end) => {
                        path.transport_lost(&end);
                    }
                    ReadEnd::Failed(failure) => path.transport_failed(failure),
                    ReadEnd::Refused => {}
                }
                reader_done.send_replace(true);
                let _ = write.await;
            }
            // The goodbye is said: nothing more is read, and the socket closes.
            _ = &mut write => {}
        }
        // Its socket goes first.
        drop(serving);
        path.transport_closed(&TransportEnd { clean: true, text: String::new() });
    });
}

/// Writes what applications have left to it ([`leaving`](crate::leaving)), and does what a session does in time.
struct Writer {
    path: Arc<Path>,
    idle_timeout: Option<Duration>,
}

impl Writer {
    async fn run(self, mut reader_ended: watch::Receiver<bool>) {
        let path = &self.path;
        let mut held = None;
        let mut alarm = Alarm::default();
        loop {
            let Some(mut pen) = path.take_up(held.take()) else {
                // Only now: a refused peer that has closed its half still gets its ERROR.
                if *reader_ended.borrow() {
                    return;
                }
                let deadline = path.deadline();
                tokio::select! {
                    () = path.link.wake_writer.notified() => {}
                    () = alarm.until(deadline) => path.handle_timeout(),
                    _ = reader_ended.changed() => {}
                }
                continue;
            };
            match self.write(&mut pen).await {
                Ok(()) if pen.is_goodbye() => return say_goodbye(*pen, reader_ended).await,
                Ok(()) => held = Some(pen),
                Err(error) => {
                    // What the peer sent before it went may still be read; then the reader sees the end too.
                    let _ = tokio::time::timeout(DRAIN_TIME, reader_ended.wait_for(|ended| *ended)).await;
                    path.transport_failed(Failure::of_io(&error));
                    return;
                }
            }
        }
    }

    /// Writes everything the pen has taken.
    async fn write(&self, pen: &mut Pen) -> io::Result<()> {
        let path = &self.path;
        let mut moved_at = clock::now();
        if let Some(written) = self.write_on(pen, &mut moved_at).now_or_never() {
            return written;
        }
        let overdue = path.overdue();
        tokio::pin!(overdue);
        loop {
            let silent_at = self.idle_timeout.map(|limit| moved_at + limit);
            tokio::select! {
                biased;
                written = self.write_on(pen, &mut moved_at) => return written,
                // A peer that reads a byte now and then must not keep a session that is over.
                () = &mut overdue => return Err(io::ErrorKind::TimedOut.into()),
                // What a session does in time it does although its peer reads nothing.
                () = path.link.wake_writer.notified() => {}
                () = async { clock::sleep_until(path.deadline()).await } => path.handle_timeout(),
                // R-TCP-3.
                () = clock::sleep_until(silent_at) => {
                    if self.idle_timeout.is_some_and(|limit| moved_at + limit <= clock::now()) {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "idle timeout expired"));
                    }
                }
            }
        }
    }

    /// The same for as long as nothing else is to be done. Cancel-safe.
    async fn write_on(&self, pen: &mut Pen, moved_at: &mut Instant) -> io::Result<()> {
        loop {
            let turn = std::future::poll_fn(|cx| {
                let polled = pen.poll_write(cx);
                let written = pen.written();
                // A peer that takes what we send is there, though its answer may have to wait behind all of it.
                if written.moved {
                    *moved_at = clock::now();
                }
                self.path.settle(written);
                polled
            });
            if turn.await? {
                return Ok(());
            }
            turns::end().await;
        }
    }
}

/// Everything is out: ends our half and gives the peer time to end its own, so that nothing in flight is destroyed by a reset.
async fn say_goodbye(mut pen: Pen, mut reader_ended: watch::Receiver<bool>) {
    let goodbye = async {
        let _ = pen.shutdown().await;
        let _ = reader_ended.wait_for(|ended| *ended).await;
    };
    let _ = tokio::time::timeout(DRAIN_TIME, goodbye).await;
}
