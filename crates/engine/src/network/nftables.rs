//! Rules in tables of nft(8): those of an engine that has nftables for its firewall, and ours on a machine
//! without iptables.
//!
//! Each private engine has a table of its own, whose name says whose it is. A verdict of another table's
//! chain that drops a packet stands, so nothing is allowed here that an administrator forbids.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::namespace::write_forwarding;
use crate::error::{EngineError, Result};
use crate::instance::InstanceId;
use crate::tool::NFT;

/// dockerd's own table, of either family (moby `daemon/libnetwork/drivers/bridge/internal/nftabler`).
const OF_DOCKERD: &str = "docker-bridges";
/// How the names of our tables begin.
const OURS: &str = "larder-";
/// The chain by which a machine that forwarded nothing stays no router. That it is there tells the last of
/// our engines to go that forwarding was off.
const WAS_OFF: &str = "forwarding_was_off";

/// The tables of engines, as `ip NAME`; none where nftables or its program is missing.
pub(super) fn of_engines() -> Result<BTreeSet<String>> {
    let listed = match NFT.run(&["list", "tables"]) {
        Ok(listed) => listed,
        Err(EngineError::ProgramMissing { .. } | EngineError::ToolFailed { .. }) => String::new(),
        Err(error) => return Err(error),
    };
    let tables = listed
        .lines()
        .filter_map(|line| line.strip_prefix("table "));
    let of_dockerd = tables.filter(|table| table.ends_with(&format!(" {OF_DOCKERD}")));
    Ok(of_dockerd.map(str::to_owned).collect())
}

/// Deletes a table of [`of_engines`].
pub(super) fn delete(table: &str) -> Result<()> {
    load(&format!("delete table {table}\n"))
}

/// Runs commands of nft(8), all or none.
pub(super) fn load(commands: &str) -> Result<()> {
    NFT.run_with(&["-f", "-"], commands).map(drop)
}

/// Lets the room out; `was_off`: forwarding is about to be switched on for this.
pub(super) fn allow(id: &InstanceId, interface: &str, pair: Ipv4Net, was_off: bool) -> Result<()> {
    // Inherited from an engine still here, or the last to go would not know.
    let was_off = was_off || forwarding_was_off()?;
    load(&rules(id, interface, pair, was_off))
}

fn rules(id: &InstanceId, interface: &str, pair: Ipv4Net, was_off: bool) -> String {
    let table = format!("{OURS}{id}");
    let mut rules = format!(
        "add table ip {table}\n\
         add chain ip {table} postrouting {{ type nat hook postrouting priority srcnat; }}\n\
         add rule ip {table} postrouting ip saddr {pair} oifname != \"{interface}\" masquerade\n"
    );
    if was_off {
        rules += &drop_all(&table);
    }
    rules
}

/// Packets of any of our engines pass, for each has such a chain, and one that drops is enough.
fn drop_all(table: &str) -> String {
    format!(
        "add chain ip {table} {WAS_OFF} {{ type filter hook forward priority filter; }}\n\
         add rule ip {table} {WAS_OFF} iifname \"lr-*\" accept\n\
         add rule ip {table} {WAS_OFF} oifname \"lr-*\" ct state related,established accept\n\
         add rule ip {table} {WAS_OFF} drop\n"
    )
}

/// Whether packets are forwarded for private engines of ours alone, as far as they know.
pub(super) fn forwarding_was_off() -> Result<bool> {
    Ok(ours()?.iter().any(|table| table.was_off))
}

/// Tells the private engines of ours that are there that forwarding was off before them. Whether there is one.
pub(super) fn hand_on_forwarding() -> Result<bool> {
    let ours = ours()?;
    let untold = ours.iter().filter(|table| !table.was_off);
    let lines: String = untold.map(|table| drop_all(&table.name)).collect();
    if !lines.is_empty() {
        load(&lines)?;
    }
    Ok(!ours.is_empty())
}

/// Removes the table of `id`, and switches packet forwarding off again if it was when the first of our
/// engines came and nobody else is known to need it.
pub(super) fn remove(id: &InstanceId) -> Result<()> {
    let name = format!("{OURS}{id}");
    let (own, others): (Vec<_>, Vec<_>) = ours()?.into_iter().partition(|it| it.name == name);
    let Some(own) = own.first() else {
        return Ok(());
    };
    // Before the table, which alone says that it was off: whoever dies in between can be followed.
    if own.was_off && others.is_empty() && of_engines()?.is_empty() {
        write_forwarding(false)?;
    }
    delete(&format!("ip {name}"))
}

/// A table of ours.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    name: String,
    was_off: bool,
}

fn ours() -> Result<Vec<Table>> {
    match NFT.run(&["list", "chains", "ip"]) {
        Ok(listed) => Ok(parse(&listed)),
        // Then there is nothing of ours either.
        Err(EngineError::ProgramMissing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Lines `table ip NAME {`, and below each `chain NAME {`.
fn parse(listed: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["table", "ip", name, ..] => tables.push(Table {
                name: name.to_owned(),
                was_off: false,
            }),
            ["chain", WAS_OFF, ..] => {
                if let Some(table) = tables.last_mut() {
                    table.was_off = true;
                }
            }
            _ => {}
        }
    }
    tables.retain(|table| table.name.starts_with(OURS));
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_ours_are_known_by_their_names() {
        let listed = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; \
            policy accept;\n\t}\n}\ntable ip larder-ab {\n\tchain postrouting {\n\t}\n\tchain forwarding_was_off \
            {\n\t}\n}\ntable ip larder-c {\n\tchain postrouting {\n\t}\n}\n";
        let table = |name: &str, was_off| Table {
            name: name.to_owned(),
            was_off,
        };
        assert_eq!(
            parse(listed),
            [table("larder-ab", true), table("larder-c", false)]
        );
    }
}
