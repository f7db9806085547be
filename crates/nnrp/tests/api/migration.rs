//! Sessions move between connections while they work, and strangers move nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nnrp::wire::{
    ErrorCode, Header, MessageType, Packet, ResultClass, ServerHelloAck, ServerHelloAckMetadata,
    SessionMigrate, SessionMigrateAck, SessionMigrateAckMetadata, SessionMigrateMetadata, SubmitFrame,
    TransportId, TypedPayload,
};
use nnrp::{
    ClientConfig, ClientSession, ClientTls, Connection, Filter, FrameKey, Item, Listener, MigrateError,
    Migration, QuicOptions, Reply, ServerConfig, ServerSession, SessionEvent, TcpOptions,
};

use super::certificates::{Authority, Pem, When};
use super::harness::{Kind, Server, dial, listen, soon, text_of, text_result};
use super::relay::Relay;

pub(crate) const TOKEN: &[u8] = b"the token of the victim";

/// Listeners over TCP and QUIC that share their sessions.
struct Site {
    tcp: Server,
    quic: Server,
    config: ServerConfig,
}

impl Site {
    async fn start(config: ServerConfig) -> Self {
        Site {
            tcp: Server::start(Kind::Tcp, config.clone()).await,
            quic: Server::start(Kind::Quic, config.clone()).await,
            config,
        }
    }

    async fn open() -> Self {
        Self::start(config()).await
    }

    fn of(&self, kind: Kind) -> &Server {
        if kind.is_quic() { &self.quic } else { &self.tcp }
    }

    /// A session over `kind`, both ends.
    async fn session(&self, kind: Kind) -> (ClientSession, ServerSession) {
        let server = self.of(kind);
        let (client, session) =
            tokio::join!(server.dial(kind, ClientConfig::new().auth_block(TOKEN)), server.listener.accept());
        (client.unwrap(), session.unwrap())
    }

    /// Both accept loops, as a server runs them.
    fn serve(self: &Arc<Self>, handle: impl Fn(ServerSession) + Clone + Send + Sync + 'static) {
        for kind in [Kind::Tcp, Kind::Quic] {
            let (site, handle) = (self.clone(), handle.clone());
            tokio::spawn(async move {
                while let Some(session) = site.of(kind).listener.accept().await {
                    handle(session);
                }
            });
        }
    }
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig::new().migration(Migration::Authenticated)
}

fn other(kind: Kind) -> Kind {
    if kind.is_quic() { Kind::Tcp } else { Kind::Quic }
}

// ---------------------------------------------------------------- the work that goes on
const PARTS: u32 = 5;

/// Answers every frame with some parts, and counts how often each ran.
pub(crate) fn streams(runs: Arc<AtomicUsize>) -> impl Fn(ServerSession) + Clone + Send + Sync + 'static {
    move |session: ServerSession| {
        let runs = runs.clone();
        tokio::spawn(async move {
            while let Ok(Some(submit)) = session.recv().await {
                runs.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let id = submit.key().frame_id;
                    for part in 0..PARTS - 1 {
                        let mut result = text_result(id, &format!("{id}.{part}"));
                        result.result_class = ResultClass::Partial;
                        if submit.partial(result).await.is_err() {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                    let last = PARTS - 1;
                    let _ = submit.reply(text_result(id, &format!("{id}.{last}"))).await;
                });
            }
        });
    }
}

fn token_frame(id: u32) -> SubmitFrame {
    SubmitFrame {
        typed_payloads: vec![TypedPayload::token_chunk(format!(
            "prompt {id} {}",
            "x".repeat(id as usize % 700)
        ))],
        ..SubmitFrame::new(id)
    }
}

/// Submits `ids`, some at a time, and returns what came back for each. `done` counts finished frames.
pub(crate) async fn work(
    client: &ClientSession,
    ids: std::ops::RangeInclusive<u32>,
    done: &AtomicUsize,
) -> BTreeMap<u32, Vec<String>> {
    let mut output: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut ids = ids.peekable();
    let mut live = 0;
    while live > 0 || ids.peek().is_some() {
        while live < 32
            && let Some(id) = ids.next()
        {
            client.send(&token_frame(id)).await.unwrap();
            live += 1;
        }
        let reply = soon("a result", client.receive()).await.unwrap();
        let Reply::Result(result) = &reply else { panic!("{reply:?}") };
        let id = result.packet.header.frame_id;
        let parts = output.entry(id).or_default();
        parts.push(text_of(&reply));
        if parts.len() == PARTS as usize {
            live -= 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    output
}

pub(crate) fn uncut(ids: std::ops::RangeInclusive<u32>) -> BTreeMap<u32, Vec<String>> {
    ids.map(|id| (id, (0..PARTS).map(|part| format!("{id}.{part}")).collect())).collect()
}

async fn connect(site: &Site, kind: Kind) -> Connection {
    site.of(kind).dial_raw(kind).await
}

/// Moves the session between bindings while it works, without any loss on the way.
pub(crate) async fn a_session_moves_there_and_back_while_it_works(kind: Kind) {
    let site = Arc::new(Site::open().await);
    let runs = Arc::new(AtomicUsize::new(0));
    site.serve(streams(runs.clone()));
    let config = ClientConfig::new().auth_block(TOKEN);
    let client = site.of(kind).dial(kind, config).await.unwrap();
    let done = AtomicUsize::new(0);
    let moves = async {
        let mut to = other(kind);
        for round in 1..=6 {
            while done.load(Ordering::Relaxed) < round * 40 {
                tokio::task::yield_now().await;
            }
            let record = client.migrate(connect(&site, to).await).await.unwrap();
            assert_ne!(record.from, record.to);
            assert_eq!(client.connection().transport(), record.to);
            to = other(to);
        }
    };
    let (output, ()) = tokio::join!(work(&client, 1..=300, &done), moves);
    assert_eq!(output, uncut(1..=300));
    assert_eq!(runs.load(Ordering::Relaxed), 300, "a frame never runs twice");
    assert_eq!(client.migrations().len(), 6);
    client.close("").await;
}

/// Cuts the line at some points, so that what is on its way is lost both ways, and moves the session each time.
pub(crate) async fn nothing_is_lost_when_the_line_is_cut(kind: Kind) {
    let site = Arc::new(Site::open().await);
    let runs = Arc::new(AtomicUsize::new(0));
    site.serve(streams(runs.clone()));
    let mut line = Relay::start(kind, site.of(kind).listener.local_addr()).await;
    let config = ClientConfig::new().auth_block(TOKEN);
    let client = site.of(kind).dial_at(kind, line.address, config).await.unwrap();
    let done = AtomicUsize::new(0);
    let cuts = async {
        // Somewhere in the middle of things, and not always at the same place.
        for (round, at) in [13, 61, 118, 170, 233, 290, 341, 400].into_iter().enumerate() {
            while done.load(Ordering::Relaxed) < at {
                tokio::task::yield_now().await;
            }
            line.cut();
            let to = if round % 3 == 2 {
                kind
            } else if round % 2 == 0 {
                other(kind)
            } else {
                kind
            };
            line = Relay::start(to, site.of(to).listener.local_addr()).await;
            let new = site.of(to).dial_raw_at(to, line.address).await;
            client.migrate_because(new, "the line was cut").await.unwrap();
        }
    };
    let (output, ()) = tokio::join!(work(&client, 1..=500, &done), cuts);
    assert_eq!(output, uncut(1..=500));
    assert_eq!(runs.load(Ordering::Relaxed), 500, "a frame never runs twice");
    client.close("").await;
}

/// Both handles, and everything that waits on them, stay what they were.
pub(crate) async fn who_waits_goes_on_waiting(kind: Kind) {
    let site = Site::open().await;
    let (client, server) = site.session(kind).await;
    client.send(&token_frame(1)).await.unwrap();
    let submit = soon("a frame", server.recv()).await.unwrap().unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.receive_for(1, None).await }
    });
    let to_come = tokio::spawn({
        let server = server.clone();
        async move { server.recv().await }
    });
    let mut cancels = server.connection().cancels();
    let (mut here, mut there) = (client.events(), server.events());
    let accepting = site.of(other(kind)).listener.accept();
    let moving = async { client.migrate(connect(&site, other(kind)).await).await.unwrap() };
    tokio::select! {
        record = moving => {
            assert_eq!(record.resume_from_frame_id, Some(2));
            assert_eq!(record.grace, Some(Duration::from_secs(1)));
        }
        session = accepting => panic!("a migration is no new session: {session:?}"),
    }
    assert_eq!(server.connection().transport(), client.connection().transport());
    for (events, session) in [(&mut here, client.connection()), (&mut there, server.connection())] {
        match soon("the move", events.next()).await {
            Some(SessionEvent::Moved { transport, peer }) => {
                assert_eq!((transport, peer), (session.transport(), session.peer_addr()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((server.id(), client.id()), (1, 1));
    submit.reply(text_result(1, "answer")).await.unwrap();
    assert_eq!(text_of(&soon("the result", waiting).await.unwrap().unwrap()), "answer");
    client.send(&token_frame(2)).await.unwrap();
    let second = soon("the second frame", to_come).await.unwrap().unwrap();
    client.cancel(FrameKey::new(2)).await.unwrap();
    assert_eq!(soon("the cancel", cancels.recv()).await.unwrap(), FrameKey::new(2));
    drop(second);
    client.ping(Duration::from_secs(5)).await.unwrap();
    client.close("").await;
    soon("the end", server.closed()).await;
}

/// The session ends with the path it is on, not with the one it left.
pub(crate) async fn the_path_it_left_closes_and_the_session_does_not(kind: Kind) {
    let site = Site::start(config().migration_grace(Duration::from_millis(50))).await;
    let (client, server) = site.session(kind).await;
    client.send(&token_frame(1)).await.unwrap();
    let submit = soon("a frame", server.recv()).await.unwrap().unwrap();
    tokio::select! {
        record = async { client.migrate(connect(&site, other(kind)).await).await } => { record.unwrap(); }
        session = site.of(other(kind)).listener.accept() => panic!("{session:?}"),
    }
    // Longer than the grace: the frame is still live.
    nnrp::clock::sleep_until(Some(nnrp::clock::now() + Duration::from_millis(200))).await;
    submit.reply(text_result(1, "late")).await.unwrap();
    assert_eq!(text_of(&soon("the result", client.receive()).await.unwrap()), "late");
    assert!(client.connection().ended().is_none() && server.connection().ended().is_none());
    client.close("").await;
    soon("the end", server.closed()).await;
    soon("the transport", client.connection().gone()).await;
}

// ---------------------------------------------------------------- strangers
/// What the server answers to a SESSION_MIGRATE of anybody.
async fn ask(site: &Site, kind: Kind, id: u32, token: &[u8]) -> u32 {
    ask_on(&connect(site, kind).await, id, token).await
}

async fn ask_on(connection: &Connection, id: u32, token: &[u8]) -> u32 {
    let metadata = SessionMigrateMetadata {
        old_transport_id: TransportId::Quic,
        new_transport_id: connection.transport(),
        ..SessionMigrateMetadata::default()
    };
    let mut header = Header::new(MessageType::SessionMigrate);
    header.session_id = id;
    let request = SessionMigrate { metadata, token: token.to_vec().into() };
    connection.send(request.encode(header).unwrap().to_packet()).await.unwrap();
    let Ok(Item::Packet(answer)) = soon("an answer", connection.receive(Filter::Any)).await else {
        panic!("no answer")
    };
    assert_eq!((answer.header.msg_type, answer.header.session_id), (MessageType::SessionMigrateAck, id));
    assert!(answer.body.is_empty());
    SessionMigrateAckMetadata::decode(&answer.metadata).unwrap().accept_code
}

/// Nothing happened to the session.
async fn untouched(client: &ClientSession, server: &ServerSession, kind: Kind, frame: u32) {
    let transport = kind.transport();
    assert_eq!((client.connection().transport(), server.connection().transport()), (transport, transport));
    client.send(&token_frame(frame)).await.unwrap();
    let submit = soon("a frame", server.recv()).await.unwrap().unwrap();
    submit.reply(text_result(frame, "still here")).await.unwrap();
    assert_eq!(text_of(&soon("its result", client.receive()).await.unwrap()), "still here");
}

const AUTH_FAILED: u32 = ErrorCode::AuthFailed.value();
const INVALID_STATE: u32 = ErrorCode::InvalidState.value();

// Rules R-MIG-4
pub(crate) async fn a_stranger_who_knows_the_id_gets_nothing(kind: Kind) {
    let site = Arc::new(
        Site::start(config().authenticate(|hello| async move { hello.hello.auth_block == TOKEN })).await,
    );
    let (client, server) = site.session(kind).await;
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    let mut frame = 0;
    for to in [Kind::Tcp, Kind::Quic] {
        for token in [b"".as_slice(), b"guess", &TOKEN[1..], b"the token of the victiM"] {
            assert_eq!(ask(&site, to, client.id(), token).await, AUTH_FAILED);
            // A session that is not there looks the same to somebody who cannot prove who they are.
            assert_eq!(ask(&site, to, 4711, token).await, AUTH_FAILED);
            frame += 1;
            untouched(&client, &server, kind, frame).await;
        }
        // Somebody else who may come in, but not with this session.
        assert_eq!(ask(&site, to, 4711, TOKEN).await, INVALID_STATE);
    }
    client.close("").await;
}

pub(crate) async fn another_client_of_the_server_is_a_stranger_too(kind: Kind) {
    let site = Arc::new(Site::open().await);
    let (client, server) = site.session(kind).await;
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    assert_eq!(ask(&site, other(kind), client.id(), b"my own token").await, AUTH_FAILED);
    untouched(&client, &server, kind, 1).await;
    client.close("").await;
}

pub(crate) async fn the_right_token_with_another_certificate_moves_nothing(kind: Kind) {
    let authority = Authority::new();
    let (mine, other_one) = (authority.sign("camera-7", When::Now), authority.sign("camera-8", When::Now));
    let tls = authority.server().require_client_certificates(authority.pem());
    let config = config();
    let secure = if kind.is_quic() { Kind::Quic } else { Kind::Tls };
    let listener = listen(secure, tls, config.clone()).await;
    let plain = listen(Kind::Tcp, authority.server(), config).await;
    let shown = |pem: &Pem| ClientTls::from(authority.trust()).identity(pem.identity());
    let dialling = dial(secure, listener.local_addr(), shown(&mine), ClientConfig::new().auth_block(TOKEN));
    let (client, server) = tokio::join!(dialling, listener.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    for listener in [listener.clone(), plain.clone()] {
        tokio::spawn(async move { listener.accept().await.map(|session| panic!("admitted: {session:?}")) });
    }
    let raw = async |tls: ClientTls| {
        let address = listener.local_addr();
        let dialled = match secure {
            Kind::Quic => nnrp::quic::connect(address, "localhost", tls, &QuicOptions::default(), None).await,
            _ => nnrp::tcp::connect_tls(address, "localhost", tls, &TcpOptions::default(), None).await,
        };
        dialled.unwrap()
    };
    assert_eq!(ask_on(&raw(shown(&other_one)).await, client.id(), TOKEN).await, AUTH_FAILED);
    // And none at all, where none is asked for.
    let bare = nnrp::tcp::connect(plain.local_addr(), &TcpOptions::default(), None).await.unwrap();
    assert_eq!(ask_on(&bare, client.id(), TOKEN).await, AUTH_FAILED);
    untouched(&client, &server, kind, 1).await;
    client.migrate(raw(shown(&mine)).await).await.unwrap();
    untouched(&client, &server, kind, 2).await;
    client.close("").await;
}

// Rules R-MIG-5, R-MIG-6
pub(crate) async fn switched_off_the_right_token_moves_nothing(kind: Kind) {
    let site = Arc::new(Site::start(ServerConfig::new()).await);
    let (client, server) = site.session(kind).await;
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    assert_eq!(ask(&site, other(kind), client.id(), TOKEN).await, 1);
    let refused = client.migrate(connect(&site, other(kind)).await).await.unwrap_err();
    assert!(matches!(&refused, MigrateError::Refused(fault) if fault.from_peer), "{refused}");
    assert_eq!(client.migrations()[0].error, Some(refused));
    untouched(&client, &server, kind, 1).await;
    client.close("").await;
}

pub(crate) async fn a_client_without_a_token_stays_where_it_is(kind: Kind) {
    let site = Arc::new(Site::open().await);
    let server = site.of(kind);
    let (client, session) = tokio::join!(server.dial(kind, ClientConfig::new()), server.listener.accept());
    let (client, session) = (client.unwrap(), session.unwrap());
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    assert_eq!(ask(&site, other(kind), client.id(), b"").await, INVALID_STATE);
    assert!(client.migrate(connect(&site, other(kind)).await).await.is_err());
    untouched(&client, &session, kind, 1).await;
    client.close("").await;
}

// Rules R-MIG-3
pub(crate) async fn a_session_that_is_over_cannot_be_moved(kind: Kind) {
    let site = Arc::new(Site::open().await);
    let (client, server) = site.session(kind).await;
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    let id = client.id();
    client.send(&token_frame(1)).await.unwrap();
    let owed = soon("a frame", server.recv()).await.unwrap().unwrap();
    // The client has said goodbye and the server still works on a frame.
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close("").await }
    });
    assert!(soon("the goodbye", server.recv()).await.unwrap().is_none());
    assert_eq!(ask(&site, other(kind), id, TOKEN).await, INVALID_STATE);
    drop(owed);
    closing.await.unwrap();
    soon("the end", server.closed()).await;
    assert_eq!(ask(&site, other(kind), id, TOKEN).await, INVALID_STATE);
    let refused = client.migrate(connect(&site, other(kind)).await).await;
    assert!(matches!(refused, Err(MigrateError::State(_))), "{refused:?}");
}

/// Two that may race for the session; it is with one of them, whole.
pub(crate) async fn racing_for_a_session_leaves_it_with_one(kind: Kind) {
    let site = Arc::new(Site::open().await);
    let (client, server) = site.session(kind).await;
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    let to = other(kind);
    let (first, second) = (connect(&site, to).await, connect(&site, to).await);
    let (one, two) = tokio::join!(client.migrate(first), client.migrate(second));
    // One after the other both may; at the same time one is told to wait.
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    let rival = connect(&site, to).await;
    let (mine, theirs) = tokio::join!(
        async { client.migrate(connect(&site, kind).await).await },
        ask_on(&rival, client.id(), b"not the token")
    );
    mine.unwrap();
    assert_eq!(theirs, AUTH_FAILED);
    untouched(&client, &server, kind, 1).await;
    client.close("").await;
}

pub(crate) async fn sessions_that_may_move_have_ids_of_their_own(kind: Kind) {
    let site = Site::open().await;
    let (one, _one) = site.session(kind).await;
    let (two, _two) = site.session(other(kind)).await;
    // Both asked for 1.
    assert_eq!(one.id(), 1);
    assert_ne!(two.id(), 1);
    one.close("").await;
    two.close("").await;
}

/// A frame on the new connection before its session is there ends that connection only.
pub(crate) async fn an_impatient_newcomer_harms_nobody_but_itself(kind: Kind) {
    let asked = Arc::new(AtomicUsize::new(0));
    let config = config().authenticate(move |_| {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            // Time enough for what is behind SESSION_MIGRATE to arrive.
            if !first {
                nnrp::clock::sleep_until(Some(nnrp::clock::now() + Duration::from_millis(500))).await;
            }
            true
        }
    });
    let site = Arc::new(Site::start(config).await);
    let (client, server) = site.session(kind).await;
    site.serve(|session| panic!("nobody was admitted: {session:?}"));
    let newcomer = connect(&site, Kind::Tcp).await;
    let metadata = SessionMigrateMetadata {
        old_transport_id: TransportId::Quic,
        new_transport_id: TransportId::Tcp,
        ..SessionMigrateMetadata::default()
    };
    let mut header = Header::new(MessageType::SessionMigrate);
    header.session_id = client.id();
    let request = SessionMigrate { metadata, token: TOKEN.into() };
    newcomer.send(request.encode(header).unwrap().to_packet()).await.unwrap();
    let submit: Packet =
        token_frame(9).encode(client.id(), nnrp::wire::Revision::Current).unwrap().to_packet();
    newcomer.send(submit).await.unwrap();
    let Ok(Item::Packet(answer)) = soon("an answer", newcomer.receive(Filter::Any)).await else { panic!() };
    assert_eq!(answer.header.msg_type, MessageType::Error);
    soon("the end", newcomer.gone()).await;
    untouched(&client, &server, kind, 1).await;
    client.close("").await;
}

/// Frames on the path that was left are refused, and no faster than the answers are read.
pub(crate) async fn a_flood_on_the_path_it_left_waits_for_its_answers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    const FRAMES: usize = 400_000;
    let site = Site::start(config().migration_grace(Duration::from_secs(10))).await;
    let address = site.tcp.listener.local_addr();
    let mut hello = nnrp_testkit::packets::hello();
    hello.auth_block = TOKEN.into();
    let (mut old, mut new) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    old.write_all(&nnrp_testkit::packets::hello_packet(&hello).to_bytes()).await.unwrap();
    let server = soon("a session", site.tcp.listener.accept()).await.unwrap();
    // One that does not ask for repetitions, and never reads.
    let metadata = SessionMigrateMetadata {
        old_transport_id: TransportId::Tcp,
        new_transport_id: TransportId::Tcp,
        ..SessionMigrateMetadata::default()
    };
    let mut header = Header::new(MessageType::SessionMigrate);
    header.session_id = server.id();
    let request = SessionMigrate { metadata, token: TOKEN.into() }.encode(header).unwrap();
    new.write_all(&request.to_bytes()).await.unwrap();
    let mut answer = [0; Header::LEN];
    tokio::select! {
        read = new.read_exact(&mut answer) => { read.unwrap(); }
        session = site.tcp.listener.accept() => panic!("{session:?}"),
    }
    let submit = nnrp_testkit::packets::submit_packet(server.id(), 1).to_bytes();
    let flood = submit.repeat(1000);
    let flooding = async {
        for _ in 0..FRAMES / 1000 {
            old.write_all(&flood).await.unwrap();
        }
    };
    // It is held back once the sockets are full, or has been answered.
    let _ = tokio::time::timeout(Duration::from_secs(4), flooding).await;
    let waiting = server.connection().with(|machine, _| machine.unwritten_replies());
    assert!(waiting <= 2 * nnrp_session::MAX_QUEUED_REPLIES, "{waiting} answers wait");
}

/// A server that asks for weeks of grace and fills the path that was left gets neither the time nor the memory.
pub(crate) async fn a_path_it_left_is_read_for_so_long_and_so_much() {
    let listener = listen(Kind::Tcp, Authority::new().server(), ServerConfig::new()).await;
    let address = listener.local_addr();
    let accept = async || soon("a client", listener.accept_connection()).await.unwrap();
    let packet = async |connection: &Connection| match soon("a packet", connection.receive(Filter::Any)).await
    {
        Ok(Item::Packet(packet)) => packet,
        other => panic!("{other:?}"),
    };
    let connecting =
        dial(Kind::Tcp, address, Authority::new().trust(), ClientConfig::new().auth_block(TOKEN));
    let admitting = async {
        let old = accept().await;
        packet(&old).await;
        let metadata = ServerHelloAckMetadata {
            selected_version_major: 1,
            session_id: 1,
            max_concurrent_frames: 1,
            ..ServerHelloAckMetadata::default()
        };
        let mut header = Header::new(MessageType::ServerHelloAck);
        header.session_id = 1;
        let ack = ServerHelloAck { metadata, ..ServerHelloAck::default() };
        old.send(ack.encode(header).unwrap().to_packet()).await.unwrap();
        old
    };
    let (client, old) = tokio::join!(connecting, admitting);
    let client = client.unwrap();
    client.send(&token_frame(1)).await.unwrap();
    packet(&old).await;

    let answering = async {
        let new = accept().await;
        packet(&new).await;
        let metadata =
            SessionMigrateAckMetadata { grace_window_ms: u32::MAX, ..SessionMigrateAckMetadata::default() };
        let mut header = Header::new(MessageType::SessionMigrateAck);
        header.session_id = 1;
        let ack = SessionMigrateAck { metadata, body: Vec::new().into() };
        new.send(ack.encode(header).unwrap().to_packet()).await.unwrap();
        new
    };
    let moving = async {
        let new = nnrp::tcp::connect(address, &TcpOptions::default(), None).await.unwrap();
        client.migrate(new).await.unwrap()
    };
    let (record, _new) = tokio::join!(moving, answering);
    assert_eq!(record.grace, Some(nnrp_session::MAX_MIGRATION_GRACE));

    let mut part = text_result(1, &"x".repeat(1024 * 1024));
    part.result_class = ResultClass::Partial;
    let part = part.encode(1, nnrp::wire::Revision::Current).unwrap().to_packet();
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), old.send(part.clone())).await {
        written.unwrap();
        sent += 1;
        assert!(sent < 100, "{sent} MiB nobody has taken");
    }
    // Held back, not lost.
    for _ in 0..sent {
        soon("a part", client.receive()).await.unwrap();
    }
    client.connection().abort(0, "");
}

/// What is encrypted does not go on in clear: refused by the client before it has sent its token, and by the server.
pub(crate) async fn an_encrypted_session_does_not_move_to_plain_tcp() {
    // The address others reach this host at; nothing is sent. A host without a network has none, and nobody to listen.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_err() {
        return;
    }
    let here = std::net::SocketAddr::new(socket.local_addr().unwrap().ip(), 0);
    let site = Arc::new(Site::open().await);
    let (client, server) = site.session(Kind::Quic).await;
    let plain = Listener::bind_tcp(here, site.config.clone()).await.unwrap();
    let reached = plain.local_addr();
    tokio::spawn(async move { plain.accept().await.map(|session| panic!("admitted: {session:?}")) });
    let raw = nnrp::tcp::connect(reached, &TcpOptions::default(), None).await.unwrap();
    assert!(client.connection().is_private() && !raw.is_private());
    let refused = client.migrate(raw.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("plain TCP"), "{refused}");
    assert_eq!(raw.stats().packets_sent, 0);
    let raw = nnrp::tcp::connect(reached, &TcpOptions::default(), None).await.unwrap();
    assert_eq!(ask_on(&raw, client.id(), TOKEN).await, AUTH_FAILED);
    untouched(&client, &server, Kind::Quic, 1).await;
    client.close("").await;
}

/// The client is to close after a refusal; until it does, it waits at the cost of its place.
pub(crate) async fn a_refused_migration_takes_its_place_until_its_client_has_gone() {
    for migration in [Migration::Authenticated, Migration::Off] {
        let site = Arc::new(Site::start(config().migration(migration).max_pending_handshakes(1)).await);
        site.serve(|session| {
            tokio::spawn(async move { session.closed().await });
        });
        let refused = connect(&site, Kind::Tcp).await;
        assert_ne!(ask_on(&refused, 4711, TOKEN).await, 0);
        let dial = async || site.tcp.dial(Kind::Tcp, ClientConfig::new()).await;
        let busy = dial().await.unwrap_err();
        assert!(busy.to_string().contains("busy"), "{busy}");
        drop(refused);
        while dial().await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
