//! Which endpoint of a destination takes the next message: balance, health and failover.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::destination::EndpointView;

/// How messages are spread over the endpoints of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// Each endpoint in turn.
    #[default]
    RoundRobin,
    /// Any, with equal chance.
    Random,
    /// The one with the fewest messages in flight.
    LeastConnections,
}

impl Balance {
    /// Every way, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::Random, Self::LeastConnections];

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastConnections => "least_connections",
        }
    }

    /// The way with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|balance| balance.name() == name)
    }
}

/// How endpoints are chosen and how a failing one is spared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// How messages are spread over the endpoints.
    pub balance: Balance,
    /// Failures in a row after which an endpoint is spared for a while. Default 3.
    pub failures_max: u32,
    /// How long a failing endpoint is spared at first; doubles with each failed probe. Default 1 s.
    pub cool_down: Duration,
    /// Longest time an endpoint is spared before one message probes it again. Default 60 s.
    pub cool_down_max: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            failures_max: 3,
            cool_down: Duration::from_secs(1),
            cool_down_max: Duration::from_mins(1),
        }
    }
}

/// Host and port of a receiver: `lis.hospital.example:2575`, `10.1.2.3:2575`, `[fe80::1]:2575`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// An address of its parts.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }

    /// Reads `host:port`; `None` when one of them is missing or the port is no number from 1 to 65535.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        (!host.is_empty() && host.chars().all(plain)).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The endpoints of one destination and how each is doing.
///
/// ```text
/// healthy ──failures_max in a row──▶ spared ──cool_down over──▶ one probe ──success──▶ healthy
///                                      ▲                           │
///                                      └───── twice as long ◀──failure
/// ```
/// Sparing orders the endpoints, it refuses nothing: when all are spared, the one whose time is up
/// soonest is tried. Whether to knock at all is the circuit breaker's decision.
#[derive(Debug)]
pub struct Pool {
    options: PoolOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    endpoints: Vec<Endpoint>,
    turn: usize,
}

#[derive(Debug)]
struct Endpoint {
    name: String,
    in_flight: u32,
    failures: u32,
    spared: Option<Spared>,
    last_error: Option<String>,
    note: Option<(Instant, String)>,
}

#[derive(Debug, Clone, Copy)]
struct Spared {
    until: Instant,
    wait: Duration,
    is_probed: bool,
}

impl Endpoint {
    fn is_open(&self, now: Instant) -> bool {
        self.spared.is_none_or(|spared| spared.until <= now && !spared.is_probed)
    }
}

impl Pool {
    /// A pool of endpoints with these names, all healthy.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>, options: PoolOptions) -> Self {
        let endpoints = names
            .into_iter()
            .map(|name| Endpoint {
                name,
                in_flight: 0,
                failures: 0,
                spared: None,
                last_error: None,
                note: None,
            })
            .collect();
        Self { options, state: Mutex::new(State { endpoints, turn: 0 }) }
    }

    /// The endpoints in the order in which one message should try them: by balance, the spared last.
    #[must_use]
    pub fn order(&self, now: Instant) -> Vec<usize> {
        let mut state = self.lock();
        if state.endpoints.len() == 1 {
            return vec![0];
        }
        let (mut open, mut spared): (Vec<usize>, Vec<usize>) = (0..state.endpoints.len())
            .partition(|index| state.endpoints.get(*index).is_some_and(|one| one.is_open(now)));
        if open.len() > 1 {
            match self.options.balance {
                Balance::Random => fastrand::shuffle(&mut open),
                Balance::RoundRobin => turn(&mut open, &mut state.turn),
                Balance::LeastConnections => {
                    turn(&mut open, &mut state.turn);
                    open.sort_by_key(|index| state.endpoints.get(*index).map(|one| one.in_flight));
                }
            }
        }
        spared.sort_by_key(|index| {
            state.endpoints.get(*index).and_then(|one| one.spared).map(|spared| spared.until)
        });
        open.append(&mut spared);
        open
    }

    /// Counts a message as in flight at an endpoint, until the guard is dropped.
    #[must_use]
    pub fn begin(&self, index: usize, now: Instant) -> InFlight<'_> {
        let mut is_probe = false;
        self.change(index, |endpoint| {
            endpoint.in_flight = endpoint.in_flight.saturating_add(1);
            if let Some(spared) = endpoint.spared.as_mut().filter(|spared| spared.until <= now) {
                is_probe = !spared.is_probed;
                spared.is_probed = true;
            }
        });
        InFlight { pool: self, index, is_probe, since: now }
    }

    fn succeeded(&self, index: usize, since: Instant) {
        self.change(index, |endpoint| {
            endpoint.failures = 0;
            endpoint.spared = None;
            endpoint.last_error = None;
            endpoint.note.take_if(|(at, _)| *at < since);
        });
    }

    fn failed(&self, index: usize, error: &str, now: Instant) {
        self.change(index, |endpoint| {
            endpoint.failures = endpoint.failures.saturating_add(1);
            endpoint.last_error = Some(error.to_owned());
            if endpoint.failures < self.options.failures_max {
                return;
            }
            let wait = match endpoint.spared {
                // Another message of the same time failed too; that is no second probe.
                Some(spared) if spared.until > now => return,
                Some(spared) => spared.wait.saturating_mul(2).min(self.options.cool_down_max),
                None => self.options.cool_down,
            };
            endpoint.spared = Some(Spared { until: now + wait, wait, is_probed: false });
        });
    }

    /// Something is wrong with the endpoint, and people should see it, but it does take messages. Shown
    /// until a message that begins later succeeds.
    pub fn noted(&self, index: usize, error: &str, now: Instant) {
        self.change(index, |endpoint| endpoint.note = Some((now, error.to_owned())));
    }

    /// How each endpoint is doing, for people.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointView> {
        self.lock()
            .endpoints
            .iter()
            .map(|endpoint| EndpointView {
                endpoint: endpoint.name.clone(),
                healthy: endpoint.spared.is_none(),
                in_flight: endpoint.in_flight,
                last_error: endpoint
                    .last_error
                    .as_ref()
                    .or(endpoint.note.as_ref().map(|(_, text)| text))
                    .cloned(),
            })
            .collect()
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Endpoint)) {
        if let Some(endpoint) = self.lock().endpoints.get_mut(index) {
            change(endpoint);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each endpoint first in turn.
fn turn(open: &mut [usize], turn: &mut usize) {
    let first = *turn % open.len().max(1);
    open.rotate_left(first);
    *turn = turn.wrapping_add(1);
}

/// A message in flight at an endpoint.
#[derive(Debug)]
pub struct InFlight<'p> {
    pool: &'p Pool,
    index: usize,
    is_probe: bool,
    since: Instant,
}

impl InFlight<'_> {
    /// The endpoint answered, whatever it said.
    pub fn succeeded(self) {
        self.pool.succeeded(self.index, self.since);
    }

    /// The endpoint could not be reached or did not answer. `error` in words, without content.
    pub fn failed(self, error: &str, now: Instant) {
        self.pool.failed(self.index, error, now);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.pool.change(self.index, |endpoint| {
            endpoint.in_flight = endpoint.in_flight.saturating_sub(1);
            if let Some(spared) = endpoint.spared.as_mut().filter(|_| self.is_probe) {
                spared.is_probed = false;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(balance: Balance, names: &[&str]) -> Pool {
        let options = PoolOptions { balance, failures_max: 2, ..PoolOptions::default() };
        Pool::new(names.iter().map(|name| (*name).to_owned()), options)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn addresses_are_read_and_written() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let found = Address::parse(text);
            assert_eq!(found, expected.map(|(host, port)| Address::new(host, port)), "{text}");
            if let Some(address) = found {
                assert_eq!(address.to_string(), text);
            }
        };
        check("lis.hospital.example:2575", Some(("lis.hospital.example", 2575)));
        check("10.1.2.3:1", Some(("10.1.2.3", 1)));
        check("[fe80::1%eth0]:2575", Some(("fe80::1%eth0", 2575)));
        check("::1:2575", None);
        check("lis:0", None);
        check("lis:65536", None);
        check("lis", None);
        check(":2575", None);
        check("user@lis:2575", None);
        check("lis/x:2575", None);
    }

    #[test]
    fn round_robin_gives_each_its_turn() {
        let pool = pool(Balance::RoundRobin, &["a", "b", "c"]);
        let now = Instant::now();
        let firsts: Vec<_> = (0..6).map(|_| pool.order(now)[0]).collect();
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
        assert_eq!(pool.order(now), [0, 1, 2]);
        assert_eq!(pool.order(now), [1, 2, 0]);
    }

    #[test]
    fn random_reaches_each() {
        let pool = pool(Balance::Random, &["a", "b", "c"]);
        let now = Instant::now();
        let mut seen = [0u32; 3];
        for _ in 0..3000 {
            seen[pool.order(now)[0]] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }

    #[test]
    fn least_connections_prefers_the_idle() {
        let pool = pool(Balance::LeastConnections, &["a", "b", "c"]);
        let now = Instant::now();
        let _a = pool.begin(0, now);
        let _also_a = pool.begin(0, now);
        let b = pool.begin(1, now);
        assert_eq!(pool.order(now), [2, 1, 0]);
        drop(b);
        let order = pool.order(now);
        assert_eq!(order[2], 0);
        assert_eq!(pool.endpoints()[0].in_flight, 2);
        assert_eq!(pool.endpoints()[1].in_flight, 0);
    }

    #[test]
    fn a_failing_endpoint_is_spared_then_probed_by_one() {
        let pool = pool(Balance::RoundRobin, &["a", "b"]);
        let start = Instant::now();
        pool.failed(0, "connection refused", start);
        assert!(pool.endpoints()[0].healthy, "one failure is not enough");
        pool.failed(0, "connection refused", start);
        assert!(!pool.endpoints()[0].healthy);
        for _ in 0..4 {
            assert_eq!(pool.order(start), [1, 0], "the spared one comes last");
        }
        let later = start + seconds(1);
        let probe = pool.begin(0, later);
        assert_eq!(pool.order(later), [1, 0], "one probe at a time");
        probe.failed("connection refused", later);
        assert_eq!(pool.order(later + seconds(1)), [1, 0], "spared twice as long");
        let much_later = later + seconds(2);
        let probe = pool.begin(0, much_later);
        probe.succeeded();
        assert!(pool.endpoints()[0].healthy);
        assert_eq!(pool.endpoints()[0].last_error, None);
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_room_for_the_next() {
        let pool = pool(Balance::RoundRobin, &["a", "b"]);
        let start = Instant::now();
        pool.failed(0, "no route", start);
        pool.failed(0, "no route", start);
        let later = start + seconds(1);
        drop(pool.begin(0, later));
        let mut firsts: Vec<_> = (0..2).map(|_| pool.order(later)[0]).collect();
        firsts.sort_unstable();
        assert_eq!(firsts, [0, 1]);
    }

    #[test]
    fn sparing_has_a_longest_time_and_refuses_nothing() {
        let options = PoolOptions { failures_max: 1, ..PoolOptions::default() };
        let pool = Pool::new(["a".to_owned()], options);
        let mut now = Instant::now();
        for _ in 0..20 {
            pool.failed(0, "no route", now);
            assert_eq!(pool.order(now), [0], "the only endpoint is tried all the same");
            now += seconds(60);
            assert!(pool.lock().endpoints[0].is_open(now), "spared for 60 s at most");
        }
    }
}
