//! What an engine in the machine's place does to the host's network, taken back when it is gone.
//!
//! dockerd leaves its bridges, its chains, the FORWARD chain's policy and packet forwarding behind
//! when it ends (moby `libnetwork/drivers/bridge/setup_ip_tables.go`, `setup_ip_forwarding.go`),
//! because its next start is expected to find them. On a machine that had none of them, ours is the
//! only start there will be. So what of this kind was there is noted before, and what came since is
//! removed: nothing else, because others change the firewall too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::firewall::{self, Rule};
use super::links;
use super::namespace::{
    read_forwarding, read_forwarding_ipv6, stop_forwarding_ipv6, write_forwarding,
};
use super::nftables;
use crate::error::{EngineError, Result};
use crate::tool::{IP6TABLES_RESTORE, IP6TABLES_SAVE, IPTABLES_RESTORE, IPTABLES_SAVE, Tool};

/// All chains of dockerd's own start so.
const CHAINS: &str = "DOCKER";
/// The policy that dockerd gives the FORWARD chain when it switches packet forwarding on.
const DROP: &str = ":FORWARD DROP";

/// What an engine could have left on the host's network, as it was before ours. To be written to a
/// state file before the engine starts, so that after a crash the next command can take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNetwork {
    /// Of packets, and not for private engines of ours alone.
    forwarding: bool,
    /// Of IPv6, which dockerd switches on where the administrator wants bridges to have it.
    #[serde(default)]
    forwarding_ipv6: Option<bool>,
    bridges: BTreeSet<String>,
    /// Pairs that a container was to get when its engine was killed: both ends are here.
    #[serde(default)]
    pairs: BTreeSet<String>,
    ipv4: Option<Traces>,
    ipv6: Option<Traces>,
    /// Of an engine with `firewall-backend` nftables.
    #[serde(default)]
    tables: BTreeSet<String>,
}

impl HostNetwork {
    /// Looks at what is there now.
    pub fn observe() -> Result<Self> {
        let links = links::all()?;
        Ok(Self {
            forwarding: read_forwarding()? && !firewall::forwarding_was_off()?,
            forwarding_ipv6: read_forwarding_ipv6(),
            bridges: links.iter().filter_map(|link| bridge(link)).collect(),
            pairs: links.iter().filter_map(|link| pair(link)).collect(),
            ipv4: Traces::read(IPTABLES_SAVE)?,
            // A kernel without IPv6 makes the program fail; there is nothing to take back then.
            ipv6: Traces::read(IP6TABLES_SAVE).unwrap_or_else(|error| {
                tracing::debug!(%error, "no IPv6 firewall");
                None
            }),
            tables: nftables::of_engines()?,
        })
    }

    /// Removes what came since, after the engine has ended. Doing it again is fine. What cannot be removed
    /// keeps nothing else from being, and is told.
    pub fn take_back(&self) -> Result<()> {
        let now = Self::observe()?;
        let links = now.bridges.difference(&self.bridges);
        let links = links.chain(now.pairs.difference(&self.pairs));
        let tables = now.tables.difference(&self.tables);
        let mut done: Vec<Result<()>> = links.map(|link| links::delete(link)).collect();
        done.extend(tables.map(|table| nftables::delete(table)));
        let families = [
            (IPTABLES_SAVE, IPTABLES_RESTORE, &self.ipv4, &now.ipv4),
            (IP6TABLES_SAVE, IP6TABLES_RESTORE, &self.ipv6, &now.ipv6),
        ];
        for (save, restore, before, now) in families {
            if let (Some(before), Some(now)) = (before, now) {
                let removed = now.remove(before, restore);
                // A rule that others removed meanwhile fails, and all with it.
                done.push(removed.or_else(|error| {
                    tracing::debug!(%error, "removing what is left of the rules");
                    let now = Traces::read(save)?.unwrap_or_default();
                    now.remove(before, restore)
                }));
            }
        }
        done.push(self.stop_forwarding(&now));
        let mut failures = done.into_iter().filter_map(Result::err);
        let first = failures.next();
        for error in failures {
            tracing::warn!(%error, "not taken back");
        }
        first.map_or(Ok(()), Err)
    }

    fn stop_forwarding(&self, now: &Self) -> Result<()> {
        if (now.forwarding_ipv6, self.forwarding_ipv6) == (Some(true), Some(false)) {
            stop_forwarding_ipv6()?;
        }
        // A private engine that came meanwhile found it on, and needs it: it is told to switch it off.
        if now.forwarding && !self.forwarding && !firewall::hand_on_forwarding()? {
            write_forwarding(false)?;
        }
        Ok(())
    }

    /// Whether there is anything that an engine makes, and may still use.
    pub(crate) fn has_traces(&self) -> bool {
        let rules = [&self.ipv4, &self.ipv6];
        let mut rules = rules.into_iter().flatten();
        !self.bridges.is_empty()
            || !self.tables.is_empty()
            || rules.any(|traces| !traces.rules.is_empty())
    }
}

/// A bridge of an engine: `docker0`, or `br-` with the first twelve digits of a network's id.
fn bridge(link: &str) -> Option<String> {
    is_bridge_name(link).then(|| link.to_owned())
}

/// One end of a pair that dockerd made and gave to no container yet (moby
/// `libnetwork/drivers/bridge/bridge.go`, `CreateEndpoint`). The ends of others are called `veth…@if4`.
fn pair(link: &str) -> Option<String> {
    let (one, other) = link.split_once('@')?;
    (is_end_name(one) && is_end_name(other)).then(|| one.to_owned())
}

fn is_end_name(name: &str) -> bool {
    let digits = name.strip_prefix("veth");
    digits.is_some_and(|it| it.len() == 7 && it.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_bridge_name(name: &str) -> bool {
    match name.strip_prefix("br-") {
        Some(id) => id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        None => name == "docker0",
    }
}

/// What one family's tables hold that is an engine's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Traces {
    /// Table and name of each chain.
    chains: BTreeSet<(String, String)>,
    /// Table and text of each rule.
    rules: BTreeSet<(String, String)>,
    /// Whether the FORWARD chain's policy is to drop.
    drops: bool,
}

impl Traces {
    /// `None` where there is no such program: then dockerd has none either.
    fn read(save: Tool) -> Result<Option<Self>> {
        match save.run(&[]) {
            Ok(text) => Ok(Some(Self::of(&text))),
            Err(EngineError::ProgramMissing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(saved: &str) -> Self {
        let rules = firewall::parse(saved).into_iter().filter(is_of_an_engine);
        let rules = rules.map(|rule| (rule.table, rule.line)).collect();
        let mut traces = Self {
            rules,
            ..Self::default()
        };
        let mut table = "";
        for line in saved.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            }
            let name = line.strip_prefix(':').and_then(|l| l.split(' ').next());
            if let Some(name) = name.filter(|name| name.starts_with(CHAINS)) {
                traces.chains.insert((table.to_owned(), name.to_owned()));
            }
            traces.drops |= table == "filter" && line.starts_with(DROP);
        }
        traces
    }

    /// Removes what is here and was not there `before`.
    fn remove(&self, before: &Self, restore: Tool) -> Result<()> {
        match self.removal(before).as_str() {
            "" => Ok(()),
            removal => firewall::restore(restore, removal),
        }
    }

    /// The input of iptables-restore that removes what is here and was not there `before`.
    fn removal(&self, before: &Self) -> String {
        let chains: BTreeSet<_> = self.chains.difference(&before.chains).collect();
        let rules: Vec<_> = self.rules.difference(&before.rules).collect();
        let opens = self.drops && !before.drops;
        let mut tables: BTreeSet<&str> = BTreeSet::new();
        tables.extend(chains.iter().map(|(table, _)| table.as_str()));
        tables.extend(rules.iter().map(|(table, _)| table.as_str()));
        if opens {
            tables.insert("filter");
        }
        if tables.is_empty() {
            return String::new();
        }
        let mut lines = Vec::new();
        for table in tables {
            lines.push(format!("*{table}"));
            if opens && table == "filter" {
                lines.push("-P FORWARD ACCEPT".to_owned());
            }
            let rules = rules.iter().filter(|(of, _)| of == table);
            lines.extend(rules.map(|(_, rule)| rule.replacen("-A ", "-D ", 1)));
            // Chains lead to chains, so all are emptied before one goes.
            for what in ["-F", "-X"] {
                let chains = chains.iter().filter(|(of, _)| of == table);
                lines.extend(chains.map(|(_, chain)| format!("{what} {chain}")));
            }
            lines.push("COMMIT".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Rules in or to a chain of an engine, on one of its bridges, or for a container that talks to
/// itself by its published port (moby `libnetwork/drivers/bridge/port_mapping_linux.go`).
fn is_of_an_engine(rule: &Rule) -> bool {
    let words: Vec<&str> = rule.line.split(' ').collect();
    let hairpin = words[1] == "POSTROUTING"
        && option(&words, "-j") == Some("MASQUERADE")
        && option(&words, "-s").is_some_and(|source| option(&words, "-d") == Some(source));
    let mut words = words.iter();
    hairpin || words.any(|word| word.starts_with(CHAINS) || is_bridge_name(word))
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let pair = words.windows(2).find(|pair| pair[0] == name)?;
    Some(pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth9 -j ACCEPT\nCOMMIT\n";
    const AFTER: &str = "*filter\n:FORWARD DROP [3:4]\n:DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n\
        -A FORWARD -j DOCKER-USER\n-A FORWARD -i eth9 -j ACCEPT\n\
        -A FORWARD -o br-0123456789ab -j DOCKER\n-A FORWARD -i br-lan -j ACCEPT\n\
        -A DOCKER-USER -j RETURN\nCOMMIT\n\
        *nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.9.0.0/24 -j MASQUERADE\n\
        -A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n\
        -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\nCOMMIT\n";

    #[test]
    fn what_came_is_removed_and_nothing_else() {
        let removal = Traces::of(AFTER).removal(&Traces::of(BEFORE));
        let expected = "*filter\n-P FORWARD ACCEPT\n-D DOCKER-USER -j RETURN\n\
            -D FORWARD -j DOCKER-USER\n-D FORWARD -o br-0123456789ab -j DOCKER\n\
            -F DOCKER\n-F DOCKER-USER\n-X DOCKER\n-X DOCKER-USER\nCOMMIT\n\
            *nat\n-D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n\
            -D POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n\
            COMMIT\n";
        assert_eq!(removal, expected);
    }

    #[test]
    fn only_pairs_that_no_container_got_count() {
        let ends = [
            "veth1a2b3c4@veth5d6e7f8",
            "veth1a2b3c4@if7",
            "lr-ab@veth5d6e7f8",
        ];
        let found: Vec<_> = ends.iter().filter_map(|link| pair(link)).collect();
        assert_eq!(found, ["veth1a2b3c4"]);
        assert_eq!(bridge("docker0").as_deref(), Some("docker0"));
    }

    #[test]
    fn what_was_there_stays() {
        assert_eq!(Traces::of(AFTER).removal(&Traces::of(AFTER)), "");
        assert_eq!(Traces::of(BEFORE).removal(&Traces::of(BEFORE)), "");
    }
}
