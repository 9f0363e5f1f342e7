//! Where a webhook may go: hosts and networks on a list, and every address of a host checked before
//! it is used.
//!
//! Hospital receivers stand on private networks, so private addresses are no sign of anything; the list
//! is. A host on the list may not lead to loopback, link-local (cloud metadata) or multicast addresses
//! unless a network on the list holds them too: a name is only as trustworthy as who answers for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use thiserror::Error;

/// Why a request may not go there. Names hosts, never paths or queries: those may hold message content.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EgressError {
    /// An entry of `allow` is neither host nor network.
    #[error(
        "`{0}` is neither a host nor a network; write e.g. emr.hospital.example:8443 or 10.20.0.0/16"
    )]
    Entry(String),
    /// The URL cannot be used.
    #[error("the URL cannot be used: {0}")]
    Url(&'static str),
    /// The host is not on the list.
    #[error(
        "{host}:{port} is not on the list of hosts and networks this destination may reach (`allow`)"
    )]
    Host {
        /// The host of the URL.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The host leads to an address it may not.
    #[error("{host}:{port} leads to {address}, which `allow` does not cover")]
    Address {
        /// The host of the URL.
        host: String,
        /// Its port.
        port: u16,
        /// The address.
        address: IpAddr,
    },
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EgressRules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    place: Place,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// This name.
    Host(String),
    /// Every name that ends so: `.hospital.example`.
    Below(String),
    /// Every address with these first bits.
    Network { address: IpAddr, bits: u32 },
}

/// Where a URL goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Name or address, as in the URL.
    pub host: String,
    /// Port, given or usual.
    pub port: u16,
    /// The address, when the host is one.
    pub address: Option<IpAddr>,
}

impl Origin {
    /// The origin of an `http` or `https` URL without user and password.
    ///
    /// # Errors
    /// When it is another kind of URL.
    pub fn of(url: &Url) -> Result<Self, EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::Url("it is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Url("it holds a user or password; use `authorization`"));
        }
        let host = url.host_str().ok_or(EgressError::Url("it has no host"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().ok_or(EgressError::Url("it has no port"))?;
        let host = host.trim_end_matches('.').to_owned();
        Ok(Self { host, port, address: bare.parse().ok() })
    }
}

impl EgressRules {
    /// Reads a list.
    ///
    /// # Errors
    /// When an entry is neither host nor network.
    pub fn parse(entries: &[String]) -> Result<Self, EgressError> {
        let rule =
            |entry: &String| parse(entry.trim()).ok_or_else(|| EgressError::Entry(entry.clone()));
        entries.iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// The list that holds one origin alone.
    #[must_use]
    pub fn only(origin: &Origin) -> Self {
        let port = Some(origin.port);
        let exactly = |address: IpAddr| Rule {
            place: Place::Network { address, bits: width(address) },
            port,
        };
        Self(match origin.address {
            Some(address) => vec![exactly(canonical(address))],
            None if origin.host == "localhost" => vec![
                Rule { place: Place::Host(origin.host.clone()), port },
                exactly(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                exactly(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            ],
            None => vec![Rule { place: Place::Host(origin.host.to_ascii_lowercase()), port }],
        })
    }

    /// Both lists as one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether the host may be reached at all, before its name is looked up.
    ///
    /// # Errors
    /// When no entry can cover it.
    pub fn check_host(&self, origin: &Origin) -> Result<(), EgressError> {
        if let Some(address) = origin.address {
            return self.check_address(origin, address);
        }
        let has_networks = self.0.iter().any(|rule| matches!(rule.place, Place::Network { .. }));
        if self.names(origin) || has_networks {
            return Ok(());
        }
        Err(EgressError::Host { host: origin.host.clone(), port: origin.port })
    }

    /// Whether this address of the host may be connected to.
    ///
    /// # Errors
    /// When neither a network covers it nor the host is named and the address harmless.
    pub fn check_address(&self, origin: &Origin, address: IpAddr) -> Result<(), EgressError> {
        let address = canonical(address);
        let covers = |rule: &Rule| match &rule.place {
            Place::Network { address: network, bits } => {
                rule.takes(origin.port) && shares_bits(*network, address, *bits)
            }
            Place::Host(_) | Place::Below(_) => false,
        };
        if self.0.iter().any(covers) || (self.names(origin) && !is_special(address)) {
            return Ok(());
        }
        let (host, port) = (origin.host.clone(), origin.port);
        Err(EgressError::Address { host, port, address })
    }

    /// Whether an entry names the host.
    fn names(&self, origin: &Origin) -> bool {
        let host = origin.host.to_ascii_lowercase();
        origin.address.is_none()
            && self.0.iter().any(|rule| {
                let is_named = match &rule.place {
                    Place::Host(name) => *name == host,
                    Place::Below(ending) => host.len() > ending.len() && host.ends_with(ending),
                    Place::Network { .. } => false,
                };
                is_named && rule.takes(origin.port)
            })
    }
}

impl Rule {
    fn takes(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

fn parse(entry: &str) -> Option<Rule> {
    let (place, port) = split_port(entry)?;
    if let Some((address, bits)) = place.split_once('/') {
        let address: IpAddr = bare(address).parse().ok()?;
        let bits = bits.parse().ok().filter(|bits| *bits <= width(address))?;
        return Some(Rule { place: network(address, bits), port });
    }
    if let Ok(address) = bare(place).parse::<IpAddr>() {
        return Some(Rule { place: network(address, width(address)), port });
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let (name, is_ending) = match place.strip_prefix("*.") {
        Some(ending) => (ending, true),
        None => (place, false),
    };
    // A name of digits alone is an address in disguise.
    let is_number = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if name.is_empty() || is_number || name.starts_with('.') || !name.chars().all(plain) {
        return None;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let place = if is_ending { Place::Below(format!(".{name}")) } else { Place::Host(name) };
    Some(Rule { place, port })
}

/// Divides `place:port`; a bare IPv6 address has colons and no port.
fn split_port(entry: &str) -> Option<(&str, Option<u16>)> {
    let Some((place, port)) = entry.rsplit_once(':') else { return Some((entry, None)) };
    let is_bare_v6 = !place.starts_with('[') && place.contains(':');
    if is_bare_v6 || (place.starts_with('[') && !place.contains(']')) {
        return Some((entry, None));
    }
    port.parse().ok().filter(|port| *port != 0).map(|port| (place, Some(port)))
}

fn bare(address: &str) -> &str {
    address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
}

fn network(address: IpAddr, bits: u32) -> Place {
    match canonical(address) {
        // A mapped network of IPv4 addresses counts its bits from there.
        v4 @ IpAddr::V4(_) if address.is_ipv6() && bits >= 96 => {
            Place::Network { address: v4, bits: bits - 96 }
        }
        v4 @ IpAddr::V4(_) if address.is_ipv4() => Place::Network { address: v4, bits },
        _ => Place::Network { address, bits },
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn shares_bits(network: IpAddr, address: IpAddr, bits: u32) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            differing.checked_shr(32 - bits.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            differing.checked_shr(128 - bits.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The address that is really reached: an IPv4 address may be written inside an IPv6 one (mapped,
/// NAT64 of RFC 6052, 6to4 of RFC 3056).
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [first, second, third, fourth, fifth, sixth, high, low] = v6.segments();
    let v4 = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
    };
    if [first, second, third, fourth, fifth, sixth] == [0x64, 0xFF9B, 0, 0, 0, 0] {
        return v4(high, low);
    }
    if first == 0x2002 {
        return v4(second, third);
    }
    v6.to_canonical()
}

/// Addresses that a name has no business to lead to.
const fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, third, fourth] = v4.octets();
            // 100.100.100.200 serves cloud metadata too.
            let is_metadata = matches!([first, second, third, fourth], [100, 100, 100, 200]);
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || first == 0
                || v4.is_broadcast()
                || is_metadata
        }
        IpAddr::V6(v6) => {
            let [first, second, third, fourth, fifth, sixth, ..] = v6.segments();
            // ::/96 holds loopback, the unspecified address and IPv4 in its oldest disguise.
            let is_low = matches!([first, second, third, fourth, fifth, sixth], [0, 0, 0, 0, 0, 0]);
            let is_metadata = first == 0xFD00 && second == 0x0EC2;
            is_low || v6.is_unicast_link_local() || v6.is_multicast() || is_metadata
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[&str]) -> EgressRules {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        EgressRules::parse(&entries).unwrap()
    }

    fn origin(url: &str) -> Result<Origin, EgressError> {
        Origin::of(&Url::parse(url).unwrap())
    }

    #[test]
    fn addresses_are_seen_through_their_disguises() {
        let rules = rules(&["emr.hospital.example", "10.20.0.0/16"]);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://0.0.0.0/",
            "http://[fe80::1]/",
            "http://10.21.0.1/",
        ] {
            let origin = origin(url).unwrap();
            assert!(rules.check_host(&origin).is_err(), "{url}");
        }
        for url in ["http://10.20.3.4/", "http://[::ffff:10.20.3.4]/", "http://169083652/"] {
            assert_eq!(rules.check_host(&origin(url).unwrap()), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_name_does_not_vouch_for_special_addresses() {
        let named = rules(&["emr.hospital.example:8443"]);
        let origin = origin("https://EMR.hospital.example.:8443/x").unwrap();
        let check = |address: &str| named.check_address(&origin, address.parse().unwrap()).is_ok();
        assert_eq!(named.check_host(&origin), Ok(()));
        assert!(check("10.1.2.3") && check("203.0.113.9") && check("2001:db8::1"));
        for special in [
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(!check(special), "{special}");
        }
    }

    #[test]
    fn ports_and_endings_are_kept() {
        let check =
            |entry: &str, url: &str| rules(&[entry]).check_host(&origin(url).unwrap()).is_ok();
        assert!(check("emr.example", "https://emr.example/"));
        assert!(check("emr.example:443", "https://emr.example/"));
        assert!(!check("emr.example:443", "http://emr.example/"));
        assert!(check("*.example", "http://a.b.example/"));
        assert!(!check("*.example", "http://example/"));
        assert!(!check("*.example", "http://evilexample/"));
        assert!(check("10.0.0.0/8:8080", "http://10.9.9.9:8080/"));
        assert!(!check("10.0.0.0/8:8080", "http://10.9.9.9/"));
        assert!(check("[2001:db8::]/32:443", "https://[2001:db8:1::5]/"));
        assert!(check("2001:db8::/32", "https://[2001:db8:1::5]/"));
        assert!(!check("2001:db8::/32", "https://[2001:db9::5]/"));
        assert!(check("0.0.0.0/0", "http://127.0.0.1/"));
        assert!(!check("0.0.0.0/0", "http://[::1]/"));
    }

    #[test]
    fn entries_that_are_none_are_refused() {
        for entry in
            ["", "*", "http://x", "10.0.0.0/33", "a b", "2130706433", "emr:0", "emr:x", "::1/129"]
        {
            assert!(EgressRules::parse(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }

    #[test]
    fn without_a_list_only_the_url_itself_is_reached() {
        let own = origin("http://localhost:8080/x").unwrap();
        let rules = EgressRules::only(&own);
        assert_eq!(rules.check_address(&own, IpAddr::V4(Ipv4Addr::LOCALHOST)), Ok(()));
        assert!(rules.check_host(&origin("http://127.0.0.1:8081/").unwrap()).is_err());
        assert!(rules.check_address(&own, "10.0.0.1".parse().unwrap()).is_ok());
        let own = origin("http://127.0.0.1:8080/x").unwrap();
        let rules = EgressRules::only(&own);
        assert_eq!(rules.check_host(&own), Ok(()));
        assert!(rules.check_host(&origin("http://127.0.0.2:8080/").unwrap()).is_err());
    }

    #[test]
    fn urls_with_secrets_or_of_other_kinds_are_refused() {
        assert!(matches!(origin("https://user@emr.example/"), Err(EgressError::Url(_))));
        assert!(matches!(origin("https://:pw@emr.example/"), Err(EgressError::Url(_))));
        assert!(matches!(origin("ftp://emr.example/"), Err(EgressError::Url(_))));
        assert!(matches!(origin("file:///etc/passwd"), Err(EgressError::Url(_))));
    }
}
