//! Keeps a channel's source alive: one that crashes, or cannot be opened again after a reload, is opened as it
//! was configured.
//!
//! ```text
//! running ──crash──▶ waiting (1 s, twice as long each time, at most 1 min) ──opened──▶ running
//!    └──stop──▶ ended ◀──stop──┘
//! ```
//! While it waits the engine is not ready, and says why.
//! Nothing is lost by a crash: what was not stored was not answered. Connections are tasks of their own and
//! live on; only new ones wait until the port is open again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::config::from::SourceOptions;
use crate::engine::Engine;
use crate::engine::build::{BoundSource, Parts};
use crate::engine::live::LiveSource;
use crate::source::intake::Intake;
use crate::source::status::SourceStatus;
use crate::telemetry::metrics::SOURCE_CRASHES;

/// The wait before the first new start, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The sources that run, by channel.
pub(super) type LiveSources = Arc<RwLock<BTreeMap<String, LiveSource>>>;

/// What a source is opened again with.
struct Lives {
    channel: Arc<str>,
    options: SourceOptions,
    parts: Arc<Parts>,
    sources: LiveSources,
    intake: Intake,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Engine {
    /// Runs a source, and those that follow it after a crash, until the channel's source is closed.
    pub(super) fn keep_listening(
        &self,
        channel: &Arc<str>,
        source: BoundSource,
        options: SourceOptions,
    ) {
        if let Some(address) = source.address() {
            info!(%channel, kind = source.kind(), %address, "listening");
        }
        let seen = Seen {
            kind: source.kind(),
            address: source.address(),
            status: source.status(),
            down: None,
        };
        self.keep_alive(channel, seen, Some(source), options);
    }

    /// Opens a source as soon as that can be done; until then the engine is not ready, because of `reason`.
    pub(super) fn keep_opening(
        &self,
        channel: &Arc<str>,
        options: SourceOptions,
        kind: &'static str,
        reason: String,
    ) {
        let status = Arc::new(SourceStatus::default());
        let seen = Seen { kind, address: None, status, down: Some(reason) };
        self.keep_alive(channel, seen, None, options);
    }

    /// Why sources that should listen do not, in words.
    pub(super) fn deaf_sources(&self) -> Vec<String> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let down = sources.iter().filter_map(|(channel, source)| {
            let reason = source.down.as_deref()?;
            Some(format!("channel {channel} does not listen: {reason}"))
        });
        down.collect()
    }

    fn keep_alive(
        &self,
        channel: &Arc<str>,
        seen: Seen,
        first: Option<BoundSource>,
        options: SourceOptions,
    ) {
        let (stop, ended) = (self.stop_sources.child_token(), CancellationToken::new());
        let Seen { kind, address, status, down } = seen;
        let live = LiveSource {
            kind,
            address,
            down,
            status,
            stop: stop.clone(),
            ended: ended.clone(),
            options: options.clone(),
        };
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.insert(channel.to_string(), live);
        drop(sources);
        let lives = Lives {
            channel: Arc::clone(channel),
            options,
            parts: Arc::clone(&self.parts),
            sources: Arc::clone(&self.sources),
            intake: self.intake.clone(),
            stop,
            tracker: self.tracker.clone(),
        };
        self.tracker.spawn(async move {
            // However it ends: whoever waits for its end must not wait for ever.
            let _ended = ended.drop_guard();
            keep_running(&lives.channel, first, &lives, &lives.stop).await;
        });
    }
}

/// What people see of a source.
struct Seen {
    kind: &'static str,
    address: Option<SocketAddr>,
    status: Arc<SourceStatus>,
    down: Option<String>,
}

/// What has one life after the other.
trait Lively: Sync {
    /// One life.
    type Life: Send;

    /// Lives it; it ends on the stop, or by a crash.
    fn live(&self, life: Self::Life) -> impl Future<Output = ()> + Send;

    /// The next life; `None` when it cannot begin now.
    fn next(&self) -> impl Future<Output = Option<Self::Life>> + Send;

    /// Tells people why there is no life now.
    fn down(&self, reason: &str);
}

impl Lively for Lives {
    type Life = BoundSource;

    async fn live(&self, source: BoundSource) {
        source.run(self.intake.clone(), self.stop.clone(), self.tracker.clone()).await;
    }

    async fn next(&self) -> Option<BoundSource> {
        match self.parts.source(&self.channel, &self.options).await {
            Ok(source) => {
                let source = source?;
                let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(live) = sources.get_mut(&*self.channel) {
                    live.status = source.status();
                    live.address = source.address();
                    live.down = None;
                }
                info!(channel = %self.channel, "the source is open again");
                Some(source)
            }
            Err(error) => {
                warn!(channel = %self.channel, %error, "the source cannot be opened again yet");
                self.down(&error.to_string());
                None
            }
        }
    }

    fn down(&self, reason: &str) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = sources.get_mut(&*self.channel) {
            live.down = Some(reason.to_owned());
        }
    }
}

/// Runs one life after the other: the next begins when the one before crashed, or as soon as it can where
/// there is no first. Ends when one ends by itself, which it does on `stop`.
async fn keep_running<L: Lively>(
    channel: &str,
    first: Option<L::Life>,
    lives: &L,
    stop: &CancellationToken,
) {
    let mut wait = FIRST_WAIT;
    let mut next = first;
    loop {
        if let Some(source) = next.take() {
            let began = Instant::now();
            if AssertUnwindSafe(lives.live(source)).catch_unwind().await.is_ok() {
                return;
            }
            // What ran for long before it crashed starts again as quickly as the first time.
            if began.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            lives.down("its source crashed; it is opened again in a moment");
            counter!(SOURCE_CRASHES, "channel" => channel.to_owned()).increment(1);
            let seconds = wait.as_secs();
            error!(
                channel,
                seconds,
                "a source crashed and is opened again; nothing is lost; please report the lines above"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
        next = lives.next().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Answers one byte with the next; the byte 0 makes it crash. The port is not to be had at the first try
    /// to open it again.
    struct Listener {
        address: SocketAddr,
        tries: AtomicUsize,
        stop: CancellationToken,
        down: AtomicUsize,
    }

    impl Lively for Listener {
        type Life = TcpListener;

        async fn live(&self, listener: TcpListener) {
            loop {
                let accepted = tokio::select! {
                    () = self.stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let (mut stream, _) = accepted.unwrap();
                let byte = stream.read_u8().await.unwrap();
                assert_ne!(byte, 0, "a fault of the listener");
                stream.write_u8(byte + 1).await.unwrap();
            }
        }

        async fn next(&self) -> Option<TcpListener> {
            match self.tries.fetch_add(1, Ordering::Relaxed) {
                0 => None,
                _ => TcpListener::bind(self.address).await.ok(),
            }
        }

        fn down(&self, _reason: &str) {
            self.down.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn ask(address: SocketAddr, byte: u8) -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_u8(byte).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_listener_that_crashes_is_opened_again_and_ends_when_it_is_told() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap();
        let (stop, tries) = (CancellationToken::new(), AtomicUsize::new(0));
        let down = AtomicUsize::new(0);
        let listener = Listener { address, tries, stop: stop.clone(), down };
        let asking = async {
            assert_eq!(ask(address, 7).await.unwrap(), 8);
            assert!(ask(address, 0).await.is_err(), "the connection dies with the listener");
            let answer = loop {
                match ask(address, 41).await {
                    Ok(answer) => break answer,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            assert_eq!(answer, 42);
            stop.cancel();
        };
        tokio::join!(keep_running("lab", Some(first), &listener, &stop), asking);
        assert!(listener.tries.load(Ordering::Relaxed) >= 2);
        assert_eq!(listener.down.load(Ordering::Relaxed), 1);
        assert!(TcpListener::bind(address).await.is_ok(), "the port is free again");
    }

    struct Doomed(CancellationToken);

    impl Lively for Doomed {
        type Life = ();

        async fn live(&self, (): ()) {
            self.0.cancel();
            panic!("a fault of the listener");
        }

        async fn next(&self) -> Option<()> {
            unreachable!("it was stopped")
        }

        fn down(&self, _reason: &str) {}
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_for_the_next_life() {
        let stop = CancellationToken::new();
        keep_running("lab", Some(()), &Doomed(stop.clone()), &stop).await;
    }
}
