//! A full disk, receivers that hang, close or lie, a hundred thousand waiting deliveries: what stands in
//! the fault matrix, against the real binary.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::engine::{Engine, free_port, http_status};
use crate::peers::{Link, Manner, plain_receiver, until, update};

/// A file system of `size`, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("64m") else {
        println!(
            "mounting is not allowed here: the store's own test of a full database covers this"
        );
        return;
    };
    let (port, kept) = plain_receiver(Manner::Good);
    let mut engine =
        Engine::new(disk.path(), &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"));
    // Nothing is kept in reserve: the disk is full to its last byte.
    engine.append("engine.yaml", "limits: {disk_free: 0B}\n");
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    assert_eq!(link.send(&update("BEFORE", "P1")).0, "AA");
    let ballast = disk.path().join("ballast");
    let fill = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", "status=none"])
        .arg(format!("of={}", ballast.display()))
        .status()
        .unwrap();
    assert!(!fill.success(), "the disk is full");
    // Pages already allocated may take a few more messages; then every answer is an honest no.
    let mut accepted = vec!["BEFORE".to_owned()];
    let mut refused = 0;
    for number in 0..4000 {
        let id = format!("FULL{number}");
        let (code, _) = link.send(&update(&id, "P1"));
        if code == "AA" {
            accepted.push(id);
        } else {
            assert!(["AE", "AR"].contains(&code.as_str()), "an honest refusal, not {code}");
            refused += 1;
            if refused == 3 {
                break;
            }
        }
    }
    assert_eq!(refused, 3, "a full disk refuses");
    assert_eq!(http_status(engine.admin, "/readyz"), Some(503), "and says so");
    assert!(!engine.ended(), "the engine lives on:\n{}", engine.log());
    std::fs::remove_file(&ballast).unwrap();
    until("it takes messages again", || link.send(&update("AFTER", "P1")).0 == "AA");
    accepted.push("AFTER".to_owned());
    until("everything accepted is delivered", || {
        let kept = kept.lock().unwrap();
        let text: Vec<String> =
            kept.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect();
        accepted.iter().all(|id| text.iter().any(|message| message.contains(&format!("|{id}|"))))
    });
}

#[test]
fn a_nearly_full_disk_stops_intake_while_outcomes_still_fit() {
    let Some(disk) = SmallDisk::mount("96m") else {
        println!("SKIPPED: mounting is not allowed here");
        return;
    };
    let (port, kept) = plain_receiver(Manner::Good);
    let mut engine =
        Engine::new(disk.path(), &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"));
    engine.append("engine.yaml", "limits: {disk_free: 32MiB}\n");
    engine.start("");
    engine.ready().expect("the engine starts");
    let reason = serde_json::json!({"reason": "to let a message wait"});
    engine.api("/destinations/trial/out/pause", Some(&reason));
    let mut link = Link::open(engine.port);
    assert_eq!(link.send(&update("BEFORE", "P1")).0, "AA");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0_u8; 72 << 20]).unwrap();
    until("it is not ready", || http_status(engine.admin, "/readyz") == Some(503));
    let answer = link.exchange(update("LOW", "P1").as_bytes()).expect("an answer comes");
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(crate::peers::field(&answer, "MSA", 1), "AE", "{answer}");
    assert!(answer.contains("the disk is nearly full"), "{answer}");
    // What was accepted before is delivered, and that is recorded.
    engine.api("/destinations/trial/out/resume", Some(&reason));
    until("what waited is delivered", || engine.destination("out")["delivered"] == 1);
    assert_eq!(kept.lock().unwrap().len(), 1);
    std::fs::remove_file(&ballast).unwrap();
    until("it takes messages again", || link.send(&update("AFTER", "P1")).0 == "AA");
}

/// How long a bad receiver is waited for. An engine that lets a good one wait behind it shows this.
const REPLY_WITHIN: Duration = Duration::from_secs(20);

/// How long 500 messages took from their acknowledgement to the good receiver, the slowest of them; and the
/// engine they went through. `destinations` are those beside the good one.
fn slowest(folder: &Path, destinations: &str) -> (Duration, Engine) {
    let (good, arrivals) = noting_receiver();
    let good = format!("  good:\n    mllp: {{host: 127.0.0.1, port: {good}}}\n{destinations}");
    let mut engine = Engine::new(folder, &good);
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    let mut acknowledged = Vec::new();
    for number in 0..500 {
        let id = format!("M{number}");
        assert_eq!(link.send(&update(&id, &format!("P{}", number % 50))).0, "AA");
        acknowledged.push((id, Instant::now()));
    }
    until("the good one has everything", || arrivals.lock().unwrap().len() >= 500);
    let arrivals = arrivals.lock().unwrap();
    let took = |(id, at): &(String, Instant)| arrivals[id].saturating_duration_since(*at);
    (acknowledged.iter().map(took).max().unwrap(), engine)
}

/// A good receiver, and when each message first came.
fn noting_receiver() -> (u16, Arc<Mutex<BTreeMap<String, Instant>>>) {
    let arrivals = Arc::new(Mutex::new(BTreeMap::new()));
    let note = Arc::clone(&arrivals);
    let port = answering_receiver(move |_, id| {
        note.lock().unwrap().entry(id.to_owned()).or_insert_with(Instant::now);
        "AA"
    });
    (port, arrivals)
}

#[test]
fn bad_receivers_delay_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        ("silent", plain_receiver(Manner::Silent).0),
        ("hung", plain_receiver(Manner::Hung).0),
        ("closing", plain_receiver(Manner::Closing).0),
        ("lying", plain_receiver(Manner::Lying).0),
        ("refusing", free_port()),
    ];
    let seconds = REPLY_WITHIN.as_secs();
    let destinations: String = bad
        .iter()
        .map(|(name, port)| {
            format!(
                "  {name}:\n    mllp: {{host: 127.0.0.1, port: {port}, reply_within: {seconds}s}}\n    retry: {{first: 100ms, max: 1s, for: 1h, then: hold}}\n"
            )
        })
        .collect();
    let (alone, reference) = slowest(&folder.path().join("alone"), "");
    drop(reference);
    let (beside, engine) = slowest(&folder.path().join("beside"), &destinations);
    println!("the slowest message took {alone:?} alone, {beside:?} beside bad receivers");
    let most = alone * 4 + REPLY_WITHIN / 4;
    assert!(beside < most, "{beside:?} beside bad receivers, {alone:?} without them");
    for (name, _) in bad {
        let status = engine.destination(name);
        assert_eq!(status["delivered"], 0, "{name} confirmed nothing: {status}");
        let waiting = ["pending", "retry", "behind", "held", "in_flight"]
            .iter()
            .filter_map(|field| status[*field].as_u64())
            .sum::<u64>();
        assert!(waiting >= 500, "everything waits for {name}: {status}");
    }
}

#[test]
fn one_patient_rejected_for_ever_stops_only_that_patient() {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = rejecting_receiver("P7");
    let destination = format!(
        "  out:\n    mllp: {{host: 127.0.0.1, port: {port}, connections: 4}}\n    on_ack: {{AR: hold_lane}}\n"
    );
    let mut engine = Engine::new(folder.path(), &destination);
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    for round in 0..3 {
        for patient in 0..1000 {
            let id = format!("R{round}P{patient}");
            assert_eq!(link.send(&update(&id, &format!("P{patient}"))).0, "AA");
        }
    }
    until("the other 999 patients flow", || kept.lock().unwrap().len() >= 999 * 3);
    until("the API names the blocked lane", || {
        let status = engine.destination("out");
        status["held"] == 1 && status["behind"] == 2
    });
    let status = engine.destination("out");
    let lane = &status["lanes"][0];
    assert_eq!(lane["state"], "held", "{status}");
    assert_eq!(lane["behind"], 2, "{status}");
    let head = lane["message"].as_str().unwrap().to_owned();
    // Skipped: the next of the lane becomes its head, is rejected too, and is held in turn.
    let reason = serde_json::json!({"reason": "the receiver will never take it"});
    engine.api(&format!("/deliveries/trial/out/{head}/skip"), Some(&reason));
    until("the next one is held", || {
        let status = engine.destination("out");
        status["held"] == 1
            && status["behind"] == 1
            && status["lanes"][0]["message"] != head.as_str()
    });
    let trace = engine.api(&format!("/messages/{head}"), None);
    assert_eq!(trace["deliveries"][0]["state"], "cancelled", "{trace}");
}

/// A receiver that answers AR to everything about one patient and AA to the rest, whose ids it keeps.
fn rejecting_receiver(patient: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let port = answering_receiver(move |text, id| {
        if text.contains(&format!("|{patient}^")) {
            return "AR";
        }
        keep.lock().unwrap().push(id.to_owned());
        "AA"
    });
    (port, kept)
}

/// A receiver that answers with the code that `judge` finds for a message and its id.
fn answering_receiver(judge: impl Fn(&str, &str) -> &'static str + Send + Sync + 'static) -> u16 {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let judge = Arc::new(judge);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let judge = Arc::clone(&judge);
            std::thread::spawn(move || {
                let mut rest = Vec::new();
                while let Some(frame) = crate::peers::read_frame(&mut stream, &mut rest) {
                    let text = String::from_utf8(frame).unwrap();
                    let id = crate::peers::field(&text, "MSH", 9);
                    let code = judge(&text, &id);
                    let answer =
                        format!("MSH|^~\\&|R|R|M|M|20260101||ACK|A{id}|P|2.5.1\rMSA|{code}|{id}\r");
                    if stream.write_all(&crate::peers::framed(answer.as_bytes())).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn sigterm_drains_and_leaves_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = plain_receiver(Manner::Good);
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    for number in 0..50 {
        assert_eq!(link.send(&update(&format!("T{number}"), "P1")).0, "AA");
    }
    let status = engine.terminate(Duration::from_secs(30));
    assert!(status.success(), "{status}:\n{}", engine.log());
    engine.start("");
    engine.ready().expect("the engine starts again");
    until("nothing was lost", || kept.lock().unwrap().len() >= 50);
}

#[test]
fn what_kills_the_process_is_held_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = plain_receiver(Manner::Good);
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    engine.start("delivery_render:1");
    engine.ready().expect("the engine starts");
    // It is stored, and the process may die over it before the answer leaves.
    drop(Link::open(engine.port).exchange(update("KILLER", "P1").as_bytes()));
    let mut deaths = 0;
    loop {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let mut held = false;
        while !engine.ended() && !held {
            assert!(
                std::time::Instant::now() < deadline,
                "it neither dies nor holds:\n{}",
                engine.log()
            );
            let query = serde_json::json!({"state": "held"});
            let found = engine.try_api("/exceptions/search", Some(&query));
            held = found.is_some_and(|found| found["exceptions"][0]["cause"] == "poison");
        }
        if held {
            break;
        }
        deaths += 1;
        assert!(deaths < 8, "it dies over the same message for ever:\n{}", engine.log());
        engine.start("delivery_render:1");
    }
    let status = engine.destination("out");
    assert_eq!(status["lanes"][0]["cause"], "poison", "{status}");
    engine.kill();
    engine.start("");
    engine.ready().expect("the engine starts");
    assert_eq!(Link::open(engine.port).send(&update("OTHER", "P2")).0, "AA");
    until("the other patient's message is delivered", || kept.lock().unwrap().len() == 1);
    assert_eq!(engine.destination("out")["held"], 1);
    // A person who knows better lets it go on: nothing that happened before holds it again.
    let held = engine.api("/exceptions/search", Some(&serde_json::json!({"state": "held"})));
    let id = held["exceptions"][0]["message"].as_str().unwrap();
    let reason = serde_json::json!({"reason": "the release that died over it is gone"});
    engine.api(&format!("/deliveries/trial/out/{id}/release"), Some(&reason));
    until("the released message is delivered", || kept.lock().unwrap().len() == 2);
}

#[test]
fn messages_without_a_control_id_are_all_kept_or_refused_as_the_channel_says() {
    let take = |accept: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (port, kept) = plain_receiver(Manner::Good);
        let mut engine = Engine::with(
            folder.path(),
            "order_by: PID-3.1\n",
            "{mode: original}",
            accept,
            &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}, control_id: ignored}}\n"),
        );
        engine.start("");
        engine.ready().expect("the engine starts");
        let mut link = Link::open(engine.port);
        let answers: Vec<String> = (0..2).map(|_| link.send(&update("", "P1")).0).collect();
        if answers == ["AA", "AA"] {
            until("both are delivered", || kept.lock().unwrap().len() == 2);
        }
        answers
    };
    // Nothing says that the second repeats the first: each is kept, under an id of ours.
    assert_eq!(take(""), ["AA", "AA"]);
    assert_eq!(take("accept:\n  require: [MSH-10]\n"), ["AE", "AE"]);
}
