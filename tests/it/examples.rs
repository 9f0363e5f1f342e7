//! The example channels pass the check as they stand.

use std::path::Path;

use medway::config::load::{LoadOptions, load};
use medway::config::secrets::MissingSecrets;
use medway::yaml::report;

#[test]
fn the_examples_start() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = LoadOptions { missing_secrets: MissingSecrets::Warn, ..LoadOptions::default() };
    let loaded = load(root, &options);
    let findings: Vec<_> =
        loaded.findings.into_iter().filter(|finding| finding.code != "E0410").collect();
    assert!(findings.is_empty(), "{}", report::text(&findings, report::Colour::Plain));
    assert!(loaded.channels.len() >= 7);
}
