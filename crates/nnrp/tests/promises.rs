//! Every public async function says what dropping its future does, and a test gives it up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

/// What gives up functions other than those in `tests/api/giving_up.rs`, which calls its own by name.
const ELSEWHERE: &[(&str, &str)] = &[
    // Their futures do not wait.
    ("bind_quic", "tests/api/harness.rs"),
    ("bind_tcp", "tests/api/harness.rs"),
    ("bind_tcp_tls", "tests/api/harness.rs"),
    // `Server::dial` is one of the three, and what connects by address is made of them.
    ("connect_quic", "tests/api/harness.rs"),
    ("connect_tcp", "tests/api/harness.rs"),
    ("connect_tcp_tls", "tests/api/harness.rs"),
    ("connect", "tests/api/addresses.rs"),
    // Not cancel-safe, and said so: the connection is closed.
    ("open", "tests/api/handshakes.rs"),
    ("read", "tests/api/harness.rs"),
    ("read_among", "src/handshake.rs"),
    ("migrate", "tests/api/migration.rs"),
    ("migrate_because", "tests/api/migration.rs"),
    ("probe", "src/probe.rs"),
    ("probe_by", "tests/api/probing.rs"),
];

#[test]
fn every_async_function_says_what_giving_it_up_does_and_is_given_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given_up = fs::read_to_string(root.join("tests/api/giving_up.rs")).unwrap();
    let mut found = 0;
    for file in fs::read_dir(root.join("src")).unwrap() {
        let path = file.unwrap().path();
        let mut doc = String::new();
        for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                doc.push_str(text);
            } else if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let place = format!("{}: {name}", path.display());
                let says = ["ancel-safe", "ancel-\nsafe"].iter().any(|words| doc.contains(words));
                assert!(says, "{place} does not say what dropping its future does");
                let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
                let (text, file) = match elsewhere {
                    Some((_, file)) => (fs::read_to_string(root.join(file)).unwrap(), *file),
                    None => (given_up.clone(), "tests/api/giving_up.rs"),
                };
                assert!(text.contains(&format!("{name}(")), "{place} is not called in {file}");
                found += 1;
            } else if !line.starts_with("#[") {
                doc.clear();
            }
        }
    }
    assert!(found > 50, "{found} functions: were they looked for in the right place?");
}
