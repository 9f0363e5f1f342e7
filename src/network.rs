//! Networks that a listener takes connections from, as address and prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A network such as `10.20.0.0/16` or `fd00::/8`; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NetworkError {
    /// The part before the slash is no IP address.
    #[error("`{0}` is no IP address; write e.g. `10.20.0.0/16`")]
    Address(String),
    /// The part after the slash is no prefix length of this address family.
    #[error("`/{given}` is no prefix length; write a number from 0 to {most}")]
    Prefix {
        /// What was written.
        given: String,
        /// The longest prefix of the family: 32 or 128.
        most: u8,
    },
    /// Bits are set behind the prefix: probably another network was meant.
    #[error(
        "`{address}/{prefix}` has bits set behind its prefix; the network is `{network}/{prefix}`"
    )]
    HostBits {
        /// As written.
        address: IpAddr,
        /// As written.
        prefix: u8,
        /// The address with those bits cleared.
        network: IpAddr,
    },
}

impl Network {
    /// Whether `address` lies in this network. An IPv4 address that arrived over an IPv6 socket
    /// (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.address.is_ipv4() == address.is_ipv4()
            && masked(address, self.prefix) == masked(self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (host, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr =
            host.trim().parse().map_err(|_| NetworkError::Address(host.to_owned()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(given) => given
                .trim()
                .parse()
                .ok()
                .filter(|length| *length <= most)
                .ok_or_else(|| NetworkError::Prefix { given: given.to_owned(), most })?,
        };
        let network = masked(address, prefix);
        if network != address {
            return Err(NetworkError::HostBits { address, prefix, network });
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(four) & mask).into())
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(six) & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        };
        check("10.20.0.0/16", "10.20.255.1", true);
        check("10.20.0.0/16", "10.21.0.1", false);
        check("10.20.0.0/16", "::ffff:10.20.3.4", true);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "fd00::1", false);
        check("::/0", "fd00::1", true);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "fe80::1", false);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.8", false);
    }

    #[test]
    fn what_is_no_network_says_why() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("ward-3", "no IP address");
        check("10.0.0.0/33", "0 to 32");
        check("10.0.0.0/", "0 to 32");
        check("fd00::/129", "0 to 128");
        check("10.20.3.0/16", "the network is `10.20.0.0/16`");
    }
}
