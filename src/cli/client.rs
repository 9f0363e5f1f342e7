//! A sending system for the command line: one MLLP connection, one message in flight.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hl7::mllp::{Decoder, Event, Options, encode};

/// Why no answer came.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody listens there, or the network is in the way.
    #[error("cannot connect to {0}: {1}; is the engine running and the port right?")]
    Connect(String, std::io::Error),
    /// The bytes cannot be framed.
    #[error("the message cannot be sent over MLLP: {0}")]
    Frame(String),
    /// The connection broke.
    #[error("the connection to {0} broke: {1}")]
    Broken(String, std::io::Error),
    /// The peer closed without an answer.
    #[error("{0} closed the connection without an answer")]
    Closed(String),
    /// No answer in time.
    #[error("{0} did not answer within {1:?}")]
    Timeout(String, Duration),
}

/// One connection to a listener.
#[derive(Debug)]
pub(crate) struct MllpClient {
    target: String,
    stream: TcpStream,
    decoder: Decoder,
    wait: Duration,
}

impl MllpClient {
    /// Connects to `target` (host:port); each wait is at most `wait`.
    pub(crate) async fn connect(target: &str, wait: Duration) -> Result<Self, ClientError> {
        let stream = timeout(wait, TcpStream::connect(target))
            .await
            .map_err(|_| ClientError::Timeout(target.to_owned(), wait))?
            .map_err(|error| ClientError::Connect(target.to_owned(), error))?;
        stream.set_nodelay(true).map_err(|error| ClientError::Broken(target.to_owned(), error))?;
        let decoder = Decoder::new(Options::default());
        Ok(Self { target: target.to_owned(), stream, decoder, wait })
    }

    /// The longest wait from now on.
    pub(crate) const fn wait_at_most(&mut self, wait: Duration) {
        self.wait = wait;
    }

    /// Sends one message and waits for its answer's bytes.
    pub(crate) async fn exchange(&mut self, message: &[u8]) -> Result<Bytes, ClientError> {
        let broken = |error| ClientError::Broken(self.target.clone(), error);
        let frame = encode(message).map_err(|error| ClientError::Frame(error.to_string()))?;
        self.stream.write_all(&frame).await.map_err(broken)?;
        self.answer().await
    }

    /// Waits for the next answer.
    pub(crate) async fn answer(&mut self) -> Result<Bytes, ClientError> {
        let wait = self.wait;
        let target = self.target.clone();
        timeout(wait, self.read_frame()).await.unwrap_or(Err(ClientError::Timeout(target, wait)))
    }

    async fn read_frame(&mut self) -> Result<Bytes, ClientError> {
        let mut buffer = vec![0_u8; 16 * 1024];
        loop {
            while let Some(event) = self.decoder.next_event() {
                if let Event::Frame(frame) = event {
                    return Ok(frame);
                }
            }
            let count = self
                .stream
                .read(&mut buffer)
                .await
                .map_err(|error| ClientError::Broken(self.target.clone(), error))?;
            if count == 0 {
                return Err(ClientError::Closed(self.target.clone()));
            }
            self.decoder.push(buffer.get(..count).unwrap_or_default());
        }
    }
}
