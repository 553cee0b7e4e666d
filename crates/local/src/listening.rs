//! Who listens in a network namespace, as the kernel says it: `sock_diag(7)`. It looks at listeners alone, while `/proc/net/tcp` walks the
//! table of all connections that the machine could have, which takes milliseconds.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// Addresses that are listened on.
pub type Listening = BTreeSet<SocketAddr>;

/// The state of a socket that listens (Linux `include/net/tcp_states.h`, `TCP_LISTEN`).
const IN_PROC: &str = "0A";

/// Kinds of messages (`linux/netlink.h`, `linux/sock_diag.h`).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;

const HEADER_BYTES: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// `struct inet_diag_msg`.
const ANSWER_BYTES: usize = 72;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// The set of states with `TCP_LISTEN` in it (`net/tcp_states.h`).
const LISTENS: u32 = 1 << 10;

/// The kernel answers in pieces of at most 32 KiB (`net/netlink/af_netlink.c`, `netlink_dump`).
const PIECE_BYTES: usize = 64 << 10;

/// A way to ask about the network namespace in which it was opened.
#[derive(Debug)]
pub struct Diag(OwnedFd);

impl Diag {
    /// Opens one in the calling thread's namespace.
    pub fn open() -> io::Result<Self> {
        // The kernel answers while it is asked. A socket that waits would hang if it ever did not.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Self(socket))
    }

    /// What listens over TCP.
    pub fn listening(&self) -> io::Result<Listening> {
        let mut found = Listening::new();
        for family in [AF_INET, AF_INET6] {
            send(&self.0, &request(family), SendFlags::empty())?;
            self.read(&mut found)?;
        }
        Ok(found)
    }

    fn read(&self, found: &mut Listening) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let (length, _) = recv(&self.0, piece.as_mut_slice(), RecvFlags::empty())?;
            let mut rest = &piece[..length];
            while let Some((kind, body, after)) = message(rest) {
                match kind {
                    DONE => return Ok(()),
                    ERROR => return Err(io::Error::other("the kernel has no sock_diag for TCP")),
                    _ => found.extend(listener(body)),
                }
                rest = after;
            }
        }
    }
}

fn request(family: u8) -> [u8; HEADER_BYTES + REQUEST_BYTES] {
    let mut request = [0; HEADER_BYTES + REQUEST_BYTES];
    let length = (HEADER_BYTES + REQUEST_BYTES) as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    request[16..18].copy_from_slice(&[family, IPPROTO_TCP]);
    request[20..24].copy_from_slice(&LISTENS.to_ne_bytes());
    request
}

/// The first message of some: its kind, what it holds, and the rest. Each begins at a multiple of four.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, after))
}

/// Family, three bytes, the port and the peer's, the address.
fn listener(body: &[u8]) -> Option<SocketAddr> {
    (body.len() >= ANSWER_BYTES).then_some(())?;
    let port = u16::from_be_bytes(body[4..6].try_into().ok()?);
    let ip: IpAddr = if body[0] == AF_INET {
        Ipv4Addr::from(<[u8; 4]>::try_from(&body[8..12]).ok()?).into()
    } else {
        Ipv6Addr::from(<[u8; 16]>::try_from(&body[8..24]).ok()?).to_canonical()
    };
    Some(SocketAddr::new(ip, port))
}

/// What listens over TCP in the namespace of the thread `whose`, a name in /proc.
pub fn of_proc(whose: &str) -> io::Result<Listening> {
    let folder = Path::new("/proc").join(whose).join("net");
    let mut text = std::fs::read_to_string(folder.join("tcp"))?;
    // A kernel without IPv6 has no such file.
    text += &std::fs::read_to_string(folder.join("tcp6")).unwrap_or_default();
    Ok(text.lines().filter_map(line_of_proc).collect())
}

/// One line of `/proc/PID/net/tcp`: number, own address, peer's address, state, …
fn line_of_proc(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    (words.nth(1)? == IN_PROC).then_some(())?;
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SEEN: &str = "  sl  local_address rem_address   st tx_queue\n   \
        0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        2: 0100007F:1388 0100007F:C001 01 00000000:00000000 00:00000000\n   \
        3: 0202D50A:0016 00000000:0000 0A 00000000:00000000 00:00000000\n   \
        4: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A\n   \
        5: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A\n";

    #[test]
    fn the_kernel_names_what_listens() {
        let listeners = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"];
        // Without IPv6 two of them cannot be.
        let listeners = listeners.iter().filter_map(|on| TcpListener::bind(on).ok());
        let listeners: Vec<TcpListener> = listeners.collect();
        assert!(listeners.len() >= 2);
        let diag = Diag::open().expect("opened");
        let seen = [
            diag.listening().expect("asked"),
            of_proc("self").expect("read"),
        ];
        for listener in &listeners {
            let address = listener.local_addr().expect("it is bound");
            assert!(
                seen.iter().all(|seen| seen.contains(&address)),
                "{address}: {seen:?}"
            );
        }
        let connected = TcpListener::local_addr(&listeners[0]).expect("it is bound");
        let connected = std::net::TcpStream::connect(connected).expect("it listens");
        let own = connected.local_addr().expect("it is connected");
        assert!(!diag.listening().expect("asked").contains(&own));
    }

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let seen: Listening = SEEN.lines().filter_map(line_of_proc).collect();
        let expected = [
            "127.0.0.1:5000",
            "0.0.0.0:8080",
            "10.213.2.2:22",
            "[::]:8081",
            "[::1]:8082",
        ];
        let expected: Listening = expected
            .iter()
            .map(|it| it.parse().expect("an address"))
            .collect();
        assert_eq!(seen, expected);
    }
}
