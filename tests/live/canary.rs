//! Made-up patients are sent through everything, and acted on; then nothing but the stores of messages holds them:
//! no log, no metric, no address that a receiver is called at, no file of jobs, stops or marks, no audit trail or
//! export of it, no error page, no complaint of the command line.

mod peers;
mod visit;

use std::path::{Path, PathBuf};

use crate::canary::peers::Hooks;
pub(crate) use crate::canary::peers::refusing;
use crate::engine::{Engine, free_port};
use crate::peers::{Link, until};

/// A family name, a Chinese name, a number: nothing of ours has them by chance.
const CANARIES: [&str; 3] = ["Zeisigkanarie", "金丝雀小明", "KANARIE77"];

/// The canaries that stand in these bytes.
fn found(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |canary: &&str| bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
    CANARIES.into_iter().filter(holds).collect()
}

fn admission(id: &str) -> String {
    format!(
        "MSH|^~\\&|HIS|HOSP|MEDWAY|HOSP|20260101000000||ADT^A08^ADT_A01|{id}|P|2.5.1||||||UNICODE UTF-8\r\
         EVN|A08|20260101000000\rPID|1||KANARIE77^^^HOSP^MR||金丝雀小明^Zeisigkanarie||19800101|F\rPV1|1|I\r"
    )
}

/// An engine with a channel of each kind of source, and receivers that refuse, are away, and take everything.
struct Trial {
    folder: tempfile::TempDir,
    engine: Engine,
    fhir: u16,
    http: u16,
    hooks: Hooks,
}

impl Trial {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys =
            "order_by: PID-3.1\nsearch_keys:\n  mrn: PID-3.1\n  name: {path: PID-5, mask: true}\n";
        let hooks = Hooks::start();
        let (refusing, away) =
            (refusing("no bed for 金丝雀小明 Zeisigkanarie KANARIE77"), free_port());
        let hook = hooks.port;
        let to = format!(
            "  lis:\n    mllp: {{host: 127.0.0.1, port: {refusing}}}\n  his:\n    mllp: {{host: 127.0.0.1, port: {away}}}\n  \
             web:\n    webhook: {{url: \"http://127.0.0.1:{hook}/adt\"}}\n"
        );
        let mut engine = Engine::with(folder.path(), keys, "after_stored", "", &to);
        engine.append("engine.yaml", "log: {level: \"medway=trace,info\"}\n");
        let (fhir, http) = (free_port(), free_port());
        let file = |name: &str, text: String| {
            std::fs::write(folder.path().join("channels").join(name), text).unwrap();
        };
        file(
            "fhir.yaml",
            format!(
                "channel: fhir\norder_by: $.id\nfrom:\n  fhir: {{listen: \"127.0.0.1:{fhir}\", access: none, validation: strict}}\n\
                 search_keys: {{identifier: \"$.identifier[*].value\"}}\n\
                 to:\n  warehouse:\n    webhook: {{url: \"http://127.0.0.1:{hook}/fhir\"}}\n"
            ),
        );
        file(
            "orders.yaml",
            format!(
                "channel: orders\norder_by: $.mrn\nfrom: {{http: {{listen: \"127.0.0.1:{http}\", path: /orders, content: json}}}}\n\
                 accept:\n  require: [$.mrn]\nsearch_keys: {{mrn: $.mrn}}\n\
                 to:\n  pharmacy:\n    webhook: {{url: \"http://127.0.0.1:{hook}/refuse\"}}\n    on_ack: {{4xx: dead_letter}}\n"
            ),
        );
        engine.start("");
        engine.ready().expect("the engine starts");
        Self { folder, engine, fhir, http, hooks }
    }

    /// Deliveries to a receiver that refuses, set aside.
    fn dead(&self, destination: &str) -> usize {
        let dead = serde_json::json!({"state": "dead", "destination": destination});
        self.engine.api("/exceptions/search", Some(&dead))["exceptions"].as_array().unwrap().len()
    }
}

/// What is no message, and what is half of one.
fn send(trial: &Trial) {
    let mut link = Link::open(trial.engine.port);
    assert_eq!(link.send(&admission("C1")).0, "AA");
    for broken in
        ["KANARIE77 Zeisigkanarie", "MSH|^~\\&|金丝雀小明\rPID|KANARIE77\r", "PID|1||KANARIE77\r"]
    {
        let mut link = Link::open(trial.engine.port);
        let _answer = link.exchange(broken.as_bytes());
    }
    let patient = |more: &str| {
        format!(
            r#"{{"resourceType":"Patient","identifier":[{{"value":"KANARIE77"}}],"name":[{{"family":"Zeisigkanarie","text":"金丝雀小明"}}]{more}}}"#
        )
    };
    let fhir = "application/fhir+json";
    let json = "application/json";
    for (port, path, kind, body, taken) in [
        (trial.fhir, "/fhir/Patient", fhir, patient(""), true),
        (trial.fhir, "/fhir/Patient", fhir, patient(r#","gender":"KANARIE77""#), false),
        (trial.fhir, "/fhir/Patient", fhir, patient(r#","KANARIE77":1"#), false),
        (trial.fhir, "/fhir/Patient", fhir, patient(",KANARIE77"), false),
        (
            trial.fhir,
            "/fhir/Patient/_search",
            "application/x-www-form-urlencoded",
            "identifier=KANARIE77".to_owned(),
            true,
        ),
        (
            trial.http,
            "/orders",
            json,
            r#"{"mrn":"KANARIE77","name":"金丝雀小明 Zeisigkanarie"}"#.to_owned(),
            true,
        ),
        (
            trial.http,
            "/orders",
            json,
            r#"{"name":"金丝雀小明 Zeisigkanarie KANARIE77"}"#.to_owned(),
            false,
        ),
        (trial.http, "/orders", json, "{\"mrn\": KANARIE77}".to_owned(), false),
        (trial.http, "/KANARIE77", json, "{}".to_owned(), false),
    ] {
        let head = format!("Content-Type: {kind}\r\n");
        let answer = visit::said(port, &visit::post(path, &head, &body));
        let begins = if taken { "HTTP/1.1 2" } else { "HTTP/1.1 4" };
        assert!(answer.starts_with(begins), "{path}: {answer}");
        // A member that no resource has is named to its sender as the place of the fault, and to nobody else.
        let named = body.contains("\"KANARIE77\":");
        if !taken && !named {
            assert_eq!(found(answer.as_bytes()), [""; 0], "{path}\n{answer}");
        }
    }
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, all) } else { all.push(path) }
    }
}

/// Looks through every file but the one that somebody edited.
fn look(folder: &Path, edited: &Path) {
    let mut all = Vec::new();
    files(folder, &mut all);
    let (mut looked, mut kept) = (0, Vec::new());
    for file in all.into_iter().filter(|file| file != edited) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let found = found(&std::fs::read(&file).unwrap());
        looked += 1;
        if name.starts_with("medway.db") {
            kept.extend(found);
        } else {
            assert!(found.is_empty(), "{} holds {found:?}", file.display());
        }
    }
    assert!(looked > 8, "configuration, log, stores, jobs, stops, token: {looked}");
    assert!(!kept.is_empty(), "the test's own eyes: the store of messages holds them");
}

#[test]
fn patients_stand_in_the_stores_of_messages_and_nowhere_else() {
    let mut trial = Trial::start();
    send(&trial);
    until("all refused ones are set aside", || {
        trial.dead("trial/lis") >= 1 && trial.dead("orders/pharmacy") >= 1
    });
    let search = serde_json::json!({"value": "KANARIE77", "channel": "trial"});
    let messages = trial.engine.api("/messages/search", Some(&search));
    let id = messages["messages"][0]["id"].as_str().unwrap().to_owned();
    let edited = trial.folder.path().join("edited.hl7");
    std::fs::write(&edited, admission("C1")).unwrap();
    visit::act(&trial, &id, &edited);
    visit::complain(&trial, &id, &edited);
    visit::guess(&trial);
    visit::pages(&trial, &id);
    until("the receivers of webhooks are called", || trial.hooks.paths().len() >= 3);
    let heads = trial.hooks.heads();
    assert_eq!(found(heads.as_bytes()), [""; 0], "{heads}");
    assert_eq!(found(trial.hooks.bodies().as_bytes()).len(), 3, "the test's own eyes: bodies do");
    assert!(trial.engine.terminate(std::time::Duration::from_secs(30)).success());
    let log = trial.engine.log();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "it is logged at length:\n{log}");
    assert!(!log.contains("panic"), "{log}");
    look(trial.folder.path(), &edited);
}
