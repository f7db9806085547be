//! Sessions as `Stream`s and `Sink`s, for code that is written with them. Each is one of the methods over and over, and as
//! cancel-safe: dropping a stream loses nothing that has arrived. Streams go on saying that they have ended.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Sink, Stream, StreamExt, sink};
use nnrp_session::{CommandError, FrameKey};
use nnrp_transport::{Connection, SendError, SessionEvent};
use nnrp_wire::{BudgetPolicy, FlowUpdateMetadata, Packet, SubmitFrame};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::client::ClientSession;
use crate::error::SessionError;
use crate::listener::Listener;
use crate::outcome::Outcome;
use crate::reply::Reply;
use crate::server::ServerSession;
use crate::submit::Submit;

impl Listener {
    /// Sessions as [`Listener::accept`] returns them, until the listener is closed.
    pub fn incoming(&self) -> impl Stream<Item = ServerSession> + Send + Unpin + use<> {
        stream::unfold(self.clone(), |listener| async move {
            let session = listener.accept().await?;
            Some((session, listener))
        })
        .fuse()
        .boxed()
    }
}

impl ServerSession {
    /// Frames as [`ServerSession::recv`] returns them, each with its duty to answer. The stream ends with the session, after the
    /// error if the session did not end in order.
    pub fn submits(&self) -> impl Stream<Item = Result<Submit, SessionError>> + Send + Unpin + use<> {
        stream::unfold(Some(self.clone()), |session| async move {
            let session = session?;
            match session.recv().await {
                Ok(submit) => Some((Ok(submit?), Some(session))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .fuse()
        .boxed()
    }

    /// Results as [`ServerSession::send`] sends them, one after the other; waits while the write buffer is full.
    pub fn sink(&self) -> impl Sink<(FrameKey, Outcome), Error = SendError> + Send + Unpin + use<> {
        Box::pin(sink::unfold(self.clone(), |session, (key, outcome)| async move {
            session.send(key, outcome).await?;
            Ok(session)
        }))
    }

    /// What the client wants of the server's results, from now on: advice, which nothing obeys by itself. A subscriber that
    /// falls behind misses the oldest.
    pub fn flow_updates(&self) -> Subscription<FlowUpdateMetadata> {
        Subscription::new(self.connection().flow_updates(), self.connection())
    }

    /// Frames that nobody waits for any more, from now on: cancelled by the client, or expired. Whoever has the [`Submit`]
    /// rather awaits [`Submit::cancelled`]. A stream that falls behind misses the oldest.
    pub fn cancels(&self) -> impl Stream<Item = FrameKey> + Send + Unpin + use<> {
        heard(self.connection().cancels(), self.connection())
    }
}

impl ServerSession {
    /// What happens to the session from now on besides its frames: cancels, expiries, patches, the client's flow updates, refused
    /// packets, migrations, and how it ends, in this order of its own. A stream that falls behind misses the oldest and says
    /// how many ([`SessionEvent::Missed`]). The last event is [`SessionEvent::Ended`], also where the session had ended before.
    ///
    /// ```
    /// # use nnrp::{ServerSession, SessionEvent};
    /// async fn watch(session: ServerSession) {
    ///     let mut events = session.events();
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             SessionEvent::Moved { transport, peer } => println!("over {transport} from {peer} now"),
    ///             SessionEvent::Patched(now) => println!("quality {} from here on", now.quality_tier),
    ///             SessionEvent::Ended(closed) => println!("over: {closed}"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    pub fn events(&self) -> Events {
        Events::of(self.connection())
    }
}

impl ClientSession {
    /// What happens to the session from now on besides its frames: hints, flow updates, frames cancelled here, refused packets,
    /// migrations, and how it ends; as [`ServerSession::events`].
    ///
    /// ```
    /// # use nnrp::{ClientSession, SessionEvent};
    /// async fn watch(session: ClientSession) {
    ///     let mut events = session.events();
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             SessionEvent::FlowUpdate(_, update) => println!("credit {}", update.session_credit),
    ///             SessionEvent::PeerClosing(reason) => println!("the server goes: {reason}"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    pub fn events(&self) -> Events {
        Events::of(self.connection())
    }

    /// Results, drops and failures as [`ClientSession::receive`] returns them. The stream ends with the session.
    pub fn replies(&self) -> impl Stream<Item = Reply> + Send + Unpin + use<> {
        stream::unfold(self.clone(), |session| async move {
            let reply = session.receive().await.ok()?;
            Some((reply, session))
        })
        .fuse()
        .boxed()
    }

    /// Frames as [`ClientSession::send`] submits them, one after the other; waits while credit or a pause holds one back.
    pub fn sink(&self) -> impl Sink<SubmitFrame, Error = SendError> + Send + Unpin + use<> {
        Box::pin(sink::unfold(self.clone(), |session, frame: SubmitFrame| async move {
            session.send(&frame).await?;
            Ok(session)
        }))
    }

    /// Submits a frame whose answer comes in parts, and takes them as they come: the parts, then the last result, or a drop. The
    /// frame says that it takes parts (ALLOW_PARTIAL). Cancel-safe as [`ClientSession::send`]: the frame is submitted, or
    /// nothing has happened.
    ///
    /// # Errors
    ///
    /// As [`ClientSession::send`].
    pub async fn submit_streaming(&self, frame: &SubmitFrame) -> Result<ResultParts, SendError> {
        let key = FrameKey { view_id: frame.view_id, frame_id: frame.frame_id };
        if frame.budget_policy.contains(BudgetPolicy::ALLOW_PARTIAL) {
            self.send(frame).await?;
        } else {
            self.send(&frame.clone().allow(BudgetPolicy::ALLOW_PARTIAL)).await?;
        }
        Ok(ResultParts::new(self, key))
    }
}

/// The answer to one frame, part by part; see [`ClientSession::submit_streaming`]. A `Stream` that ends after the last part, or
/// after the error with which the session ended. Dropping it before that tells the server to stop (FRAME_CANCEL), and what
/// still comes is thrown away.
#[must_use = "dropping it cancels the frame"]
pub struct ResultParts {
    session: ClientSession,
    key: FrameKey,
    parts: BoxStream<'static, Result<Reply, SessionError>>,
    over: bool,
}

impl ResultParts {
    fn new(session: &ClientSession, key: FrameKey) -> Self {
        let receiving = session.clone();
        let parts = stream::repeat(())
            .then(move |()| {
                let session = receiving.clone();
                async move { session.receive_for(key.frame_id, Some(key.view_id)).await }
            })
            .boxed();
        ResultParts { session: session.clone(), key, parts, over: false }
    }

    /// Which frame it answers.
    pub fn key(&self) -> FrameKey {
        self.key
    }

    /// The next part; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Reply, SessionError>> {
        StreamExt::next(self).await
    }
}

impl Stream for ResultParts {
    type Item = Result<Reply, SessionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let part = std::task::ready!(self.parts.poll_next_unpin(cx));
        self.over = !matches!(&part, Some(Ok(reply)) if !reply.is_last());
        Poll::Ready(part)
    }
}

impl Drop for ResultParts {
    fn drop(&mut self) {
        if !self.over {
            // In a session that has ended there is nothing to cancel.
            let _: Result<(), CommandError> =
                self.session.connection().with(|machine, _| machine.cancel(self.key));
            self.session.discard(self.key);
        }
    }
}

impl fmt::Debug for ResultParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultParts")
            .field("key", &self.key)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// What arrives from the moment of subscribing, with the packet it came in. A `Stream`, which ends with the session.
pub struct Subscription<T>(BoxStream<'static, (Packet, T)>);

impl<T: Clone + Send + 'static> Subscription<T> {
    pub(crate) fn new(receiver: broadcast::Receiver<(Packet, T)>, connection: &Connection) -> Self {
        Subscription(heard(receiver, connection))
    }

    /// The next one; `None` once the session is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<(Packet, T)> {
        self.0.next().await
    }
}

impl<T> Stream for Subscription<T> {
    type Item = (Packet, T);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").finish_non_exhaustive()
    }
}

/// What happens to a session; see [`ClientSession::events`] and [`ServerSession::events`]. A `Stream` that ends after
/// [`SessionEvent::Ended`].
pub struct Events(BoxStream<'static, SessionEvent>);

impl Events {
    fn of(connection: &Connection) -> Self {
        let from = (connection.events(), connection.clone());
        let events = stream::unfold(Some(from), |from| async move {
            let (mut receiver, connection) = from?;
            let event = tokio::select! {
                biased;
                received = receiver.recv() => match received {
                    Ok(event) => Some(event),
                    Err(RecvError::Lagged(missed)) => Some(SessionEvent::Missed(missed)),
                    Err(RecvError::Closed) => None,
                },
                // What had happened by then is said first.
                _ = connection.closed() => match receiver.try_recv() {
                    Ok(event) => Some(event),
                    Err(TryRecvError::Lagged(missed)) => Some(SessionEvent::Missed(missed)),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => None,
                },
            };
            match event {
                Some(event) => Some((event, Some((receiver, connection)))),
                None => Some((SessionEvent::Ended(connection.closed().await), None)),
            }
        })
        .fuse()
        .boxed();
        Events(events)
    }

    /// The next one; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        self.0.next().await
    }
}

impl Stream for Events {
    type Item = SessionEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").finish_non_exhaustive()
    }
}

/// What a broadcast says until the connection has ended, what was missed left out.
fn heard<T: Clone + Send + 'static>(
    receiver: broadcast::Receiver<T>,
    connection: &Connection,
) -> BoxStream<'static, T> {
    stream::unfold((receiver, connection.clone()), |(mut receiver, connection)| async move {
        loop {
            tokio::select! {
                biased;
                received = receiver.recv() => match received {
                    Ok(item) => return Some((item, (receiver, connection))),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                _ = connection.closed() => {
                    let item = receiver.try_recv().ok()?;
                    return Some((item, (receiver, connection)));
                }
            }
        }
    })
    .fuse()
    .boxed()
}
