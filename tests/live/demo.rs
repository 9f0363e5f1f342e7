//! The README's first command: messages flow within a minute, the terminal says where they went, and it ends
//! when it is told to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What `make run` starts, on ports that nobody has, with its lines as they come.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Demo {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let channels = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels");
        let log = std::fs::File::create(folder.join("notices")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_medway"))
            .args(["demo", "--free-ports", "--admin", "127.0.0.1:0", "--rate", "50", "--channels"])
            .arg(channels)
            .arg("--data")
            .arg(folder.join("data"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line, a minute at most: that is what is promised.
    fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line says {what}; the lines are:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Waits for the end; answers whether it was a success.
    fn end(mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "it ends:\n{}", self.seen.join("\n"));
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The number after a word of a line.
fn number(line: &str, word: &str) -> u64 {
    let rest = line.split_once(word).map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[test]
fn messages_flow_and_the_terminal_says_where_they_went() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(folder.path(), &[]);
    demo.line("where the API is", |line| line.contains("its API is at http://127.0.0.1:"));
    for channel in ["adt-patient-sync", "lab-results", "bedside-monitors"] {
        demo.line(channel, |line| line.contains(&format!("from {channel} → ")));
    }
    // Messages of all three systems arrive at their receivers, over MLLP and HTTP, and the picture says so.
    demo.line("what was sent", |line| number(line, "the hospital sent ") > 0);
    for destination in ["adt-patient-sync/lis", "lab-results/workstation", "bedside-monitors/"] {
        demo.line(destination, |line| {
            line.trim_start().starts_with(destination) && number(line, "delivered") > 0
        });
    }
    for protocol in ["(MLLP): ", "(HTTP): "] {
        demo.line(protocol, |line| {
            line.contains("received at 127.0.0.1:") && number(line, protocol) > 0
        });
    }
    let told = Command::new("kill").args(["-INT", &demo.child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert!(demo.end(), "Ctrl-C ends it with success: {}", notices(folder.path()));

    // A second run goes on from there, and ends by itself.
    let mut demo = Demo::start(folder.path(), &["--seconds", "2"]);
    demo.line("what was sent", |line| line.contains("the hospital sent "));
    assert!(demo.end(), "its time is over: {}", notices(folder.path()));
    let notices = notices(folder.path());
    assert!(notices.contains("goes on from there"), "{notices}");
    assert!(!notices.contains("sending again"), "nobody is left in doubt: {notices}");
}

fn notices(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("notices")).unwrap_or_default()
}
