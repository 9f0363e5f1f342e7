//! Which endpoint of a destination takes the next message: balance, health and failover.

use std::fmt;
use std::time::Duration;

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
