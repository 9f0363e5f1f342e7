//! Who may connect: allow-list, limits in all and per remote address, newest connection wins.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::message::time::Timestamp;
use crate::network::Network;
use crate::source::mllp::options::PeerFull;
use crate::source::status::SourceStatus;
use crate::telemetry::metrics::{SOURCE_CONNECTIONS, SOURCE_CONNECTIONS_REFUSED};

/// Pause after a failed accept: usually no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refusals of one listener are logged at most this often; each is counted.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What a gate keeps to.
pub(crate) struct GateRules {
    pub(crate) allow: Vec<Network>,
    pub(crate) connections_max: u32,
    pub(crate) connections_per_peer_max: u32,
    pub(crate) peer_full: PeerFull,
    pub(crate) keepalive: Duration,
    pub(crate) user_timeout: Duration,
}

/// A half-open HTTP connection is found out after this.
const HTTP_KEEPALIVE: Duration = Duration::from_mins(1);

impl GateRules {
    /// The rules of an HTTP listener; `answer` is the longest wait for an answer.
    pub(crate) const fn http(
        allow: Vec<Network>,
        connections_max: u32,
        connections_per_peer_max: u32,
        answer: Duration,
    ) -> Self {
        Self {
            allow,
            connections_max,
            connections_per_peer_max,
            peer_full: PeerFull::RefuseNew,
            keepalive: HTTP_KEEPALIVE,
            user_timeout: answer,
        }
    }
}

/// Stands before one listener.
pub(crate) struct Gate {
    channel: Arc<str>,
    rules: GateRules,
    clock: Clock,
    status: Arc<SourceStatus>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    count: u32,
    /// Oldest first.
    by_peer: HashMap<IpAddr, Vec<(u64, CancellationToken)>>,
    logged: Option<Timestamp>,
}

/// A place among the open connections; gives it back when dropped.
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    peer: IpAddr,
    number: u64,
    /// Cancelled when the source stops or a newer connection takes this one's place.
    pub(crate) stop: CancellationToken,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.leave(self.peer, self.number);
    }
}

impl Gate {
    pub(crate) fn new(
        channel: Arc<str>,
        rules: GateRules,
        clock: Clock,
        status: Arc<SourceStatus>,
    ) -> Arc<Self> {
        Arc::new(Self { channel, rules, clock, status, open: Mutex::default() })
    }

    /// The next connection that may come in; `None` once `stop` is cancelled.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, SocketAddr, Ticket)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.enter(peer.ip().to_canonical(), stop) {
                    Ok(ticket) => {
                        self.tune(&stream);
                        return Some((stream, peer, ticket));
                    }
                    Err(reason) => self.refused(peer, reason),
                },
                Err(error) => {
                    warn!(channel = %self.channel, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A place for a connection of `peer`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: IpAddr,
        stop: &CancellationToken,
    ) -> Result<Ticket, &'static str> {
        let rules = &self.rules;
        if !rules.allow.is_empty() && !rules.allow.iter().any(|network| network.contains(peer)) {
            return Err("network");
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let held = open.by_peer.get(&peer).map_or(0, Vec::len);
        if held >= usize::try_from(rules.connections_per_peer_max).unwrap_or(usize::MAX) {
            if rules.peer_full == PeerFull::RefuseNew {
                return Err("peer_connections");
            }
            self.replace_oldest(&mut open, peer);
        }
        if open.count >= rules.connections_max {
            return Err("connections");
        }
        let (number, stop) = (open.next, stop.child_token());
        open.next += 1;
        open.count += 1;
        open.by_peer.entry(peer).or_default().push((number, stop.clone()));
        self.status.connected();
        gauge!(SOURCE_CONNECTIONS, "channel" => self.channel.to_string()).increment(1);
        Ok(Ticket { gate: Arc::clone(self), peer, number, stop })
    }

    /// The oldest connection of `peer` is told to end, and its place is free at once.
    fn replace_oldest(&self, open: &mut Open, peer: IpAddr) {
        let Some(held) = open.by_peer.get_mut(&peer).filter(|held| !held.is_empty()) else {
            return;
        };
        let (_, stop) = held.remove(0);
        stop.cancel();
        open.count = open.count.saturating_sub(1);
        self.count_refused("replaced");
    }

    fn leave(&self, peer: IpAddr, number: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.by_peer.get_mut(&peer) {
            let before = held.len();
            held.retain(|(other, _)| *other != number);
            let (after, left) = (held.len(), before - held.len());
            if after == 0 {
                open.by_peer.remove(&peer);
            }
            open.count = open.count.saturating_sub(u32::try_from(left).unwrap_or(u32::MAX));
        }
        self.status.disconnected();
        gauge!(SOURCE_CONNECTIONS, "channel" => self.channel.to_string()).decrement(1);
    }

    /// A connection was refused, or closed by one of its limits: counted, seen in the status, and
    /// logged unless that was done a moment ago.
    pub(crate) fn refused(&self, peer: SocketAddr, reason: &'static str) {
        self.count_refused(reason);
        let now = self.clock.now();
        self.status.refused(now, &format!("connection from {} refused: {reason}", peer.ip()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = open.logged.is_some_and(|last| now.since(last) < LOG_EVERY && last <= now);
        if quiet {
            debug!(channel = %self.channel, %peer, reason, "connection refused");
        } else {
            open.logged = Some(now);
            warn!(channel = %self.channel, %peer, reason, "connection refused");
        }
    }

    fn count_refused(&self, reason: &'static str) {
        let channel = self.channel.to_string();
        counter!(SOURCE_CONNECTIONS_REFUSED, "channel" => channel, "reason" => reason).increment(1);
    }

    /// Keep-alive, user timeout and no delay. A socket that refuses one of them still works.
    pub(crate) fn tune(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        let probes = TcpKeepalive::new()
            .with_time(self.rules.keepalive)
            .with_interval((self.rules.keepalive / 4).max(Duration::from_secs(1)));
        let tuned = socket
            .set_tcp_keepalive(&probes)
            .and_then(|()| set_user_timeout(&socket, self.rules.user_timeout))
            .and_then(|()| stream.set_nodelay(true));
        if let Err(error) = tuned {
            debug!(channel = %self.channel, %error, "a socket option was refused");
        }
    }
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> std::io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(rules: GateRules) -> Arc<Gate> {
        let clock = Clock::manual(Timestamp(1));
        Gate::new("adt".into(), rules, clock, Arc::default())
    }

    fn rules(
        connections_max: u32,
        connections_per_peer_max: u32,
        peer_full: PeerFull,
    ) -> GateRules {
        GateRules {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            connections_max,
            connections_per_peer_max,
            peer_full,
            keepalive: Duration::from_secs(60),
            user_timeout: Duration::from_secs(60),
        }
    }

    #[test]
    fn limits_refuse_by_their_name_and_places_come_back() {
        let gate = gate(rules(2, 1, PeerFull::RefuseNew));
        let stop = CancellationToken::new();
        let enter = |address: &str| gate.enter(address.parse().unwrap(), &stop);
        assert_eq!(enter("192.0.2.1").err(), Some("network"));
        let first = enter("10.0.0.1").unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(enter("10.0.0.1").err(), Some("peer_connections"));
        let second = enter("10.0.0.2").unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(enter("10.0.0.3").err(), Some("connections"));
        assert_eq!(gate.status.view().connections, 2);
        drop(first);
        assert!(enter("10.0.0.1").is_ok());
        drop(second);
        assert_eq!(gate.status.view().connections, 0);
        assert!(gate.open.lock().unwrap().by_peer.is_empty());
    }

    #[test]
    fn the_newest_connection_takes_the_place_of_the_oldest() {
        let gate = gate(rules(1, 1, PeerFull::CloseOldest));
        let stop = CancellationToken::new();
        let peer = "10.0.0.1".parse().unwrap();
        let first = gate.enter(peer, &stop).unwrap_or_else(|reason| panic!("{reason}"));
        let second = gate.enter(peer, &stop).unwrap_or_else(|reason| panic!("{reason}"));
        assert!(first.stop.is_cancelled());
        assert!(!second.stop.is_cancelled());
        drop(first);
        assert_eq!(gate.open.lock().unwrap().count, 1);
        drop(second);
        assert_eq!(gate.open.lock().unwrap().count, 0);
    }
}
