//! The channel files in the guide pass the check, and their tests pass.

use std::path::Path;
use std::process::Command;

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    let cut = fenced.filter_map(|block| block.split_once('\n'));
    cut.map(|(info, text)| (info.to_owned(), text.to_owned())).collect()
}

fn try_out(page: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide").join(page);
    let text = std::fs::read_to_string(root).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let channels = folder.path().join("channels");
    for made in ["channels/tables", "channels/archive", "secrets"] {
        std::fs::create_dir_all(folder.path().join(made)).unwrap();
    }
    std::fs::write(folder.path().join("engine.yaml"), "data: data\nchannels: channels\n").unwrap();
    std::fs::write(
        folder.path().join("secrets/partner-hook"),
        "whsec_bWVkd2F5LW1lZHdheS1tZWR3YXk=",
    )
    .unwrap();
    let mut written = 0;
    for (info, text) in blocks(&text) {
        if let Some(table) = info.strip_prefix("csv ") {
            std::fs::write(channels.join(table), text).unwrap();
        } else if info == "yaml" {
            let name = text.lines().next().unwrap().strip_prefix("channel: ").unwrap();
            std::fs::write(channels.join(format!("{name}.yaml")), &text).unwrap();
            written += 1;
        }
    }
    assert!(written >= least, "{page}: {written} channels");
    for command in ["check", "test"] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_medway"));
        let done = run.arg(command).arg(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{page}: medway {command}\n{said}");
        assert!(!said.contains("warning"), "{page}: medway {command}\n{said}");
    }
}

#[test]
fn the_channels_of_the_cookbook_are_right() {
    try_out("cookbook.md", 10);
}

#[test]
fn the_first_channel_of_the_start_page_is_right() {
    try_out("start.md", 1);
}
