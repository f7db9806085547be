//! The programs of the README and of the tutorial are the examples of this crate, and they run.
//!
//! A page marks a program with `<!-- runs as crates/nnrp/examples/NAME.rs -->`. The file has one line more at its top:
//! our lints want to be told that programs print.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const MARK: &str = "<!-- runs as crates/nnrp/examples/";
const FENCE: &str = "```rust\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names and texts of the programs on a page.
fn programs(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    text.split(MARK)
        .skip(1)
        .map(|part| {
            let (name, rest) = part.split_once(".rs -->\n").unwrap();
            let program = rest.strip_prefix(FENCE).expect("a block of Rust follows the mark");
            (name.to_owned(), program.split_once("```").unwrap().0.to_owned())
        })
        .collect()
}

/// An example; Cargo builds them before it runs tests.
fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().unwrap().parent().unwrap().join("examples");
    built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client prints that uses a server.
fn printed(server: &str, client: &str) -> String {
    let started = Command::new(example(server)).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Server(started);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();
    let output = Command::new(example(client)).arg(address).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pages_show_the_examples() {
    for page in ["README.md", "docs/tutorial.md"] {
        let shown = programs(page);
        assert_eq!(shown.len(), 2, "a server and a client in {page}");
        for (name, program) in shown {
            let file = format!("crates/nnrp/examples/{name}.rs");
            let text = std::fs::read_to_string(root().join(&file)).unwrap();
            assert_eq!(text.split_once("\n\n").unwrap().1, program, "{file} is not what {page} shows");
        }
    }
}

#[test]
fn the_programs_of_the_readme_run() {
    assert_eq!(printed("server", "client"), "tiles [3, 7] came back\n");
}

#[test]
fn an_address_that_is_none_is_named_beside_one() {
    for program in ["server", "client", "tutorial_server", "tutorial_client"] {
        let output = Command::new(example(program)).arg("localhost:4433").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert_eq!(said, "Error: \"localhost:4433 is no address such as 127.0.0.1:4433\"\n", "{program}");
    }
}

#[test]
fn the_programs_of_the_tutorial_run() {
    let page = std::fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let mask = printed("tutorial_server", "tutorial_client");
    assert_eq!(mask.lines().count(), 12, "{mask}");
    assert!(page.contains(&format!("```text\n{mask}```")), "the page shows something else than\n{mask}");
}
