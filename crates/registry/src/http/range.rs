//! Ranges of addresses whose registries are insecure: `10.0.0.0/8` in docker's
//! `insecure-registries` (moby `daemon/pkg/registry/config.go`, `isSecureIndex` and `isCIDRMatch`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// How long a name may take to be resolved. A host whose address is not known is in no range.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// Whether one of the addresses of a host is in a range of a list of hosts and ranges. An IPv4 address in its IPv6 form (RFC 4291,
/// section 2.5.5.2) is an IPv4 address, as for Go's `net.IPNet.Contains`.
pub(super) async fn any_holds(listed: &BTreeSet<String>, name: &str) -> bool {
    let ranges = ranges(listed);
    if ranges.is_empty() {
        return false;
    }
    if let Ok(address) = name.parse() {
        return is_within(&ranges, address);
    }
    let lookup = tokio::net::lookup_host((name, 443));
    match tokio::time::timeout(LOOKUP_LIMIT, lookup).await {
        Ok(Ok(mut addresses)) => addresses.any(|address| is_within(&ranges, address.ip())),
        Ok(Err(_)) | Err(_) => false,
    }
}

fn ranges(listed: &BTreeSet<String>) -> Vec<IpNet> {
    listed.iter().filter_map(|text| text.parse().ok()).collect()
}

fn is_within(ranges: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    ranges.iter().any(|range| range.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hosts_are_in_ranges_by_their_addresses() {
        for (range, host, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("::/0", "203.0.113.1", false),
            ("fd00::/8", "fd12::1", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("127.0.0.0/8", "localhost", true),
            ("0.0.0.0/0", "registry.invalid", false),
        ] {
            let listed = [range.to_owned()].into();
            assert_eq!(ranges(&listed).len(), 1, "{range}");
            assert_eq!(any_holds(&listed, host).await, expected, "{range} {host}");
        }
    }

    #[test]
    fn hosts_are_no_ranges() {
        for text in [
            "registry.example",
            "10.0.0.1",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a/8",
        ] {
            assert_eq!(ranges(&[text.to_owned()].into()), [], "{text}");
        }
    }
}
