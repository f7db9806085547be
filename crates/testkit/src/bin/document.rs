//! Writes the reference pages: `document DOCS-FOLDER`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let docs = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("docs"), PathBuf::from);
    let folder = docs.join("reference");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in nnrp_testkit::document::pages() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
