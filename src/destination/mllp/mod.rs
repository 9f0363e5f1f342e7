//! HL7 v2 over MLLP: writes a message, waits for its acknowledgement, tells the outcome.
//!
//! One message in flight on each connection unless told otherwise; an answer is credited only to the
//! message whose MSH-10 it carries, on the connection it was sent on; after a timeout the connection
//! is closed. A message of which nothing was written moves on to the next endpoint; one of which
//! anything was written never does.

pub mod answer;
mod connect;
mod connection;
pub mod door;
mod endpoint;
mod frames;
pub mod options;
mod pairing;
mod writing;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::destination::mllp::answer::{Ending, Fault, outcome_of};
use crate::destination::mllp::connection::Watch;
use crate::destination::mllp::door::{Arrivals, Door, Porter};
use crate::destination::mllp::endpoint::{Endpoint, Reach, Shared};
use crate::destination::pool::Pool;
use crate::destination::{Destination, DestinationName, EndpointView};
use crate::hl7::header::Header;
use crate::message::outcome::{Outbound, Outcome};
use crate::telemetry::metrics::{
    DESTINATION_CONNECTIONS, DESTINATION_CONNECTIONS_REFUSED, STRAY_ANSWERS,
};
use crate::tls::{ClientTls, ServerTls};

pub use options::MllpDestinationOptions;

/// Sends over MLLP.
pub struct MllpDestination {
    options: Arc<MllpDestinationOptions>,
    pool: Arc<Pool>,
    endpoints: Vec<Endpoint>,
    /// Ends what lets receivers in.
    _porter: Option<DropGuard>,
}

impl MllpDestination {
    /// A destination that connects when it has something to send. Connections are tasks of `tracker`;
    /// idle ones end when `stop` is cancelled or the destination is dropped.
    #[must_use]
    pub fn new(
        name: &DestinationName,
        options: MllpDestinationOptions,
        tls: Option<Arc<ClientTls>>,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let options = Arc::new(options);
        let names = options.endpoints.iter().map(ToString::to_string);
        let pool = Arc::new(Pool::new(names, options.pool.clone()));
        let shared = Arc::new(Shared { options: Arc::clone(&options), tls, tracker, stop });
        let endpoints = options.endpoints.iter().enumerate();
        let endpoints = endpoints
            .map(|(index, address)| {
                let watch = Observer { pool: Arc::clone(&pool), index, name: name.clone() };
                let reach = Reach::Connect(address.clone());
                Endpoint::new(reach, Arc::clone(&shared), Arc::new(watch))
            })
            .collect();
        Self { options, pool, endpoints, _porter: None }
    }

    /// A destination whose receiver connects to us at `door`, from the networks `allow` (empty: from
    /// all). It lets receivers in until it is dropped or `stop` is cancelled.
    #[must_use]
    pub fn listening(
        name: &DestinationName,
        options: MllpDestinationOptions,
        door: Arc<Door>,
        tls: Option<Arc<ServerTls>>,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let options = Arc::new(options);
        let shown = format!("listens on {}", door.local_addr());
        let pool = Arc::new(Pool::new([shown], options.pool.clone()));
        let observer = Observer { pool: Arc::clone(&pool), index: 0, name: name.clone() };
        let watch: Arc<dyn Watch> = Arc::new(observer);
        let arrivals = Arc::new(Arrivals::new(door.local_addr(), options.connections));
        let porter = Porter {
            door,
            arrivals: Arc::clone(&arrivals),
            allow: options.listen.as_ref().map(|at| at.allow.clone()).unwrap_or_default(),
            options: Arc::clone(&options),
            tls,
            watch: Arc::clone(&watch),
        };
        let own_stop = stop.child_token();
        tracker.spawn(porter.run(own_stop.clone()));
        let shared = Arc::new(Shared { options: Arc::clone(&options), tls: None, tracker, stop });
        let endpoint = Endpoint::new(Reach::Arrivals(arrivals), shared, watch);
        Self { options, pool, endpoints: vec![endpoint], _porter: Some(own_stop.drop_guard()) }
    }

    /// Tries the endpoints in the pool's order until one was given at least a byte.
    async fn end(&self, body: &Bytes, control_id: &Bytes, stop: &CancellationToken) -> Ending {
        let mut last = Fault::new("unreachable", "the destination has no endpoint");
        let mut now = Instant::now();
        for index in self.pool.order(now) {
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            let in_flight = self.pool.begin(index, now);
            let ending = endpoint.send(body, control_id, stop).await;
            match &ending {
                Ending::Answered(_) | Ending::Written => in_flight.succeeded(),
                Ending::NotWritten(fault) if matches!(fault.code, "stopped" | "busy") => {}
                Ending::NotWritten(fault) | Ending::Cut(fault) | Ending::Unanswered(fault) => {
                    in_flight.failed(&fault.text, Instant::now());
                }
                Ending::Unframable(_) => {}
            }
            match ending {
                Ending::NotWritten(fault) if !stop.is_cancelled() => last = fault,
                ending => return ending,
            }
            now = Instant::now();
        }
        Ending::NotWritten(last)
    }
}

#[async_trait]
impl Destination for MllpDestination {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        if let Err(fault) = frames::check(&self.options, &outbound.body) {
            return outcome_of(&Ending::Unframable(fault));
        }
        // The raw MSH-10: the id of the message to send is text, and the answer repeats bytes.
        let control_id = match Header::read(&outbound.body) {
            Ok(header) => outbound.body.slice_ref(header.control_id()),
            Err(_) => Bytes::copy_from_slice(outbound.id.as_bytes()),
        };
        outcome_of(&self.end(&outbound.body, &control_id, stop).await)
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.pool.endpoints()
    }
}

/// Shows people what connections notice.
struct Observer {
    pool: Arc<Pool>,
    index: usize,
    name: DestinationName,
}

impl Watch for Observer {
    fn stray_answer(&self, text: &str) {
        self.pool.noted(self.index, text, Instant::now());
        metrics::counter!(STRAY_ANSWERS, self.name.labels()).increment(1);
        let DestinationName { channel, destination } = &self.name;
        tracing::warn!(%channel, %destination, text, "an answer was not credited");
    }

    fn refused(&self, peer: SocketAddr, reason: &'static str) {
        let text = format!("connection from {} refused: {reason}", peer.ip());
        self.pool.noted(self.index, &text, Instant::now());
        let mut labels = self.name.labels();
        labels.push(metrics::Label::new("reason", reason));
        metrics::counter!(DESTINATION_CONNECTIONS_REFUSED, labels).increment(1);
        let DestinationName { channel, destination } = &self.name;
        tracing::warn!(%channel, %destination, %peer, reason, "a receiver's connection was refused");
    }

    fn connections(&self, change: f64) {
        metrics::gauge!(DESTINATION_CONNECTIONS, self.name.labels()).increment(change);
    }
}
