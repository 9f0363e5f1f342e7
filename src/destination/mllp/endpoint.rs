//! One receiver of an MLLP destination: its connections, opened when they are needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::destination::mllp::answer::{Ending, Fault};
use crate::destination::mllp::connect::{connect, words};
use crate::destination::mllp::connection::{Connection, Request, Watch};
use crate::destination::mllp::door::Arrivals;
use crate::destination::mllp::options::MllpDestinationOptions;
use crate::destination::pool::Address;
use crate::tls::ClientTls;

/// What every endpoint of a destination shares.
pub(super) struct Shared {
    pub(super) options: Arc<MllpDestinationOptions>,
    pub(super) tls: Option<Arc<ClientTls>>,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// How connections come about.
pub(super) enum Reach {
    /// We open them.
    Connect(Address),
    /// The receiver opens them.
    Arrivals(Arc<Arrivals>),
}

pub(super) struct Endpoint {
    reach: Reach,
    shared: Arc<Shared>,
    watch: Arc<dyn Watch>,
    /// Free places: connections × messages in flight.
    places: Semaphore,
    slots: Vec<Slot>,
}

/// The place of one connection.
#[derive(Default)]
struct Slot {
    load: AtomicU32,
    connection: Mutex<Option<mpsc::Sender<Request>>>,
}

/// Counts a message at a slot until it is dropped.
struct Load<'s>(&'s Slot);

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::AcqRel);
    }
}

enum Handed {
    /// The connection's task has it; whether the connection had carried a message before.
    Over {
        ending: oneshot::Receiver<Ending>,
        was_open: bool,
    },
    NotConnected(Fault),
}

impl Endpoint {
    pub(super) fn new(reach: Reach, shared: Arc<Shared>, watch: Arc<dyn Watch>) -> Self {
        let connections = usize::try_from(shared.options.connections).unwrap_or(1).max(1);
        let in_flight = usize::try_from(shared.options.in_flight).unwrap_or(1).max(1);
        let places = connections.saturating_mul(in_flight).min(Semaphore::MAX_PERMITS);
        Self {
            reach,
            shared,
            watch,
            places: Semaphore::new(places),
            slots: (0..connections).map(|_| Slot::default()).collect(),
        }
    }

    /// Sends one message over one of the connections.
    pub(super) async fn send(
        &self,
        body: &Bytes,
        control_id: &Bytes,
        stop: &CancellationToken,
    ) -> Ending {
        let stopped = || Ending::NotWritten(Fault::new("stopped", "the engine is stopping"));
        if stop.is_cancelled() {
            return stopped();
        }
        // Most often a place is free, and neither a timer nor a watch over the stop is needed.
        let _place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(_) => tokio::select! {
                biased;
                () = stop.cancelled() => return stopped(),
                place = Box::pin(self.place()) => match place {
                    Ok(place) => place,
                    Err(fault) => return Ending::NotWritten(fault),
                },
            },
        };
        let Some(load) = self.least_loaded() else { return stopped() };
        loop {
            let handed = match self.hand_over_now(load.0, body, control_id) {
                Some(handed) => handed,
                None => tokio::select! {
                    biased;
                    () = stop.cancelled() => return stopped(),
                    handed = Box::pin(self.hand_over(load.0, body, control_id)) => handed,
                },
            };
            let (ending, was_open) = match handed {
                Handed::NotConnected(fault) => return Ending::NotWritten(fault),
                Handed::Over { ending, was_open } => (ending, was_open),
            };
            match ending.await {
                // The open connection had gone stale and nothing was written: a new one decides.
                Ok(Ending::NotWritten(_)) if was_open => {}
                Ok(ending) => return ending,
                Err(_) => {
                    return Ending::Unanswered(Fault::new("closed", "the connection was dropped"));
                }
            }
        }
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let limit = self.shared.options.reply_within;
        match tokio::time::timeout(limit, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Fault::new(
                "busy",
                format!("no connection became free within {}", words(limit)),
            )),
        }
    }

    fn least_loaded(&self) -> Option<Load<'_>> {
        let slot = self.slots.iter().min_by_key(|slot| slot.load.load(Ordering::Acquire))?;
        slot.load.fetch_add(1, Ordering::AcqRel);
        Some(Load(slot))
    }

    /// Gives the message to the slot's connection when it is open, has room and nobody else is about to.
    fn hand_over_now(&self, slot: &Slot, body: &Bytes, control_id: &Bytes) -> Option<Handed> {
        let connection = slot.connection.try_lock().ok()?;
        let place = connection.as_ref()?.try_reserve().ok()?;
        let (reply, ending) = oneshot::channel();
        place.send(Request { body: body.clone(), control_id: control_id.clone(), reply });
        Some(Handed::Over { ending, was_open: true })
    }

    /// Gives the message to the slot's connection, which is opened when there is none.
    async fn hand_over(&self, slot: &Slot, body: &Bytes, control_id: &Bytes) -> Handed {
        let (reply, ending) = oneshot::channel();
        let mut request = Request { body: body.clone(), control_id: control_id.clone(), reply };
        let mut connection = slot.connection.lock().await;
        if let Some(open) = connection.as_ref() {
            match open.send(request).await {
                Ok(()) => return Handed::Over { ending, was_open: true },
                Err(mpsc::error::SendError(back)) => request = back,
            }
        }
        let opened = match self.open().await {
            Ok(opened) => opened,
            Err(fault) => {
                *connection = None;
                return Handed::NotConnected(fault);
            }
        };
        // The channel is new and has room.
        if opened.send(request).await.is_err() {
            let fault = Fault::new("closed", "the connection ended at once");
            return Handed::NotConnected(fault);
        }
        *connection = Some(opened);
        Handed::Over { ending, was_open: false }
    }

    async fn open(&self) -> Result<mpsc::Sender<Request>, Fault> {
        let shared = &self.shared;
        let link = match &self.reach {
            Reach::Connect(address) => {
                connect(address, &shared.options, shared.tls.as_deref()).await?
            }
            Reach::Arrivals(arrivals) => arrivals.take(shared.options.connect_within).await?,
        };
        let room = usize::try_from(shared.options.in_flight).unwrap_or(1).max(1);
        let (requests, receiver) = mpsc::channel(room);
        let connection =
            Connection::new(link, Arc::clone(&shared.options), Arc::clone(&self.watch));
        shared.tracker.spawn(connection.run(receiver, shared.stop.clone()));
        Ok(requests)
    }
}
