//! Files appear whole, under a safe name, and never over another's content.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use medway::destination::file::{FileDestination, FileDestinationOptions, IfExists};
use medway::destination::{Destination, DestinationName};
use medway::message::outcome::{Outbound, Outcome, Scope};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::receiver::{message, outbound};

fn destination(options: FileDestinationOptions) -> FileDestination {
    FileDestination::new(&DestinationName::new("adt", "archive"), options)
}

fn options(directory: &TempDir) -> FileDestinationOptions {
    FileDestinationOptions {
        directory: directory.path().to_owned(),
        ..FileDestinationOptions::default()
    }
}

fn with(mut outbound: Outbound, attributes: &[(&str, &str)]) -> Outbound {
    outbound.attributes =
        attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    outbound
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn check(destination: &FileDestination, outbound: &Outbound, name: &str, code: &str) {
    let outcome = destination.send(outbound, &CancellationToken::new()).await;
    assert_eq!((outcome.name(), &*outcome.answer().code), (name, code), "{outcome:?}");
    if let Outcome::Failed { scope, .. } = outcome {
        assert_eq!(scope, Scope::Endpoint);
    }
}

#[tokio::test]
async fn a_message_becomes_one_file_named_by_its_id() {
    let directory = TempDir::new().unwrap();
    let destination = destination(options(&directory));
    check(&destination, &outbound("M1"), "accepted", "written").await;
    assert_eq!(names(directory.path()), ["M1.hl7"]);
    assert_eq!(fs::read(directory.path().join("M1.hl7")).unwrap(), message("M1"));
    assert_eq!(destination.endpoints()[0].last_error, None);
}

#[tokio::test]
async fn a_repeat_is_accepted_and_a_clash_refused() {
    let directory = TempDir::new().unwrap();
    let destination = destination(options(&directory));
    check(&destination, &outbound("M1"), "accepted", "written").await;
    check(&destination, &outbound("M1"), "accepted", "exists").await;
    let mut other = outbound("M1");
    other.body = "other content".into();
    check(&destination, &other, "rejected", "taken").await;
    let mut same_size = outbound("M1");
    same_size.body = vec![b'x'; message("M1").len()].into();
    check(&destination, &same_size, "rejected", "taken").await;
    assert_eq!(fs::read(directory.path().join("M1.hl7")).unwrap(), message("M1"));
    assert_eq!(names(directory.path()), ["M1.hl7"]);
}

#[tokio::test]
async fn content_is_replaced_only_when_told_so() {
    let directory = TempDir::new().unwrap();
    let destination =
        destination(FileDestinationOptions { if_exists: IfExists::Replace, ..options(&directory) });
    check(&destination, &outbound("M1"), "accepted", "written").await;
    let mut other = outbound("M1");
    other.body = "other content".into();
    check(&destination, &other, "accepted", "written").await;
    assert_eq!(fs::read(directory.path().join("M1.hl7")).unwrap(), b"other content");
    assert_eq!(names(directory.path()), ["M1.hl7"]);
}

#[tokio::test]
async fn names_and_folders_come_from_the_message_and_stay_below() {
    let directory = TempDir::new().unwrap();
    let destination = destination(options(&directory));
    let first = with(outbound("M1"), &[("folder", "2026/11/22"), ("name", "ward 3.hl7")]);
    check(&destination, &first, "accepted", "written").await;
    assert!(directory.path().join("2026/11/22/ward 3.hl7").is_file());
    let second = with(outbound("M2"), &[("folder", "../.."), ("name", "../../../evil")]);
    check(&destination, &second, "accepted", "written").await;
    assert!(directory.path().join("_../_../_.._.._.._evil").is_file());
}

#[tokio::test]
async fn what_an_earlier_process_left_unfinished_goes() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(".medway-adt-archive-1.part"), "half a mess").unwrap();
    fs::write(directory.path().join(".medway-adt-other-1.part"), "somebody else's").unwrap();
    let destination = destination(options(&directory));
    check(&destination, &outbound("M1"), "accepted", "written").await;
    assert_eq!(names(directory.path()), [".medway-adt-other-1.part", "M1.hl7"]);
}

#[tokio::test]
async fn a_missing_or_unwritable_directory_fails_and_heals() {
    let above = TempDir::new().unwrap();
    let path = above.path().join("share");
    let destination = destination(FileDestinationOptions {
        directory: path.clone(),
        ..FileDestinationOptions::default()
    });
    check(&destination, &outbound("M1"), "failed", "unwritable").await;
    assert!(destination.endpoints()[0].last_error.is_some());
    // A file in its place: not writable for anybody, root included.
    fs::write(&path, "").unwrap();
    check(&destination, &outbound("M1"), "failed", "unwritable").await;
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    check(&destination, &outbound("M1"), "accepted", "written").await;
    assert_eq!(destination.endpoints()[0].last_error, None);
}

#[tokio::test]
async fn a_directory_without_rights_fails() {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let writable = fs::write(directory.path().join("probe"), "").is_ok();
    let outcome =
        destination(options(&directory)).send(&outbound("M1"), &CancellationToken::new()).await;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // The superuser may write anyway.
    assert_eq!(outcome.name(), if writable { "accepted" } else { "failed" });
}

#[tokio::test]
async fn a_full_directory_fails_until_files_are_taken_away() {
    let directory = TempDir::new().unwrap();
    let destination = destination(FileDestinationOptions { files_max: 2, ..options(&directory) });
    check(&destination, &outbound("M1"), "accepted", "written").await;
    check(&destination, &outbound("M2"), "accepted", "written").await;
    check(&destination, &outbound("M3"), "failed", "full").await;
    check(&destination, &outbound("M2"), "accepted", "exists").await;
    fs::remove_file(directory.path().join("M1.hl7")).unwrap();
    check(&destination, &outbound("M3"), "accepted", "written").await;
}

#[tokio::test]
async fn a_reader_never_sees_half_a_file() {
    let directory = TempDir::new().unwrap();
    let destination = destination(options(&directory));
    let mut large = outbound("M1");
    large.body = vec![b'x'; 8 * 1024 * 1024].into();
    let path = directory.path().join("M1.hl7");
    let sending = check(&destination, &large, "accepted", "written");
    tokio::pin!(sending);
    loop {
        let is_done = tokio::select! {
            biased;
            () = &mut sending => true,
            () = tokio::task::yield_now() => false,
        };
        if let Ok(metadata) = fs::metadata(&path) {
            assert_eq!(metadata.len(), 8 * 1024 * 1024);
        }
        if is_done {
            break;
        }
    }
}

#[tokio::test]
async fn nothing_is_replaced_while_an_earlier_write_of_the_name_has_not_ended() {
    let directory = TempDir::new().unwrap();
    let destination = destination(FileDestinationOptions {
        if_exists: IfExists::Replace,
        write_within: Duration::from_millis(50),
        ..options(&directory)
    });
    // Whoever opens a pipe waits until somebody writes into it, as for a disk that stalls.
    let (pipe, name) = (directory.path().join("pipe"), directory.path().join("M1.hl7"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fs::hard_link(&pipe, &name).unwrap();
    check(&destination, &outbound("M1"), "uncertain", "timeout").await;
    fs::remove_file(&name).unwrap();
    let mut newer = outbound("M1");
    newer.body = "newer content".into();
    check(&destination, &newer, "failed", "busy").await;
    assert!(!name.exists());
    drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    let outcome = loop {
        match destination.send(&newer, &CancellationToken::new()).await {
            Outcome::Failed { .. } => {}
            other => break other,
        }
    };
    assert_eq!(outcome.name(), "accepted");
    assert_eq!(fs::read(&name).unwrap(), b"newer content");
}
