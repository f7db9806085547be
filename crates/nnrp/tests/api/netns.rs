//! A session outlives real links: the client is in a network namespace with two links to its server, one of which is
//! taken down in the middle of the work, again and again. Needs root and iproute2; says so where it has neither.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nnrp::{
    ClientConfig, ClientSession, ClientTls, Connection, Identity, Listener, QuicOptions, TcpOptions, Trust,
    clock, development_certificate,
};

use super::migration::{TOKEN, config, streams, uncut, work};

const FRAMES: u32 = 500;
const CUTS: u32 = 12;

/// The server's end of a link; runs at the same time have links of their own.
fn server_address(run: u32, link: usize) -> String {
    format!("10.213.{}.1", run % 120 * 2 + u32::try_from(link).unwrap())
}

/// What the client's process is told, and by which it knows that it is one.
const TOLD: &str = "NNRP_NETNS_SERVER";
const TRUST: &str = "NNRP_NETNS_TRUST";

fn ip(line: &str) -> Result<(), String> {
    let done = Command::new("ip").args(line.split(' ')).stderr(Stdio::piped()).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(format!("ip {line}: {}", String::from_utf8_lossy(&done.stderr).trim())),
        Err(error) => Err(format!("ip: {error}")),
    }
}

/// A namespace with two links to this one; gone when it is dropped, links and all.
struct Namespace(String);

impl Namespace {
    fn new() -> Result<Self, String> {
        let name = format!("nnrp-{}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let namespace = Namespace(name.clone());
        for link in 0..2 {
            let server = server_address(std::process::id(), link);
            let client = format!("{}2", &server[..server.len() - 1]);
            let (here, there) = (format!("nn{}s{link}", std::process::id()), format!("link{link}"));
            ip(&format!("link add {here} type veth peer name {there} netns {name}"))?;
            ip(&format!("addr add {server}/24 dev {here}"))?;
            ip(&format!("link set {here} up"))?;
            ip(&format!("-n {name} addr add {client}/24 dev {there}"))?;
            ip(&format!("-n {name} link set {there} up"))?;
        }
        Ok(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.0));
    }
}

/// The server's half, and whoever starts the other.
pub(crate) async fn a_session_outlives_its_links() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => {
            eprintln!("skipped, network namespaces are not available here: {why}");
            return;
        }
    };
    let made = development_certificate().unwrap();
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
    let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let (config, runs) = (config(), Arc::new(AtomicUsize::new(0)));
    let quic = Listener::bind_quic(any, &identity, config.clone()).await.unwrap();
    let tcp = Listener::bind_tcp_tls(any, &identity, config).await.unwrap();
    let ports = format!("{} {} {}", quic.local_addr().port(), tcp.local_addr().port(), std::process::id());
    for listener in [quic, tcp] {
        let handle = streams(runs.clone());
        tokio::spawn(async move {
            while let Some(session) = listener.accept().await {
                handle(session);
            }
        });
    }
    let client = tokio::task::spawn_blocking(move || {
        Command::new("ip")
            .args(["netns", "exec", &namespace.0])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "netns_client", "--nocapture"])
            .env(TOLD, ports)
            .env(TRUST, made.certificate)
            .output()
            .unwrap()
    });
    let done = client.await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stdout));
    said.lines().filter(|line| line.starts_with("netns:")).for_each(|line| eprintln!("{line}"));
    assert_eq!(runs.load(Ordering::Relaxed), FRAMES as usize, "a frame never runs twice");
}

/// The client's half, in its namespace.
#[expect(clippy::disallowed_methods, reason = "the environment is how the two processes of this test speak")]
pub(crate) async fn client() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: Vec<u32> = told.split(' ').map(|number| number.parse().unwrap()).collect();
    let [quic, tcp, run] = told.try_into().unwrap();
    let tls = ClientTls::from(Trust::Certificates(std::env::var(TRUST).unwrap().into_bytes()));
    // Even steps go over QUIC and the first link, odd ones over TCP and the second.
    let dial = async |step: usize| -> Connection {
        let host: IpAddr = server_address(run, step % 2).parse().unwrap();
        let port = if step.is_multiple_of(2) { quic } else { tcp };
        let address = SocketAddr::new(host, port.try_into().unwrap());
        let patience = Some(Duration::from_secs(20));
        let dialled = if step.is_multiple_of(2) {
            nnrp::quic::connect(address, "localhost", tls.clone(), &QuicOptions::default(), patience).await
        } else {
            nnrp::tcp::connect_tls(address, "localhost", tls.clone(), &TcpOptions::default(), patience).await
        };
        dialled.unwrap()
    };
    let session = ClientSession::open(dial(0).await, ClientConfig::new().auth_block(TOKEN)).await.unwrap();
    let done = AtomicUsize::new(0);
    let mut random = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let cuts = async {
        let mut at = 0;
        for step in 1..=CUTS as usize {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            at += 10 + (random >> 16) as usize % 25;
            while done.load(Ordering::Relaxed) < at {
                tokio::task::yield_now().await;
            }
            let link = (step - 1) % 2;
            let cut = clock::now();
            ip(&format!("link set link{link} down")).unwrap();
            let new = dial(step).await;
            let dialled = clock::now();
            let record = session.migrate_because(new, format!("link {link} is down")).await.unwrap();
            eprintln!(
                "netns: cut {step} after {at} frames, {} to {}: connected after {:.1} ms, moved in {:.1} ms, \
                 {} submits repeated, resumed from {}",
                record.from,
                record.to,
                dialled.duration_since(cut).as_secs_f64() * 1e3,
                record.duration.as_secs_f64() * 1e3,
                record.repeated,
                record.resume_from_frame_id.unwrap(),
            );
            ip(&format!("link set link{link} up")).unwrap();
        }
    };
    let (output, ()) = tokio::join!(work(&session, 1..=FRAMES, &done), cuts);
    assert_eq!(output, uncut(1..=FRAMES), "the output is not that of an uncut run");
    eprintln!("netns: {FRAMES} frames of 5 parts, {CUTS} cuts, the output equals the uncut run");
    session.close("").await;
}
