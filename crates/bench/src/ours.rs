//! Our echo server and our client, as a service would write them with the `nnrp` crate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nnrp::wire::{Section, SubmitFrame, TensorDType};
use nnrp::{ClientConfig, ClientSession, Listener, Outcome, Reply, ServerConfig, ServerSession};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use crate::Error;
use crate::certificates::{SERVER_NAME, identity, trust};
use crate::options::{BACKGROUND_IN_FLIGHT, Options, Transport};
use crate::recorder::{Departures, Recorder, looks_right, payload};

/// Credit the server announces: more than any run has in flight, so that it holds nobody back.
const CREDIT: u16 = 1024;

/// How long a client waits for the last results, and for the server to have read its goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Frames that are not measured, in a session whose others are, have the numbers after this.
const BESIDE: u32 = 1 << 31;

pub(crate) async fn serve(options: &Options) -> Result<(), Error> {
    let config = ServerConfig::new().max_concurrent_frames(CREDIT);
    let address = options.address;
    let listener = match options.transport {
        Transport::Tcp => Listener::bind_tcp(address, config).await?,
        Transport::Tls => {
            let identity = identity(&options.certificates)?;
            Listener::bind_tcp_tls(address, &identity, config).await?
        }
        Transport::Quic => {
            let identity = identity(&options.certificates)?;
            Listener::bind_quic(address, &identity, config).await?
        }
    };
    crate::announce(listener.local_addr().port());
    let hold = options.hold;
    while let Some(session) = listener.accept().await {
        if hold > 1 {
            tokio::spawn(echo_together(session, hold));
        } else {
            tokio::spawn(echo(session));
        }
    }
    Ok(())
}

async fn echo(session: ServerSession) {
    while let Ok(Some(submit)) = session.recv().await {
        let answer = Outcome::complete().sections(submit.sections());
        if submit.reply(answer).await.is_err() {
            return;
        }
    }
}

/// Takes `hold` frames before it answers any of them: so many are in its memory at once.
async fn echo_together(session: ServerSession, hold: usize) {
    let mut held = Vec::with_capacity(hold);
    while let Ok(Some(submit)) = session.recv().await {
        held.push(submit);
        if held.len() < hold {
            continue;
        }
        for submit in held.drain(..) {
            let answer = Outcome::complete().sections(submit.sections());
            if submit.reply(answer).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) async fn load(options: &Options) -> Result<(), Error> {
    let mut connected = Vec::new();
    for _ in 0..options.sessions {
        connected.push(connect(options).await?);
    }
    let mut background = None;
    if let Some(options) = options.background() {
        let session = connect(&options).await?;
        let recorder = Arc::new(Recorder::silent(&options));
        background = Some((session.clone(), tokio::spawn(many(session, options, recorder))));
    }
    let recorder = Arc::new(Recorder::new(options));
    let mut sessions = JoinSet::new();
    for session in connected {
        let (options, recorder) = (options.clone(), recorder.clone());
        if options.in_flight == 1 && options.beside_size == 0 {
            sessions.spawn(one_by_one(session, options, recorder));
        } else {
            sessions.spawn(many(session, options, recorder));
        }
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    if let Some((session, task)) = background {
        task.abort();
        let _ = tokio::time::timeout(GOODBYE, session.close("done")).await;
    }
    Ok(())
}

async fn connect(options: &Options) -> Result<ClientSession, Error> {
    let address = options.address;
    let config = ClientConfig::new();
    Ok(match options.transport {
        Transport::Tcp => ClientSession::connect_tcp(address, config).await?,
        Transport::Tls => {
            let trust = trust(&options.certificates)?;
            ClientSession::connect_tcp_tls(address, SERVER_NAME, &trust, config).await?
        }
        Transport::Quic => {
            let trust = trust(&options.certificates)?;
            ClientSession::connect_quic(address, SERVER_NAME, &trust, config).await?
        }
    })
}

fn frame(size: usize, id: u32) -> SubmitFrame {
    let section = Section::new(1, TensorDType::Uint8).tiles([payload(size)]);
    SubmitFrame::new(id).tiles([0]).section(section)
}

async fn one_by_one(session: ClientSession, options: Options, recorder: Arc<Recorder>) -> Result<(), Error> {
    let mut frame = frame(options.size, 0);
    loop {
        frame.frame_id += 1;
        let sent = Instant::now();
        let reply = session.submit(&frame).await?;
        if check(&reply, |_| &frame)? != frame.frame_id {
            return Err("another frame came back".into());
        }
        if !recorder.arrived(sent) {
            break;
        }
    }
    let _ = tokio::time::timeout(GOODBYE, session.close("done")).await;
    Ok(())
}

/// Tasks that submit as long as there is room in their windows, and one that receives and makes room.
async fn many(session: ClientSession, options: Options, recorder: Arc<Recorder>) -> Result<(), Error> {
    let window = Arc::new(Semaphore::new(options.in_flight));
    let beside_window =
        Arc::new(Semaphore::new(if options.beside_size > 0 { BACKGROUND_IN_FLIGHT } else { 0 }));
    let departures = Arc::new(Mutex::new(Departures::new(options.in_flight)));
    let (measured, beside) = (frame(options.size, 0), frame(options.beside_size, BESIDE));
    let mut submitters = JoinSet::new();
    submitters.spawn(submit(session.clone(), window.clone(), measured.clone(), Some(departures.clone())));
    submitters.spawn(submit(session.clone(), beside_window.clone(), beside.clone(), None));
    let mut arrived = 0;
    loop {
        let id = check(&session.receive().await?, |id| if id < BESIDE { &measured } else { &beside })?;
        arrived += 1;
        if id >= BESIDE {
            beside_window.add_permits(1);
        } else if recorder.arrived(departures.lock().await.of(id)) {
            window.add_permits(1);
        } else {
            break;
        }
    }
    window.close();
    beside_window.close();
    // What is still on its way is received, so that the server is at rest when this ends. A submitter may be in the middle of
    // a frame, for which the server has to be rid of results. A server that holds frames until it has so many never answers the
    // last ones.
    let rest = async {
        let mut sent = 0;
        while !submitters.is_empty() || sent != arrived {
            tokio::select! {
                Some(ended) = submitters.join_next() => sent += ended??,
                more = session.receive() => {
                    more?;
                    arrived += 1;
                }
            }
        }
        Ok::<(), Error>(())
    };
    if let Ok(received) = tokio::time::timeout(GOODBYE, rest).await {
        received?;
    }
    let _ = tokio::time::timeout(GOODBYE, session.close("done")).await;
    Ok(())
}

/// Submits frames like `frame`, with the numbers that follow its own, until its window is closed; returns how many.
async fn submit(
    session: ClientSession,
    window: Arc<Semaphore>,
    mut frame: SubmitFrame,
    departures: Option<Arc<Mutex<Departures>>>,
) -> Result<u32, Error> {
    let before = frame.frame_id;
    while let Ok(permit) = window.acquire().await {
        permit.forget();
        frame.frame_id += 1;
        if let Some(departures) = &departures {
            departures.lock().await.note(frame.frame_id);
        }
        session.send(&frame).await?;
    }
    Ok(frame.frame_id - before)
}

/// Looks at a result as the floor's client does, and returns which frame it is of.
/// `sent` has frames like the one of a number.
fn check<'a>(reply: &Reply, sent: impl FnOnce(u32) -> &'a SubmitFrame) -> Result<u32, Error> {
    let Reply::Result(result) = reply else { return Err(format!("no result: {reply:?}").into()) };
    let section = result.sections().next().ok_or("a result without a section")?;
    let tile = section.tiles().next().ok_or("a section without a tile")?;
    let id = result.packet.header.frame_id;
    if !looks_right(&tile, &sent(id).sections[0].tiles[0]) {
        return Err("other bytes came back".into());
    }
    Ok(id)
}
