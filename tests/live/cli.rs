//! What the dashboard does, done by the command line on the real binary: users, tokens, jobs, channels, views, the
//! trail.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::canary::refusing;
use crate::engine::Engine;
use crate::peers::{Link, until, update};

/// Runs a command that must do as asked; answers what it says as JSON.
fn asked(engine: &Engine, arguments: &[&str]) -> Value {
    let (done, told) = engine.command(&[&["--json"], arguments].concat());
    assert!(done, "{arguments:?}: {told}");
    let line = told.lines().find(|line| line.starts_with('{')).unwrap_or("null");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {told}"))
}

fn dead(engine: &Engine) -> usize {
    let asked = serde_json::json!({"state": "dead"});
    engine.api("/exceptions/search", Some(&asked))["exceptions"].as_array().unwrap().len()
}

/// Users: the password comes on stdin.
fn users(engine: &Engine, folder: &Path) {
    let mut adding = Command::new(env!("CARGO_BIN_EXE_medway"));
    adding.args(["user", "add", "li", "--role", "operator", "--group", "wards", "--config"]);
    adding.arg(folder.join("engine.yaml")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut adding = adding.spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"three herons wade\n").unwrap();
    assert!(adding.wait_with_output().unwrap().status.success());
    let changed = asked(
        engine,
        &["call", "user.change", "li", "--set", "roles=viewer", "--set", "roles=analyst"],
    );
    assert_eq!(changed["roles"], serde_json::json!(["viewer", "analyst"]));
    let off = asked(engine, &["user", "disable", "li"]);
    assert_eq!((&off["disabled"], &off["groups"]), (&true.into(), &serde_json::json!(["wards"])));
}

/// A token, used and taken back.
fn tokens(engine: &Engine) {
    let token = asked(
        engine,
        &["call", "token.add", "--set", "name=export", "--set", "roles=viewer", "--set", "days=1"],
    );
    let secret = token["token"].as_str().unwrap();
    let channels = ["call", "channel.list", "--all", "--set", "limit=1", "--token", secret];
    assert_eq!(asked(engine, &channels)["channels"][0]["channel"], "trial");
    asked(engine, &["call", "token.revoke", "export", "--set", "reason=done"]);
    assert!(!engine.command(&channels).0, "taken back");
}

/// A group is tried, then sent again at a rate; asked for twice, it is sent once.
fn jobs(engine: &Engine) {
    let causes = asked(engine, &["jobs", "causes"]);
    assert_eq!(causes["count"], 3);
    let cause = format!("cause={}", causes["cause"].as_str().unwrap());
    let trial = [
        "call",
        "exception.test",
        "--set",
        "destination=trial/lis",
        "--set",
        "state=dead",
        "--set",
        &cause,
    ];
    assert_eq!(asked(engine, &trial)["ok"], 3);
    let count = |engine: &Engine| {
        let asked = serde_json::json!({"value": "P0"});
        engine.api("/messages/search", Some(&asked))["messages"].as_array().unwrap().len()
    };
    let replay = [
        "jobs",
        "begin",
        "replay",
        "--state",
        "dead",
        "--destination",
        "trial/lis",
        "--reason",
        "the LIS is back",
        "--rate",
        "100",
        "--wait",
    ];
    asked(engine, &["destinations", "trial/lis", "pause", "--reason", "maintenance"]);
    for expected in [3, 0] {
        let job = asked(engine, &replay);
        assert_eq!((&job["state"], &job["done"]), (&"done".into(), &expected.into()), "{job}");
    }
    assert_eq!((count(engine), dead(engine)), (2, 0));
    assert!(!engine.command(&["jobs", "abort", "none", "--reason", "x"]).0);
    asked(engine, &["destinations", "trial/lis", "resume", "--reason", "done"]);
}

/// A message from all sides, and edited.
fn messages(engine: &Engine, folder: &Path) {
    let found = asked(engine, &["messages", "--key", "mrn=P1"]);
    let id = found["id"].as_str().unwrap().to_owned();
    let edited = folder.join("edited.hl7");
    std::fs::write(&edited, update("J1", "P1").replace("Eve", "Ada")).unwrap();
    let payload = format!("payload={}", edited.display());
    let preview =
        ["call", "message.preview", &id, "--set", "destination=trial/lis", "--bytes", &payload];
    assert_ne!(asked(engine, &preview)["payload"], "", "something would be sent");
    assert_eq!(asked(engine, &["call", "message.tree", &id])["format"], "hl7");
    assert!(asked(engine, &["call", "message.explain", &id]).is_object());
    let resent = asked(
        engine,
        &["call", "message.resend", &id, "--set", "reason=a wrong name", "--bytes", &payload],
    );
    let (_, body) = engine.command(&["messages", resent["message"].as_str().unwrap(), "--raw"]);
    assert!(body.contains("Ada"), "{body}");
}

/// Channels, their versions, views, the machine.
fn channels(engine: &Engine) {
    asked(engine, &["call", "channel.switch", "trial", "stop", "--set", "reason=maintenance"]);
    assert_eq!(asked(engine, &["call", "channel.see", "trial"])["state"], "stopped");
    asked(engine, &["call", "channel.switch", "trial", "start", "--set", "reason=done"]);
    engine.append("channels/trial.yaml", "# one more\n");
    let report = asked(engine, &["reload", "--reason", "a remark"]);
    assert_eq!(report["changed"], serde_json::json!(["trial"]));
    let versions = asked(engine, &["call", "channel.see", "trial"])["versions"].clone();
    assert_eq!(
        (&versions[0]["reason"], &versions[1]["by"]),
        (&"a remark".into(), &"engine".into())
    );
    let old = versions[1]["version"].to_string();
    let text = asked(engine, &["call", "channel.version", "trial", &old]);
    assert!(!text["yaml"].as_str().unwrap().contains("one more"));
    let view = [
        "call",
        "view.add",
        "--set",
        "name=all",
        "--set",
        "page=/messages",
        "--set",
        "query=",
        "--set",
        "shared=true",
    ];
    assert_eq!(asked(engine, &view)["name"], "all");
    assert!(asked(engine, &["call", "system.see"])["store"].is_object());
}

/// Who looked for whom; the trail as a file, whole.
fn trail(engine: &Engine) {
    let looked = asked(engine, &["audit", "search", "--term", "P1", "--action", "message.search"]);
    assert_eq!(looked["actor"], "token:admin");
    assert!(asked(engine, &["audit", "search", "--term", "P9"]).is_null(), "nobody looked for P9");
    let (done, csv) = engine.command(&["audit", "export", "--action", "user."]);
    assert!(done && csv.lines().count() == 4, "its head and three acts: {csv}");
    let (done, events) =
        engine.command(&["audit", "export", "--format", "fhir", "--action", "token."]);
    assert!(done && events.contains("AuditEvent"), "{events}");
    let (done, list) = engine.command(&["call"]);
    assert!(done && list.contains("message.tree"), "{list}");
    let told =
        Command::new(env!("CARGO_BIN_EXE_medway")).args(["explain", "forged"]).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("Authorization"), "{told}");
    assert!(engine.command(&["audit", "verify"]).0);
}

/// What a system administrator does; the last of it ends the engine.
fn machine(engine: &mut Engine, folder: &Path) {
    assert!(!engine.log().contains("DEBUG"), "nothing is logged at length yet");
    let set = asked(engine, &["system", "log-level", "debug", "--reason", "a look"]);
    assert_eq!((&set["log"], &set["minutes"]), (&"info,medway=debug".into(), &60.into()));
    let mut link = Link::open(engine.port);
    assert_eq!(link.send(&update("D1", "P9")).0, "AA");
    until("it is logged at length", || engine.log().contains("DEBUG"));
    assert_eq!(asked(engine, &["system"])["log"], "info,medway=debug");
    let set = asked(engine, &["system", "log-level", "--reason", "seen enough"]);
    assert_eq!((&set["log"], &set["minutes"]), (&"info".into(), &Value::Null));
    assert_eq!(asked(engine, &["system", "retention", "--reason", "tidy"])["all"], true);
    let read = asked(engine, &["system", "certificates", "--reason", "renewed"]);
    assert_eq!(read["profiles"], serde_json::json!([]));
    let backup = asked(engine, &["system", "backup", "--wait", "--reason", "before the upgrade"]);
    assert_eq!(backup["state"], "done", "{backup}");
    asked(engine, &["system", "stop", "--reason", "the upgrade"]);
    until("it ends", || engine.ended());
    assert_eq!(engine.exit_code(), Some(0));

    // The backup in the place of the data directory: the same users, trail and messages.
    let place = Path::new(backup["path"].as_str().unwrap());
    std::fs::rename(place, folder.join("restored")).unwrap();
    std::fs::remove_dir_all(folder.join("data")).unwrap();
    std::fs::rename(folder.join("restored"), folder.join("data")).unwrap();
    engine.kill();
    engine.start("");
    engine.ready().expect("it starts on the backup");
    assert!(engine.command(&["audit", "verify"]).0);
    assert_eq!(asked(engine, &["messages", "--key", "mrn=P9"])["event"], "ADT^A08");
    assert_eq!(asked(engine, &["user", "list"])["name"], "li");
}

#[test]
fn the_command_line_does_what_the_dashboard_does() {
    let folder = tempfile::tempdir().unwrap();
    let port = refusing("no such visit");
    let to = format!("  lis:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n");
    let keys = "order_by: PID-3.1\nsearch_keys:\n  mrn: PID-3.1\n";
    let mut engine = Engine::with(folder.path(), keys, "after_stored", "", &to);
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    for n in 0..3 {
        assert_eq!(link.send(&update(&format!("J{n}"), &format!("P{n}"))).0, "AA");
    }
    until("all are set aside", || dead(&engine) == 3);

    users(&engine, folder.path());
    tokens(&engine);
    jobs(&engine);
    messages(&engine, folder.path());
    channels(&engine);
    trail(&engine);
    machine(&mut engine, folder.path());
}
