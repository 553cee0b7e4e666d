//! Who listens in a network namespace, and which of that concerns the other one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use ipnet::Ipv4Net;

/// The state of a socket that listens (Linux `include/net/tcp_states.h`, `TCP_LISTEN`).
const LISTENS: &str = "0A";

/// All addresses of a machine's own.
pub(super) const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

/// Addresses that are listened on.
pub(super) type Listening = BTreeSet<SocketAddr>;

/// What listens over TCP in the namespace of the thread `whose`, a name in /proc.
pub(super) fn of_proc(whose: &str) -> io::Result<Listening> {
    let folder = Path::new("/proc").join(whose).join("net");
    let mut text = std::fs::read_to_string(folder.join("tcp"))?;
    // A kernel without IPv6 has no such file.
    text += &std::fs::read_to_string(folder.join("tcp6")).unwrap_or_default();
    Ok(text.lines().filter_map(listener).collect())
}

/// One line of `/proc/PID/net/tcp`: number, own address, peer's address, state, …
fn listener(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    (words.nth(1)? == LISTENS).then_some(())?;
    Some(SocketAddr::new(
        ip(address)?,
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// An address as words of 32 bits, each in the order of this processor.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok();
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?.to_ne_bytes()).into());
    }
    let mut bytes = [0; 16];
    for (at, place) in bytes.chunks_exact_mut(4).enumerate() {
        place.copy_from_slice(&word(at * 8)?.to_ne_bytes());
    }
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// What the host's localhost shows of a room: where to listen on the host, and where that leads in the
/// room, whose own address is `room`.
pub(super) fn published(listening: &Listening, room: Ipv4Addr) -> BTreeMap<SocketAddr, SocketAddr> {
    let mut shown = BTreeMap::new();
    for address in listening {
        let (ip, port) = (address.ip(), address.port());
        if ip.is_loopback() {
            shown.entry(*address).or_insert(*address);
        } else if ip.is_unspecified() {
            // One on all addresses of IPv6 may serve these alone, and then a room has its loopback.
            let has_ipv4 = listening.contains(&(Ipv4Addr::UNSPECIFIED, port).into());
            let there = if has_ipv4 {
                SocketAddr::new(room.into(), port)
            } else {
                (Ipv6Addr::LOCALHOST, port).into()
            };
            shown.insert((Ipv4Addr::LOCALHOST, port).into(), there);
            shown.insert((Ipv6Addr::LOCALHOST, port).into(), there);
        }
    }
    shown
}

/// What a room's localhost shows of the host: all that listens there on the loopback, but on `own`
/// addresses, and but for ports that the room itself listens on.
pub(super) fn local(
    host: &Listening,
    room: &Listening,
    own: &BTreeSet<SocketAddr>,
) -> BTreeSet<(Ipv4Net, u16)> {
    let rooms: BTreeSet<u16> = room.iter().map(SocketAddr::port).collect();
    let others = host.difference(own);
    let others = others.filter(|address| !rooms.contains(&address.port()));
    others
        .filter_map(|address| Some((covered(address.ip())?, address.port())))
        .collect()
}

/// The part of the loopback that a listener on this address serves.
fn covered(ip: IpAddr) -> Option<Ipv4Net> {
    match ip {
        // One on all addresses of IPv6 nearly always serves IPv4 too.
        any if any.is_unspecified() => Some(LOOPBACK),
        IpAddr::V4(own) if own.is_loopback() => Some(own.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: &str = "  sl  local_address rem_address   st tx_queue\n   \
        0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        2: 0100007F:1388 0100007F:C001 01 00000000:00000000 00:00000000\n   \
        3: 0202D50A:0016 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        4: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A\n   \
        5: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A\n";

    fn addresses(all: &[&str]) -> BTreeSet<SocketAddr> {
        let all = all.iter().map(|text| text.parse().expect("an address"));
        all.collect()
    }

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let seen: Listening = SEEN.lines().filter_map(listener).collect();
        let expected = [
            "127.0.0.1:5000",
            "0.0.0.0:8080",
            "10.213.2.2:22",
            "[::]:8081",
            "[::1]:8082",
        ];
        assert_eq!(seen, addresses(&expected));
    }

    #[test]
    fn a_host_shows_what_a_room_publishes() {
        let room = addresses(&[
            "0.0.0.0:80",
            "[::]:80",
            "127.0.0.1:81",
            "172.18.0.1:82",
            "[::]:83",
        ]);
        let shown = published(&room, Ipv4Addr::new(10, 213, 0, 2));
        let shown: Vec<String> = shown.iter().map(|(on, to)| format!("{on} {to}")).collect();
        assert_eq!(
            shown,
            [
                "127.0.0.1:80 10.213.0.2:80",
                "127.0.0.1:81 127.0.0.1:81",
                "127.0.0.1:83 [::1]:83",
                "[::1]:80 10.213.0.2:80",
                "[::1]:83 [::1]:83"
            ]
        );
    }

    #[test]
    fn a_room_shows_the_hosts_loopback_but_never_in_its_own_place() {
        let host = addresses(&[
            "0.0.0.0:22",
            "127.0.0.53:53",
            "192.0.2.1:443",
            "[::]:5000",
            "127.0.0.1:8080",
            "0.0.0.0:9000",
        ]);
        let room = addresses(&["0.0.0.0:9000"]);
        let shown = local(&host, &room, &addresses(&["127.0.0.1:8080"]));
        let shown: Vec<String> = shown
            .iter()
            .map(|(on, port)| format!("{on} {port}"))
            .collect();
        assert_eq!(
            shown,
            ["127.0.0.0/8 22", "127.0.0.0/8 5000", "127.0.0.53/32 53"]
        );
    }
}
