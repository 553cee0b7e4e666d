//! Ranges of addresses whose registries are insecure: `10.0.0.0/8` in docker's
//! `insecure-registries` (moby `daemon/pkg/registry/config.go`, `isSecureIndex` and `isCIDRMatch`).

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How long a name may take to be resolved. A host whose address is not known is in no range.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// A network and the number of its leading bits, counted as in IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    network: u128,
    mask: u128,
}

impl Range {
    /// Reads `10.0.0.0/8` or `fd00::/8`; nothing for a host's name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u32 = bits.parse().ok()?;
        let (most, before) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let mask = u128::MAX
            .checked_shl(128 - before - bits.min(most))
            .unwrap_or(0);
        (bits <= most).then(|| Self {
            network: number(address) & mask,
            mask,
        })
    }

    fn holds(self, address: IpAddr) -> bool {
        number(address) & self.mask == self.network
    }
}

/// An address as IPv6, where IPv4 is a part of it (RFC 4291, section 2.5.5.2).
fn number(address: IpAddr) -> u128 {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Ipv6Addr::to_bits(address)
}

/// Whether one of the addresses of `host`, which may have a port, is in a range.
pub(crate) async fn any_holds(ranges: &[Range], host: &str) -> bool {
    let within = |address: IpAddr| ranges.iter().any(|range| range.holds(address));
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    if let Ok(address) = name.parse() {
        return within(address);
    }
    let lookup = tokio::net::lookup_host((name, 443));
    match tokio::time::timeout(LOOKUP_LIMIT, lookup).await {
        Ok(Ok(mut addresses)) => addresses.any(|address| within(address.ip())),
        Ok(Err(_)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hosts_are_in_ranges_by_their_addresses() {
        for (range, host, expected) in [
            ("10.0.0.0/8", "10.1.2.3:5000", true),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "[fd00::1]:5000", false),
            ("fd00::/8", "[fd12::1]:5000", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("127.0.0.0/8", "localhost:5000", true),
            ("0.0.0.0/0", "registry.invalid", false),
        ] {
            let ranges = [Range::parse(range).expect("a range")];
            assert_eq!(any_holds(&ranges, host).await, expected, "{range} {host}");
        }
        for text in [
            "registry.example",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a/8",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
