//! Random scripts: operations on a pair of machines, and streams cut anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_session_survives_any_script(script in proptest::collection::vec(any::<u8>(), 0..600)) {
        nnrp_testkit::check::session_survives(&script);
    }

    /// The same, past the handshake: the first operation admits the client.
    #[test]
    fn an_active_session_survives_any_script(mut script in proptest::collection::vec(any::<u8>(), 2..600)) {
        script[1] = 0;
        nnrp_testkit::check::session_survives(&script);
    }

    #[test]
    fn framing_survives_any_split(script in proptest::collection::vec(any::<u8>(), 0..200)) {
        nnrp_testkit::check::framing_survives_splits(&script);
    }
}
