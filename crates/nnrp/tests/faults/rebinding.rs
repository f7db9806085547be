//! The client's address changes while its session runs.

use std::time::Duration;

use nnrp::{ClientConfig, clock};

use super::relayed::{FAIR, Relayed, result_of, session, small, told};

async fn echo(ends: &Relayed, frame_id: u32) {
    let answer = async {
        let submit = ends.server.recv().await.unwrap().expect("the session goes on");
        submit.reply(result_of(frame_id, 2000)).await.unwrap();
    };
    let frame = small(frame_id);
    let both = async { tokio::join!(ends.client.submit(&frame), answer).0 };
    let reply = tokio::time::timeout(Duration::from_secs(10), both).await.expect("an echo").unwrap();
    assert_eq!(told(&reply), (frame_id, format!("frame {frame_id}"), 2000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_under_another_address_keeps_its_session() {
    let ends = session(FAIR, 1, ClientConfig::new()).await;
    for frame_id in 1..=10 {
        echo(&ends, frame_id).await;
        ends.relay.change_address();
    }
    assert_eq!(ends.client.connection().ended(), None);
    assert_eq!(ends.server.connection().ended(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_in_flight_survive_the_change_of_address() {
    let ends = session(FAIR, 2, ClientConfig::new()).await;
    for frame_id in 1..=16 {
        ends.client.send(&small(frame_id)).await.unwrap();
    }
    let mut submits = Vec::new();
    for _ in 1..=16 {
        submits.push(ends.server.recv().await.unwrap().expect("a frame"));
    }
    ends.relay.change_address();
    // The server learns the new address from the client's next packet: its results go to the old one until then.
    for submit in submits {
        let frame_id = submit.key().frame_id;
        submit.reply(result_of(frame_id, 5000)).await.unwrap();
    }
    let begun = clock::now();
    for frame_id in 1..=16 {
        let receiving = ends.client.receive_for(frame_id, None);
        let reply =
            tokio::time::timeout(Duration::from_secs(30), receiving).await.expect("a result").unwrap();
        assert_eq!(told(&reply).0, frame_id);
    }
    println!("16 results after {:?}", clock::now().saturating_duration_since(begun));
}
