//! A TCP stream that ends in the middle of a packet.

use std::time::Duration;

use nnrp::wire::{Packet, Revision, SubmitFrame, TypedPayload};
use nnrp::{EndedBy, Listener, ServerConfig};
use nnrp_testkit::packets;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than what is read together with other packets: it gets a buffer of its own.
const LARGE: usize = 1 << 20;

/// Everything a client says until `cut` bytes into its large frame.
fn words(cut: usize) -> (Vec<u8>, Vec<u8>) {
    let hello: Packet = packets::hello_packet(&packets::hello());
    let frame = SubmitFrame {
        typed_payloads: vec![TypedPayload::opaque_bytes(vec![7; LARGE])],
        ..SubmitFrame::new(1)
    };
    let mut submit = frame.encode(1, Revision::Current).unwrap().to_bytes().to_vec();
    submit.truncate(cut);
    (hello.to_bytes().to_vec(), submit)
}

#[tokio::test]
async fn a_stream_cut_inside_a_packet_is_a_loss_and_no_orderly_end() {
    let listener = Listener::bind_tcp("127.0.0.1:0".parse().unwrap(), ServerConfig::new());
    let listener = listener.await.unwrap();
    // Inside the header, the metadata, at the start and in the middle of the body.
    for cut in [7, 60, 200, LARGE / 2] {
        let (hello, submit) = words(cut);
        let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        let session = listener.accept().await.unwrap();
        stream.write_all(&submit).await.unwrap();
        stream.shutdown().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), session.closed()).await;
        let closed = ended.expect("the end");
        assert_eq!(closed.0.by, EndedBy::Transport, "cut after {cut} bytes: {closed}");
        assert!(closed.to_string().contains("inside a packet"), "{closed}");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}
