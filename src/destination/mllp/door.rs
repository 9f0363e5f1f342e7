//! Where a receiver connects to us (reverse MLLP): its connections wait here until there is something to
//! send.
//!
//! A port stays ours as long as a destination that names it lives; at a reload the next one takes it over.
//! Of the connections that wait, the newest is used first and the oldest goes when there are too many: a
//! receiver that connects anew has given up its earlier connection.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::destination::mllp::answer::Fault;
use crate::destination::mllp::connect::{Link, tune, words};
use crate::destination::mllp::connection::Watch;
use crate::destination::mllp::options::MllpDestinationOptions;
use crate::network::Network;
use crate::tls::ServerTls;

/// Pause after a failed accept: usually no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The ports on which receivers connect to us. One for the whole engine.
#[derive(Debug, Default)]
pub struct Doors {
    open: Mutex<HashMap<SocketAddr, Weak<Door>>>,
}

/// One such port.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Doors {
    /// The port at `address`, which is taken unless it is ours already.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn open(&self, address: SocketAddr) -> io::Result<Arc<Door>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, door| door.strong_count() > 0);
        if let Some(door) = open.get(&address).and_then(Weak::upgrade) {
            return Ok(door);
        }
        let door = Arc::new(Door::open(address)?);
        if address.port() != 0 {
            open.insert(address, Arc::downgrade(&door));
        }
        Ok(door)
    }
}

impl Door {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where receivers connect, with the port it really got.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// The connections of receivers that nobody uses yet.
pub(super) struct Arrivals {
    address: SocketAddr,
    waiting: Mutex<VecDeque<Box<dyn Link>>>,
    waiting_max: usize,
    came: Notify,
}

impl Arrivals {
    pub(super) fn new(address: SocketAddr, waiting_max: u32) -> Self {
        let waiting_max = usize::try_from(waiting_max).unwrap_or(1).max(1);
        Self { address, waiting: Mutex::default(), waiting_max, came: Notify::new() }
    }

    /// The newest connection that is still open, waited for if there is none.
    pub(super) async fn take(&self, within: Duration) -> Result<Box<dyn Link>, Fault> {
        let taking = async {
            loop {
                let came = self.came.notified();
                if let Some(link) = self.newest() {
                    return link;
                }
                came.await;
            }
        };
        tokio::time::timeout(within, taking).await.map_err(|_| {
            let (address, within) = (self.address, words(within));
            Fault::new("unreachable", format!("no receiver connected to {address} within {within}"))
        })
    }

    fn newest(&self) -> Option<Box<dyn Link>> {
        let mut waiting = self.lock();
        std::iter::from_fn(|| waiting.pop_back()).find(|link| is_open(link.socket()))
    }

    fn push(&self, link: Box<dyn Link>) {
        let mut waiting = self.lock();
        waiting.retain(|link| is_open(link.socket()));
        while waiting.len() >= self.waiting_max {
            waiting.pop_front();
        }
        waiting.push_back(link);
        self.came.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<dyn Link>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the peer has not closed it. What it may have said already is looked at before it is used.
fn is_open(socket: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit(); 1];
    match SockRef::from(socket).peek(&mut byte) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Lets receivers in, until `stop`.
pub(super) struct Porter {
    pub(super) door: Arc<Door>,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) allow: Vec<Network>,
    pub(super) options: Arc<MllpDestinationOptions>,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) watch: Arc<dyn Watch>,
}

impl Porter {
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.door.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = self.admit(stream, peer) => {}
                },
                Err(error) => {
                    tracing::warn!(%error, address = %self.door.address, "a receiver's connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Handshakes go one by one: a destination has few receivers, and each has `connect_within`.
    async fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let ip = peer.ip().to_canonical();
        if !self.allow.is_empty() && !self.allow.iter().any(|network| network.contains(ip)) {
            return self.watch.refused(peer, "network");
        }
        tune(&stream, &self.options);
        let Some(tls) = &self.tls else { return self.arrivals.push(Box::new(stream)) };
        match tls.accept(stream, self.options.connect_within).await {
            Ok(stream) => self.arrivals.push(Box::new(stream)),
            Err(_) => self.watch.refused(peer, "tls"),
        }
    }
}
