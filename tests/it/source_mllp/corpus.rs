//! Every malformed stream of the corpus behaves as decided here. The corpus is used when
//! `MEDWAY_CORPUS` or `../shared/corpus` is there.

use std::fs;
use std::path::{Path, PathBuf};

use medway::source::mllp::options::MllpSourceOptions;
use tokio::io::AsyncWriteExt;

use super::start;

/// File, answers with the default options, messages stored. Where the manifest leaves a choice:
/// a 0B or 1C that begins or ends nothing is content (041, 042); a header after 0B begins anew (044);
/// a frame without its CR is taken (048); an empty frame is ignored (052).
const DECIDED: &[(&str, &[&str], usize)] = &[
    ("041-vt-in-field.mllp", &["AA"], 1),
    ("042-fs-in-field.mllp", &["AA"], 1),
    ("043-fs-cr-in-field.mllp", &["AA"], 1),
    ("044-nested-frame.mllp", &["AA N2"], 1),
    ("045-double-start.mllp", &["AA"], 1),
    ("046-missing-start.mllp", &[], 0),
    ("047-missing-end.mllp", &[], 0),
    ("048-end-without-cr.mllp", &["AA"], 1),
    ("049-garbage-before-start.mllp", &["AA"], 1),
    ("050-two-frames-one-write.mllp", &["AA TF1", "AA TF2"], 2),
    ("051-frames-with-lf-between.mllp", &["AA", "AA"], 2),
    ("052-empty-frame.mllp", &["AA EF2"], 1),
    ("053-http-request.mllp", &[], 0),
    ("054-tls-client-hello.mllp", &[], 0),
];

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let root = std::env::var_os("MEDWAY_CORPUS").map_or(beside, PathBuf::from);
    Some(root.join("hl7v2-bad")).filter(|folder| folder.join("manifest.tsv").is_file())
}

#[tokio::test]
async fn malformed_streams_behave_as_decided() {
    let Some(folder) = corpus() else { return };
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let mut listed: Vec<_> = manifest
        .lines()
        .filter(|line| line.split('\t').nth(2) == Some("mllp"))
        .filter_map(|line| line.split('\t').next())
        .collect();
    listed.sort_unstable();
    let decided: Vec<_> = DECIDED.iter().map(|(file, ..)| *file).collect();
    assert_eq!(listed, decided, "the manifest and the decisions name the same files");
    for (file, answers, stored) in DECIDED {
        let running = start(MllpSourceOptions::default()).await;
        let mut peer = running.connect().await;
        peer.send(&fs::read(folder.join(file)).unwrap()).await;
        drop(peer.stream.shutdown().await);
        let mut told = Vec::new();
        loop {
            let answer = peer.told().await;
            if answer == "closed" {
                break;
            }
            told.push(answer);
        }
        assert_eq!(told.len(), answers.len(), "{file}: {told:?}");
        for (told, expected) in told.iter().zip(*answers) {
            assert!(told.starts_with(expected), "{file}: {told}, not {expected}");
        }
        assert_eq!(running.store.bodies().len(), *stored, "{file}");
        running.end().await;
    }
}
