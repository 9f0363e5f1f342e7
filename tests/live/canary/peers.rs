//! Receivers: one that refuses every message in given words, and one that keeps what it was called with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::peers::{field, framed, read_frame};

/// A receiver that refuses every message in these words.
pub(crate) fn refusing(words: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut rest = Vec::new();
                while let Some(frame) = read_frame(&mut stream, &mut rest) {
                    let text = String::from_utf8_lossy(&frame).into_owned();
                    let id = field(&text, "MSH", 9);
                    let refused = format!(
                        "MSH|^~\\&|L|H|M|H|2026||ACK|r{id}|P|2.5.1||||||UNICODE UTF-8\rMSA|AE|{id}|{words}\r"
                    );
                    if stream.write_all(&framed(refused.as_bytes())).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// One call: its first line and headers, as an access log might keep them, and its body.
type Call = (String, String);

/// A receiver of webhooks; at `/refuse` it refuses, and quotes what it was sent.
pub(super) struct Hooks {
    pub(super) port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Hooks {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let kept = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(&stream, &kept));
            }
        });
        Self { port, calls }
    }

    /// The first words of each call.
    pub(super) fn paths(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(head, _)| head.lines().next().unwrap().to_owned()).collect()
    }

    pub(super) fn heads(&self) -> String {
        self.calls.lock().unwrap().iter().map(|(head, _)| head.as_str()).collect()
    }

    pub(super) fn bodies(&self) -> String {
        self.calls.lock().unwrap().iter().map(|(_, body)| body.as_str()).collect()
    }
}

/// Answers calls until the other side leaves.
fn serve(stream: &TcpStream, kept: &Mutex<Vec<Call>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut size) = (String::new(), 0_usize);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                size = told.trim().parse().unwrap();
            }
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; size];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        let refused = head.starts_with("POST /refuse");
        kept.lock().unwrap().push((head, body.clone()));
        let (status, said) =
            if refused { ("422 Unprocessable Entity", body) } else { ("200 OK", String::new()) };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{said}", said.len());
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
