//! Ports of `EXPOSE`: `[ip:][public:]private[/protocol]`, each port perhaps a range
//! (`BuildKit`'s `dockerfile2llb/convert_expose.go`).

use std::net::IpAddr;

use super::error::Fault;

/// Refuses what is no port.
pub(super) fn check(spec: &str) -> Result<(), Fault> {
    let (address, host, container) = split(spec);
    let fault = |what: &str, text: &str| {
        Fault::new(spec, format!("invalid {what}: {text}"))
            .hint("write PORT or PORT/tcp, PORT/udp, PORT/sctp")
    };
    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    if ports.is_empty() {
        return Err(fault("port", spec));
    }
    if !matches!(
        protocol.to_lowercase().as_str(),
        "" | "tcp" | "udp" | "sctp"
    ) {
        return Err(fault("proto", protocol));
    }
    if !address.is_empty() && !is_address(address) {
        return Err(fault("IP address", address));
    }
    let (start, end) = range(ports).ok_or_else(|| fault("containerPort", ports))?;
    if !host.is_empty() {
        let (host_start, host_end) = range(host).ok_or_else(|| fault("hostPort", host))?;
        if end - start != host_end - host_start && end != start {
            return Err(fault("ranges for container and host ports", spec));
        }
    }
    Ok(())
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
    let port = |text: &str| text.parse::<u16>().ok();
    match text.split_once('-') {
        None => port(text).map(|port| (port, port)),
        Some((start, end)) => {
            let (start, end) = (port(start)?, port(end)?);
            (start <= end).then_some((start, end))
        }
    }
}
