//! Each rule of the session has a test in virtual time and one over real transports.
//!
//! A test says which rules it would catch the breaking of, in a line of its own straight above it:
//!
//! ```text
//! // Rules R-CAN-1, R-LIFE-4
//! #[test]
//! fn ...
//! ```
//!
//! with `#` instead of `//` in Python. This test reads those lines. It fails for a rule without a test, for an id that does not
//! exist, for a line that stands above something else, and for a rule that is excused below although it has a test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use nnrp_wire::{Layer, RULES};

/// Where a test runs. Ids are separated by spaces.
struct Level {
    name: &'static str,
    /// Folders of tests, from the root of the repository.
    folders: &'static [&'static str],
    /// Why some rules cannot be broken here, and which.
    impossible: &'static [(&'static str, &'static str)],
}

const VIRTUAL_TIME: Level = Level {
    name: "virtual time",
    folders: &["crates/session/tests"],
    impossible: &[
        (
            "streams, datagrams and TLS are the driver's; the machine sees packets",
            "R-QUIC-1 R-QUIC-3 R-QUIC-4 R-QUIC-5 R-QUIC-6 R-QUIC-7 R-QUIC-8 R-QUIC-9 R-QUIC-10 R-TCP-1 R-TCP-2",
        ),
        ("silence of a whole connection is the driver's to notice", "R-TCP-3 R-LIM-10"),
        ("the queues the application reads from are the transport's", "R-LIM-6 R-LIM-7"),
        ("the time until the hello is the listener's", "R-HELLO-7"),
        ("probes are sent on raw connections, by nnrp::probe and nnrp.client.probe", "R-PROBE-4"),
        (
            "clients install objects with packets of their own; who waits for the answer is nnrp.client",
            "R-CACHE-10",
        ),
        ("no frame with more can be encoded: crates/wire/tests/refusals.rs", "R-LIM-15"),
    ],
};

const TRANSPORTS: Level = Level {
    name: "real transports",
    folders: &["crates/nnrp/tests", "crates/transport/tests", "python/tests"],
    impossible: &[("no frame with more can be encoded: crates/wire/tests/refusals.rs", "R-LIM-15")],
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every test file below a folder; none when there is no such folder.
fn test_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(test_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            files.push(path);
        }
    }
    files
}

/// The ids of a line that names rules.
fn named(line: &str) -> Option<Vec<&str>> {
    let comment = line.trim().strip_prefix("//").or_else(|| line.trim().strip_prefix('#'))?;
    let ids = comment.trim().strip_prefix("Rules ").filter(|ids| ids.starts_with("R-"))?;
    Some(ids.split(',').map(str::trim).collect())
}

/// The name of the test a line begins, once comments and attributes are passed over.
fn test_below<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let line = lines.find(|line| {
        let line = line.trim();
        !line.starts_with("//") && !line.starts_with('#') && !line.starts_with('@')
    })?;
    let after = line.split_once("fn ").or_else(|| line.split_once("def "))?.1;
    after.split('(').next()
}

/// The rules that a level's tests name, each with those tests.
fn ledger(level: &Level) -> BTreeMap<String, Vec<String>> {
    let mut ledger: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in level.folders.iter().flat_map(|folder| test_files(&root().join(folder))) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(ids) = named(line) else { continue };
            let place = format!("{}:{}", file.display(), number + 1);
            let test = test_below(lines[number + 1..].iter().copied());
            let test =
                test.unwrap_or_else(|| panic!("{place}: rules are named above something that is no test"));
            for id in ids {
                assert!(RULES.iter().any(|rule| rule.id == id), "{place}: there is no rule {id:?}");
                ledger.entry(id.to_owned()).or_default().push(test.to_owned());
            }
        }
    }
    ledger
}

#[test]
fn each_session_rule_has_a_test_in_virtual_time_and_one_over_transports() {
    let mut wrong = Vec::new();
    for level in [VIRTUAL_TIME, TRANSPORTS] {
        let tested = ledger(&level);
        let impossible = level.impossible.iter().flat_map(|(_, ids)| ids.split_whitespace());
        let excused: Vec<&str> = impossible.collect();
        for rule in RULES.iter().filter(|rule| rule.layer == Layer::Session) {
            match (tested.get(rule.id), excused.contains(&rule.id)) {
                (Some(tests), true) => {
                    wrong.push(format!("{} is excused from {}, but has {tests:?}", rule.id, level.name));
                }
                (None, false) => {
                    wrong.push(format!("{} has no test in {}: {}", rule.id, level.name, rule.summary));
                }
                _ => {}
            }
        }
        for id in excused {
            let known = RULES.iter().any(|rule| rule.id == id && rule.layer == Layer::Session);
            assert!(known, "{id} is excused and is no session rule");
        }
    }
    assert!(wrong.is_empty(), "{} rules:\n{}", wrong.len(), wrong.join("\n"));
}
