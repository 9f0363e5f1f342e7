//! The real binary: started, killed, started again.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A configured engine in a folder of its own.
pub(crate) struct Engine {
    folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) admin: u16,
    child: Option<Child>,
}

/// A port nobody listens on now. The engine binds it a moment later and again after each kill.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Engine {
    /// Writes the configuration: one channel `trial` that takes everything. `destinations` is the YAML
    /// under `to:`, indented by two.
    pub(crate) fn new(folder: &Path, destinations: &str) -> Self {
        Self::with(folder, "order_by: PID-3.1\n", "after_stored", "", destinations)
    }

    /// The same with lines of its own before `from:`, its own `ack:`, and lines after `from:`.
    pub(crate) fn with(
        folder: &Path,
        head: &str,
        ack: &str,
        more: &str,
        destinations: &str,
    ) -> Self {
        let (port, admin) = (free_port(), free_port());
        fs::create_dir_all(folder.join("channels")).unwrap();
        let channel = format!(
            "channel: trial\n{head}from:\n  mllp: {{listen: \"127.0.0.1:{port}\"}}\n  ack: {ack}\n{more}to:\n{destinations}"
        );
        fs::write(folder.join("channels/trial.yaml"), channel).unwrap();
        let engine =
            format!("data: data\nchannels: channels\nadmin: {{listen: \"127.0.0.1:{admin}\"}}\n");
        fs::write(folder.join("engine.yaml"), engine).unwrap();
        Self { folder: folder.to_path_buf(), port, admin, child: None }
    }

    /// Adds lines to a file of the configuration.
    pub(crate) fn append(&self, file: &str, lines: &str) {
        let file = self.folder.join(file);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{text}{lines}")).unwrap();
    }

    /// Writes a file of the configuration anew with its first `from` as `to`.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let file = self.folder.join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is in {text}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }

    /// Writes the channel anew with other destinations; the engine takes it at a reload.
    pub(crate) fn rewrite(&self, destinations: &str) {
        let file = self.folder.join("channels/trial.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let (head, _) = text.split_once("\nto:\n").unwrap();
        fs::write(file, format!("{head}\nto:\n{destinations}")).unwrap();
    }

    /// Moves the folder of channel files away, or back.
    pub(crate) fn hide_channels(&self, hidden: bool) {
        let (here, away) = (self.folder.join("channels"), self.folder.join("channels.away"));
        if hidden {
            fs::rename(here, away).unwrap();
        } else {
            fs::rename(away, here).unwrap();
        }
    }

    /// Starts the binary; `crash_at` is `point:count` or empty.
    pub(crate) fn start(&mut self, crash_at: &str) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_medway"));
        command.arg("serve").arg("--config").arg(self.folder.join("engine.yaml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if !crash_at.is_empty() {
            command.env("MEDWAY_CRASH_AT", crash_at);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until the engine says it is ready; answers how long that took, or `None` when it died first.
    pub(crate) fn ready(&mut self) -> Option<Duration> {
        let began = Instant::now();
        loop {
            if self.ended() {
                return None;
            }
            if http_status(self.admin, "/readyz") == Some(200) {
                return Some(began.elapsed());
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "not ready in a minute:\n{}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Whether the process has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// The process's id; it runs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).expect("the engine runs")
    }

    /// SIGSTOP: from now on it does nothing.
    pub(crate) fn freeze(&self) {
        let stop = Command::new("kill").args(["-STOP", &self.pid().to_string()]).status().unwrap();
        assert!(stop.success(), "the engine can be stopped");
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = || fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        while !status().contains("State:\tT") {
            assert!(Instant::now() < deadline, "it does not stop:\n{}", status());
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// With what it ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.as_mut()?.try_wait().unwrap()?.code()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; answers the exit status.
    pub(crate) fn terminate(&mut self, wait: Duration) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < wait, "still running after {wait:?}:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// What the engine logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Runs another command of the binary on the same configuration; answers (success, stdout).
    pub(crate) fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_medway"))
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("engine.yaml"))
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), text)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The body of an authorised GET or POST on the admin API, as JSON.
impl Engine {
    pub(crate) fn api(&self, path: &str, body: Option<&serde_json::Value>) -> serde_json::Value {
        self.try_api(path, body).expect("the engine answers")
    }

    /// The same; `None` when the engine dies meanwhile.
    pub(crate) fn try_api(
        &self,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<serde_json::Value> {
        use std::io::{Read, Write};
        let token = fs::read_to_string(self.folder.join("data/admin.token")).ok()?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let text = body.map(ToString::to_string).unwrap_or_default();
        let method = if body.is_some() { "POST" } else { "GET" };
        write!(
            stream,
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{text}",
            token.trim(),
            text.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some(serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let own = rest.starts_with('{') || rest.starts_with(' ');
            if own { rest.rsplit(' ').next()?.parse::<f64>().ok() } else { None }
        };
        text.lines().filter_map(value).sum()
    }

    /// One field of the status of a destination of the channel `trial`.
    pub(crate) fn destination(&self, name: &str) -> serde_json::Value {
        self.api(&format!("/destinations/trial/{name}"), None)
    }
}

/// The status of a GET on loopback; `None` when nobody answers.
pub(crate) fn http_status(port: u16, path: &str) -> Option<u16> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}
