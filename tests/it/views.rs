//! Every message of the corpus has a kind and builds its view: nothing panics, and the views are not empty.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use medway::hl7::raw::{RawMessage, SegmentEnds};
use medway::hl7::view::{FIELDS, device_message, get, patient_message, report_message};
use medway::hl7::{dictionary, kind};
use medway::message::kind::Kind;
use medway::message::view::PatientEvent;

/// A folder of the corpus, when it is there.
fn corpus(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus");
    let named = std::env::var_os("MEDWAY_CORPUS").map(PathBuf::from);
    let work = PathBuf::from(beside);
    let from_worktree = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus"));
    [named, Some(work), Some(from_worktree)]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(name))
        .find(|folder| folder.is_dir())
}

/// The project's own messages, and the corpus when it is there.
fn messages() -> Vec<(String, RawMessage)> {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages/views"));
    read_folders([Some(own), corpus("hl7v2")])
}

fn read_folders<const N: usize>(folders: [Option<PathBuf>; N]) -> Vec<(String, RawMessage)> {
    let files = folders.into_iter().flatten().flat_map(|folder| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    let mut read: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "hl7"))
        .filter_map(|path| {
            let name = path.file_stem()?.to_string_lossy().into_owned();
            let bytes = Bytes::from(std::fs::read(path).unwrap());
            RawMessage::parse(bytes, SegmentEnds::CrOnly).ok().map(|message| (name, message))
        })
        .collect();
    read.sort_by(|one, other| one.0.cmp(&other.0));
    read
}

#[test]
fn every_message_has_its_kind() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, message) in messages() {
        *counts.entry(kind::of(&message).name()).or_default() += 1;
    }
    let count = |kind: Kind| counts.get(kind.name()).copied().unwrap_or(0);
    assert!(count(Kind::Patient) >= 3 && count(Kind::Report) >= 2 && count(Kind::Device) >= 3);
    if corpus("hl7v2").is_some() {
        let total: usize = counts.values().sum();
        assert!(total > 600, "{counts:?}");
        assert!(count(Kind::Patient) > 150, "{counts:?}");
        assert!(count(Kind::Report) > 150, "{counts:?}");
        assert!(count(Kind::Device) >= 15, "{counts:?}");
        assert!(count(Kind::Other) < total / 20, "{counts:?}");
    }
}

#[test]
fn every_message_builds_its_view() {
    for (name, message) in messages() {
        match kind::of(&message) {
            Kind::Patient => {
                let view = patient_message(&message);
                let is_merge = view.event == PatientEvent::Merge;
                let has_mrg = message.segments().any(|segment| segment.id == b"MRG");
                assert!(!is_merge || !has_mrg || !view.merged_from.is_empty(), "{name}");
            }
            Kind::Report => {
                let view = report_message(&message);
                let orders = message.segments().filter(|segment| segment.id == b"OBR").count();
                assert_eq!(view.reports.len(), orders, "{name}");
            }
            Kind::Device => {
                let view = device_message(&message);
                for (index, container) in view.containers.iter().enumerate() {
                    assert!(container.parent.is_none_or(|parent| parent < index), "{name}");
                }
            }
            _ => {}
        }
        // Each name reads the message anew: small ones are enough.
        let fields = if message.bytes().len() < 8_192 { FIELDS } else { &[] };
        for (field, _) in fields {
            assert!(get(&message, field).is_none_or(|value| !value.is_empty()), "{name}: {field}");
        }
    }
}

#[test]
fn what_is_malformed_and_still_read_has_its_views_too() {
    let read = read_folders([corpus("hl7v2-bad")]);
    for (name, message) in &read {
        let views = format!(
            "{:?}{:?}{:?}",
            patient_message(message),
            report_message(message),
            device_message(message)
        );
        assert!(!views.is_empty(), "{name}");
        for (field, _) in FIELDS {
            assert!(get(message, field).is_none_or(|value| !value.is_empty()), "{name}: {field}");
        }
    }
    assert!(read.len() > 30 || corpus("hl7v2-bad").is_none(), "{} were read", read.len());
}

#[test]
fn segments_of_the_corpus_are_mostly_in_the_dictionary() {
    let (mut known, mut unknown) = (0_usize, 0_usize);
    for (_, message) in messages() {
        let path = medway::hl7::path::Path::parse("MSH-12.1").unwrap();
        let version = dictionary::Version::parse(&message.get(&path).text(message.charset()));
        for segment in message.segments().filter(|segment| !segment.name().starts_with('Z')) {
            match dictionary::segment(version, segment.name()) {
                Some(_) => known += 1,
                None => unknown += 1,
            }
        }
    }
    assert!(known > unknown * 20, "{known} known, {unknown} unknown");
}
