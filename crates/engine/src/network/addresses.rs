//! Which addresses the host uses, and a pair that it does not.

use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{EngineError, Result};
use crate::instance::InstanceId;
use crate::tool::IP;

/// Where pairs are looked for, in this order. None of them is among the networks that dockerd
/// gives to containers (172.16/12, 192.168/16). The later ones are for hosts that route all of 10/8:
/// shared address space (RFC 6598) and benchmarking (RFC 2544).
const RANGES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 213, 0, 0),
    Ipv4Addr::new(100, 96, 0, 0),
    Ipv4Addr::new(198, 18, 0, 0),
];
pub(super) const RANGES_TEXT: &str = "10.213.0.0/16, 100.96.0.0/16 and 198.18.0.0/16";
const PAIRS_PER_RANGE: u32 = 1 << 14;

/// Ethernet's.
const DEFAULT_MTU: u32 = 1500;

/// The host's address of a pair's four, of which two can be used.
pub(super) fn of_host(pair: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(pair.network().to_bits() + 1)
}

/// The other one, the room's.
pub(super) fn of_room(pair: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(pair.network().to_bits() + 2)
}

/// One line of `ip -json route`.
#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    dev: Option<String>,
    table: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// One interface of `ip -json addr`.
#[derive(Debug, Deserialize)]
struct Link {
    ifname: Option<String>,
    mtu: Option<u32>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    local: Option<Ipv4Addr>,
    prefixlen: Option<u8>,
}

impl Address {
    fn network(&self) -> Option<Ipv4Net> {
        Ipv4Net::new(self.local?, self.prefixlen?).ok()
    }
}

/// The host's interfaces and routes.
#[derive(Debug)]
pub(super) struct Host {
    links: Vec<Link>,
    routes: Vec<Route>,
}

impl Host {
    pub(super) fn read() -> Result<Self> {
        Ok(Self {
            links: json(&["-4", "-json", "addr"])?,
            routes: json(&["-4", "-json", "route", "show", "table", "all"])?,
        })
    }

    /// A pair that nothing here uses or routes. Where the search starts depends on the id, so that
    /// two engines that start at the same moment do not choose the same.
    pub(super) fn free_subnet(&self, id: &InstanceId) -> Option<Ipv4Net> {
        let taken = self.taken();
        let start = id
            .as_str()
            .bytes()
            .fold(0_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let candidates = RANGES.iter().flat_map(|range| {
            (0..PAIRS_PER_RANGE)
                .map(move |n| range.to_bits() + (start.wrapping_add(n) % PAIRS_PER_RANGE) * 4)
        });
        candidates
            .map(|first| Ipv4Net::new_assert(Ipv4Addr::from_bits(first), 30))
            .find(|pair| !taken.iter().any(|used| overlap(*used, *pair)))
    }

    fn taken(&self) -> Vec<Ipv4Net> {
        let routes = self.routes.iter().filter_map(|route| network(&route.dst));
        let addresses = self.links.iter().flat_map(|link| &link.addr_info);
        routes
            .chain(addresses.filter_map(Address::network))
            .collect()
    }

    /// The networks of the main table, as `ip route` takes them.
    pub(super) fn networks(&self) -> Vec<String> {
        let main = self.routes.iter().filter(|route| {
            route.table.is_none() && route.kind.is_none() && route.dst != "default"
        });
        let mut networks: Vec<String> = main.map(|route| route.dst.clone()).collect();
        networks.sort();
        networks.dedup();
        networks
    }

    /// The default route's: a larger one would lose packets where path MTU discovery is filtered.
    pub(super) fn mtu(&self) -> u32 {
        let mut routes = self.routes.iter();
        let default = routes.find(|route| route.dst == "default" && route.table.is_none());
        let device = default.and_then(|route| route.dev.as_ref());
        let mut links = self.links.iter();
        let link = links.find(|link| device.is_some() && link.ifname.as_ref() == device);
        link.and_then(|link| link.mtu).unwrap_or(DEFAULT_MTU)
    }
}

fn json<T: DeserializeOwned>(arguments: &[&str]) -> Result<Vec<T>> {
    let text = IP.run(arguments)?;
    // With nothing to show, older versions print nothing at all.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text).map_err(|error| EngineError::Malformed {
        what: "the host's addresses",
        path: Path::new("ip").join(arguments.join(" ")),
        message: error.to_string(),
    })
}

/// A network as `ip` writes it, or an address. `default` is `None`: it covers everything and takes
/// nothing.
fn network(text: &str) -> Option<Ipv4Net> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Some(address.into()),
        Err(_) => text.parse().ok(),
    }
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &&str) -> Route {
        Route {
            dst: (*dst).to_owned(),
            dev: None,
            table: None,
            kind: None,
        }
    }

    fn host(routes: &[&str], address: &str) -> Host {
        let address = Address {
            local: Some(address.parse().expect("an address")),
            prefixlen: Some(24),
        };
        let link = Link {
            ifname: Some("eth0".to_owned()),
            mtu: Some(1400),
            addr_info: vec![address],
        };
        let mut default = route(&"default");
        default.dev = Some("eth0".to_owned());
        Host {
            links: vec![link],
            routes: routes.iter().map(route).chain([default]).collect(),
        }
    }

    fn chosen(host: &Host, id: &str) -> Option<String> {
        host.free_subnet(&id.parse().expect("an id"))
            .map(|subnet| subnet.to_string())
    }

    #[test]
    fn a_pair_avoids_routes_and_addresses() {
        let free = host(&["172.17.0.0/16"], "192.0.2.2");
        let first = chosen(&free, "a").expect("all are free");
        assert!(first.starts_with("10.213."), "{first}");
        let next = chosen(&host(&[&first], "192.0.2.2"), "a").expect("others are free");
        assert_ne!(first, next);
        assert_ne!(chosen(&free, "a"), chosen(&free, "b"));
        let ten = chosen(&host(&["10.0.0.0/8"], "192.0.2.2"), "a").expect("another range");
        assert!(ten.starts_with("100.96."), "{ten}");
        assert_eq!(
            chosen(&host(&["0.0.0.0/1", "128.0.0.0/1"], "192.0.2.2"), "a"),
            None
        );
        let by_address = host(&[], first.split('/').next().expect("an address"));
        assert_ne!(chosen(&by_address, "a"), Some(first));
    }

    #[test]
    fn the_room_hears_of_networks_and_the_mtu() {
        let host = host(&["172.17.0.0/16", "10.0.0.5", "172.17.0.0/16"], "192.0.2.2");
        assert_eq!(host.networks(), ["10.0.0.5", "172.17.0.0/16"]);
        assert_eq!(host.mtu(), 1400);
    }
}
