//! A name server that knows one name.

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

use anyhow::{Context, Result};

/// Its address; nobody else's on a usual machine.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
/// The name, which stands for this machine.
pub(super) const KNOWN: &str = "by-dns.example";

/// RFC 1035, 4.1.1: twelve bytes stand before the question.
const HEADER_BYTES: usize = 12;
/// RFC 1035, 4.2.1.
const MESSAGE_MAX_BYTES: usize = 512;

/// Answers as long as this process lives.
pub(super) fn serve() -> Result<()> {
    let socket = UdpSocket::bind((SERVER, 53));
    let socket = socket.with_context(|| format!("cannot serve names on {SERVER}"))?;
    thread::spawn(move || {
        let mut message = [0; MESSAGE_MAX_BYTES];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            if let Some(answer) = answer(&message[..length]) {
                // Who asked asks again.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

/// RFC 1035, 4: the question again, with an address if one of that kind is known.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let body = question.get(HEADER_BYTES..)?;
    let name_bytes = body.iter().position(|byte| *byte == 0)? + 1;
    let asked = body.get(..name_bytes + 4)?;
    let is_known = asked[..name_bytes] == name();
    let has_address = is_known && asked[name_bytes..] == [0, 1, 0, 1];
    // A response, authoritative, and as the question had it whether recursion is wanted.
    let flags = [0x84 | question[2] & 1, if is_known { 0 } else { 3 }];
    let mut answer = question[..2].to_vec();
    answer.extend(flags);
    answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(asked);
    if has_address {
        // The name of the question, an address of the internet, for a minute, of four bytes.
        answer.extend([0xc0, HEADER_BYTES as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    }
    Some(answer)
}

/// The name as a message has it: each part after its length.
fn name() -> Vec<u8> {
    let parts = KNOWN.split('.').flat_map(|part| {
        let length = u8::try_from(part.len()).expect("a part has at most 63 bytes");
        [length].into_iter().chain(part.bytes())
    });
    parts.chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_known() {
        let header = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let question = [&header[..], &name(), &[0, 1, 0, 1]].concat();
        let known = answer(&question).expect("an answer");
        assert_eq!(known[..4], [7, 7, 0x85, 0]);
        assert!(known.ends_with(&[127, 0, 0, 1]));
        let other = [&header[..], b"\x01x\x00", &[0, 1, 0, 1]].concat();
        assert_eq!(answer(&other).expect("an answer")[3], 3, "no such name");
    }
}
