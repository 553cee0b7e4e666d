//! Ports of `EXPOSE`: `[ip:][public:]private[/protocol]`, each port perhaps a range
//! (`BuildKit`'s `dockerfile2llb/convert_expose.go`).

use std::net::IpAddr;

use crate::dockerfile::error::Fault;
use crate::go;

/// Refuses what is no port.
pub(crate) fn check(spec: &str) -> Result<(), Fault> {
    let Some((what, text)) = invalid_part(spec) else {
        return Ok(());
    };
    let fault = Fault::new(spec, format!("invalid {what}: {text}"));
    Err(fault.hint("write PORT or PORT/tcp, PORT/udp, PORT/sctp"))
}

/// What is wrong: the name of a part, and its text.
fn invalid_part(spec: &str) -> Option<(&'static str, &str)> {
    let (address, host, container) = split(spec);
    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    if ports.is_empty() {
        return Some(("port", spec));
    }
    if !matches!(go::to_lower(protocol).as_str(), "" | "tcp" | "udp" | "sctp") {
        return Some(("proto", protocol));
    }
    if !address.is_empty() && !is_address(address) {
        return Some(("IP address", address));
    }
    let Some((start, end)) = range(ports) else {
        return Some(("containerPort", ports));
    };
    if host.is_empty() {
        return None;
    }
    let Some((host_start, host_end)) = range(host) else {
        return Some(("hostPort", host));
    };
    let fits = end - start == host_end - host_start || end == start;
    (!fits).then_some(("ranges for container and host ports", spec))
}

fn split(spec: &str) -> (&str, &str, &str) {
    match spec.rsplit_once(':') {
        None => ("", "", spec),
        Some((head, container)) => match head.rsplit_once(':') {
            None => ("", head, container),
            Some((address, host)) => (address, host, container),
        },
    }
}

fn is_address(text: &str) -> bool {
    let inner = match text.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(inner) => inner,
            None => return false,
        },
        None => text,
    };
    // Empty brackets are no address given at all.
    inner.is_empty() || inner.parse::<IpAddr>().is_ok()
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end): (u16, u16) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some((start, end))
}
