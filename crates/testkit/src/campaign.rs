//! Many scripts, and what to say about one that fails: its shortest form, and how to play it again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::link::LinkKind;
use crate::script::{self, HEAD, Outcome, STEP};

/// Plays `count` scripts over one kind of link, those of the seeds from `first` on.
///
/// # Errors
///
/// About the first script that fails: its seed, what went wrong, its shortest form that still fails, and how to play
/// that again.
pub fn run(kind: LinkKind, first: u64, count: u64) -> Result<Outcome, String> {
    let mut sum = Outcome::default();
    for seed in first..first.saturating_add(count) {
        let script = script::from_seed(seed, kind);
        match play(&script) {
            Ok(outcome) => sum += outcome,
            Err(failure) => {
                let (script, failure) = shrink(script, failure);
                return Err(format!("seed {seed} over {kind:?}: {failure}\n{}", replay_command(&script)));
            }
        }
    }
    Ok(sum)
}

/// Plays one script; a panic is a failure like any other.
///
/// # Errors
///
/// What went wrong.
pub fn play(script: &[u8]) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| script::play(script))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// A script in the form [`from_hex`] reads.
pub fn to_hex(script: &[u8]) -> String {
    script.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The script [`to_hex`] has written; what is no hexadecimal number ends it.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map_while(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect()
}

fn replay_command(script: &[u8]) -> String {
    let steps = script.len().saturating_sub(HEAD) / STEP;
    let hex = to_hex(script);
    format!(
        "{steps} steps; again: NNRP_SCRIPT={hex} cargo test -p nnrp-testkit --test links -- --nocapture replay"
    )
}

/// Leaves out steps, and makes bytes zero, as long as the script still fails.
fn shrink(mut script: Vec<u8>, mut failure: String) -> (Vec<u8>, String) {
    let mut better = |candidate: Vec<u8>, script: &mut Vec<u8>| match play(&candidate) {
        Err(still) => {
            *script = candidate;
            failure = still;
            true
        }
        Ok(_) => false,
    };
    let mut block = (script.len().saturating_sub(HEAD) / STEP).max(1);
    while block > 0 {
        let mut at = HEAD;
        while at < script.len() {
            let mut candidate = script.clone();
            candidate.drain(at..(at + block * STEP).min(script.len()));
            if !better(candidate, &mut script) {
                at += block * STEP;
            }
        }
        block /= 2;
    }
    // The first byte says which kind of link it is, and the last five of the head are the seed.
    for at in (1..script.len()).filter(|at| *at < 3 || *at >= HEAD) {
        let mut candidate = script.clone();
        if let Some(byte) = candidate.get_mut(at).filter(|byte| **byte != 0) {
            *byte = 0;
            better(candidate, &mut script);
        }
    }
    (script, failure)
}
