//! Peers nobody here wrote: Python's `hl7` and npm's `node-hl7-client` and `node-hl7-server`, in both
//! directions. `scripts/setup.sh` installs them; without them these tests fail and say so.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::engine::{Engine, free_port};
use crate::peers::{Link, Manner, plain_receiver, until, update};

fn peers() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    assert!(folder.join("venv/bin/python").exists(), "the peers are missing: run scripts/setup.sh");
    folder
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

pub(crate) fn stranger(name: &str) -> Command {
    let mut command = if name.ends_with(".py") {
        Command::new(peers().join("venv/bin/python"))
    } else {
        Command::new("node")
    };
    command.arg(script(name)).env("PEERS", peers()).stdin(Stdio::null());
    command
}

/// Ten messages in files of their own.
fn files(folder: &Path) -> Vec<PathBuf> {
    (0..10)
        .map(|number| {
            let file = folder.join(format!("m{number}.hl7"));
            std::fs::write(&file, update(&format!("STRANGER{number}"), "P1")).unwrap();
            file
        })
        .collect()
}

fn they_send(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = plain_receiver(Manner::Good);
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"),
    );
    engine.start("");
    engine.ready().expect("the engine starts");
    let output =
        stranger(name).arg(engine.port.to_string()).args(files(folder.path())).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<&str> = text.lines().collect();
    let expected: Vec<String> = (0..10).map(|number| format!("AA STRANGER{number}")).collect();
    assert_eq!(answers, expected, "{}", String::from_utf8_lossy(&output.stderr));
    until("all ten are delivered", || kept.lock().unwrap().len() == 10);
}

struct Receiver {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Receiver {
    fn start(name: &str, argument: &str) -> Self {
        let mut child = stranger(name).arg(argument).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (into, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if into.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines
            .recv_timeout(std::time::Duration::from_secs(30))
            .expect("the stranger says something")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn they_receive(name: &str, keep_open: bool) {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(name, &free_port().to_string());
    let first = receiver.line();
    let port = first.strip_prefix("port ").expect("the stranger names its port");
    let mut engine = Engine::new(
        folder.path(),
        &format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}, keep_open: {keep_open}}}\n"),
    );
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    for number in 0..10 {
        let id = format!("OURS{number}");
        assert_eq!(link.send(&update(&id, "P1")), ("AA".to_owned(), id.clone()));
        assert_eq!(receiver.line(), format!("got {id}"));
    }
    until("all ten are settled", || engine.destination("out")["delivered"] == 10);
}

#[test]
fn python_hl7_sends() {
    they_send("send.py");
}

#[test]
fn python_hl7_receives() {
    they_receive("receive.py", true);
}

#[test]
fn node_hl7_client_sends() {
    they_send("send.mjs");
}

/// This version of the library answers all earlier messages of a connection again before each new one,
/// so it gets a connection for each message.
#[test]
fn node_hl7_server_receives() {
    they_receive("receive.mjs", false);
}
