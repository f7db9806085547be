//! The generated pages are the ones the code would write now.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;

#[test]
fn reference_pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, text) in nnrp_testkit::document::pages() {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(committed == text, "docs/reference/{name} is outdated: run `make docs-generated`");
    }
}

#[test]
fn every_page_speaks_of_everything() {
    let pages: String = nnrp_testkit::document::pages().into_iter().map(|(_, text)| text).collect();
    for rule in nnrp_wire::RULES {
        assert!(pages.contains(rule.id), "{}", rule.id);
    }
    for spec in nnrp_wire::Revision::Current.messages() {
        assert!(pages.contains(&spec.message.to_string()), "{}", spec.message);
    }
}
