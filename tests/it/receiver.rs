//! A receiver that does what the test says: raw TCP on a port of the system's choice.

use std::time::Duration;

use bytes::Bytes;
use medway::destination::pool::Address;
use medway::message::id::MessageId;
use medway::message::kind::ContentType;
use medway::message::outcome::Outbound;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longest wait for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A listening receiver.
pub(crate) struct Receiver(TcpListener);

impl Receiver {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) fn address(&self) -> Address {
        Address::new("127.0.0.1", self.port())
    }

    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        Peer::new(self.accept_raw().await)
    }

    pub(crate) async fn accept_raw(&self) -> TcpStream {
        tokio::time::timeout(PATIENCE, self.0.accept())
            .await
            .expect("a connection comes")
            .unwrap()
            .0
    }
}

/// The receiver's end of one connection.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The next frame's message.
    pub(crate) async fn frame(&mut self) -> Vec<u8> {
        self.until(b"\x1C\x0D").await.strip_prefix(b"\x0B").expect("a frame starts").to_vec()
    }

    /// What comes before the next `end`; the end is taken too.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|part| part == end) {
                let found = self.read[..at].to_vec();
                self.read.drain(..at + end.len());
                return found;
            }
            assert!(self.more().await > 0, "the sender closed before it was through");
        }
    }

    /// So many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await > 0, "the sender closed before it was through");
        }
        self.read.drain(..count).collect()
    }

    async fn more(&mut self) -> usize {
        let reading = self.stream.read_buf(&mut self.read);
        tokio::time::timeout(PATIENCE, reading).await.expect("bytes come").unwrap()
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Answers with a code and a control id.
    pub(crate) async fn ack(&mut self, code: &str, id: &str) {
        self.say(&ack(code, id)).await;
    }

    /// Waits until the sender closes; what it sent before is dropped.
    pub(crate) async fn closed(&mut self) {
        loop {
            let reading = self.stream.read_buf(&mut self.read);
            match tokio::time::timeout(PATIENCE, reading).await.expect("the sender closes") {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

/// A framed acknowledgement.
pub(crate) fn ack(code: &str, id: &str) -> Vec<u8> {
    format!("\x0BMSH|^~\\&|LIS|LAB|HIS|H|20260114083001||ACK|A{id}|P|2.5\rMSA|{code}|{id}\r\x1C\r")
        .into_bytes()
}

/// A message with this control id.
pub(crate) fn message(id: &str) -> Vec<u8> {
    format!(
        "MSH|^~\\&|HIS|H|LIS|LAB|20260114083000||ADT^A01|{id}|P|2.5\rPID|1||4711^^^H^MR||Test^Anna\r"
    )
    .into_bytes()
}

/// A message to send.
pub(crate) fn outbound(id: &str) -> Outbound {
    Outbound {
        message: MessageId::new(),
        body: Bytes::from(message(id)),
        content_type: ContentType::Hl7v2,
        id: id.into(),
        attributes: Vec::new(),
    }
}
