//! Random scripts of two applications over networks that delay, cut, lose, reorder, stall and break.
//!
//! `NNRP_SCRIPTS=10000` plays more of them, `NNRP_SEED=5` begins elsewhere; a script that fails says how to play it again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the numbers of a long run")]

use nnrp_testkit::campaign;
use nnrp_testkit::link::LinkKind;

/// Scripts in an ordinary run: a few seconds' worth.
const SCRIPTS: u64 = 300;

#[expect(clippy::disallowed_methods, reason = "how long a test runs is up to who runs it")]
fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    from_environment(name).map(|text| text.parse().expect("a number"))
}

fn any_script_keeps_every_promise(kind: LinkKind) {
    let count = number("NNRP_SCRIPTS").unwrap_or(SCRIPTS);
    let first = number("NNRP_SEED").unwrap_or(0);
    match campaign::run(kind, first, count) {
        Err(failure) => panic!("{failure}"),
        Ok(outcome) => {
            println!("{count} scripts over {kind:?}: {outcome:?}");
            // A campaign in which little happens proves little.
            if count >= SCRIPTS {
                assert!(outcome.frames > 5 * count && outcome.answers > 3 * count, "{outcome:?}");
                assert!(outcome.broken > count / 20 && outcome.closed_early > count / 20, "{outcome:?}");
                assert!(outcome.refused > 0 && outcome.given_up > 0 && outcome.replies > 0, "{outcome:?}");
                assert!(outcome.expired > 0 && outcome.beyond_credit > 0, "{outcome:?}");
            }
        }
    }
}

#[test]
fn any_script_keeps_every_promise_over_one_ordered_stream() {
    any_script_keeps_every_promise(LinkKind::Stream);
}

#[test]
fn any_script_keeps_every_promise_over_independent_lanes() {
    any_script_keeps_every_promise(LinkKind::Lanes);
}

#[test]
fn replay() {
    let Some(script) = from_environment("NNRP_SCRIPT") else { return };
    match campaign::play(&campaign::from_hex(&script)) {
        Ok(outcome) => println!("holds: {outcome:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn the_same_seed_is_the_same_script_and_the_same_outcome() {
    for seed in 0..20 {
        let script = nnrp_testkit::script::from_seed(seed, LinkKind::Lanes);
        assert_eq!(campaign::from_hex(&campaign::to_hex(&script)), script);
        assert_eq!(campaign::play(&script), campaign::play(&script));
    }
}
