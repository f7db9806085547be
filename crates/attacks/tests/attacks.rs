//! Every attack, small, over every transport it is possible on: the victim serves others meanwhile and afterwards, holds
//! no more than the attack's bound, and has forgotten the attacker when it is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use nnrp_attacks::Kind;
use nnrp_attacks::attacks::{ATTACKS, Scale, carry_out, idle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hostile");

async fn withstand(name: &str, kind: Kind) {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).expect("an attack of this name");
    let fight = carry_out(Path::new(PROGRAM), attack, kind, Scale::Small);
    match tokio::time::timeout(Duration::from_secs(120), fight).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => panic!("{error}"),
        Err(_) => panic!("the test hangs"),
    }
}

macro_rules! attacks {
    ($($kind:ident $module:ident: $($name:ident)*;)*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::withstand(stringify!($name), super::Kind::$kind).await; })*
        })*

        #[test]
        fn every_attack_is_a_test() {
            for attack in ATTACKS {
                $(assert_eq!(
                    [$(stringify!($name)),*].contains(&attack.name), attack.bound(Kind::$kind).is_some(),
                    "{} over {}", attack.name, Kind::$kind.name()
                );)*
            }
        }
    };
}

macro_rules! everywhere {
    ($($everywhere:ident)* ; tcp: $($tcp:ident)* ; tls: $($tls:ident)* ; quic: $($quic:ident)*) => {
        attacks! {
            Tcp tcp: $($everywhere)* $($tcp)*;
            Tls tls: $($everywhere)* $($tcp)* $($tls)*;
            Quic quic: $($everywhere)* $($quic)*;
        }
    };
}

everywhere! {
        hello_that_never_ends
        hello_of_four_gigabytes
        hello_with_too_many_extensions
        frames_before_the_hello
        everybody_silent
        garbage_instead_of_a_hello
        churn
        half_open
        bodies_of_four_gigabytes
        a_million_pings
        unknown_types
        duplicate_hello
        cache_flood
        questions_without_reading_answers
        control_nobody_reads
        packets_on_a_raw_connection
        session_id_spoofing
        flood_beyond_the_inbox
        big_frames_beyond_the_inbox
        results_nobody_reads
        tiles_by_the_bit
        counts_of_65535
        one_byte_at_a_time;
    tcp:
        slow_reader_after_goodbye;
    tls:
        tls_hello_that_never_ends
        tls_hello_of_sixteen_megabytes
        garbage_instead_of_tls
        new_keys_without_end;
    quic:
        goodbye_first
        garbage_on_the_udp_port
        ten_thousand_streams
        streams_that_declare_and_send_nothing
        resets_mid_body
        results_stopped
        second_control_streams
        garbage_datagrams
        control_stopped
        no_credit_for_results
        goodbye_without_credit
        no_credit_for_drops
}

/// Bytes an idle session may cost. Measured with 2000 of them by the `hostile` tool; the test
/// holds fewer.
const IDLE: [(Kind, usize); 3] = [(Kind::Tcp, 40 * 1024), (Kind::Tls, 80 * 1024), (Kind::Quic, 120 * 1024)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_are_cheap() {
    for (kind, most) in IDLE {
        let cost = idle(Path::new(PROGRAM), kind, 100).await.unwrap();
        assert!(cost.held <= most, "{kind:?}: {} bytes for an idle session", cost.held);
    }
}
