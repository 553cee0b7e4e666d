//! The host's rules for one private engine, added and removed in one transaction each.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::Ipv4Net;

use super::namespace::write_forwarding;
use super::nftables;
use crate::error::{EngineError, Result};
use crate::instance::InstanceId;
use crate::tool::{IPTABLES_RESTORE, IPTABLES_SAVE, Tool};

/// Ends the comment of rules made while packet forwarding was switched on by us, so that the last
/// engine to go can switch it off again.
const FORWARDING_WAS_OFF: &str = ":ip_forward=0";

/// The chain in which administrators forbid containers what they may not reach. dockerd has it come
/// before all that it allows itself (moby `daemon/libnetwork/firewall_linux.go`).
const OF_ADMINISTRATORS: &str = "DOCKER-USER";

/// Lets the room out, and nobody else through. `was_off`: forwarding is about to be switched on for this.
pub(super) fn allow(id: &InstanceId, interface: &str, pair: Ipv4Net, was_off: bool) -> Result<()> {
    // A rule that others removed meanwhile makes a place too many.
    allow_once(id, interface, pair, was_off).or_else(|error| {
        tracing::debug!(%error, "adding the rules once more");
        allow_once(id, interface, pair, was_off)
    })
}

fn allow_once(id: &InstanceId, interface: &str, pair: Ipv4Net, was_off: bool) -> Result<()> {
    let Some(saved) = save()? else {
        return nftables::allow(id, interface, pair, was_off);
    };
    // Inherited from an engine still here, or the last to go would not know.
    let was_off = was_off || saved.iter().any(Rule::says_forwarding_was_off);
    restore(
        IPTABLES_RESTORE,
        &rules(&saved, id, interface, pair, was_off),
    )
}

/// The two accepts matter where the chain's policy is to drop, which is what a dockerd on the host makes
/// it, and come after what administrators forbid. A host that forwarded nothing becomes no router:
/// what no other rule has allowed is dropped as before.
fn rules(saved: &[Rule], id: &InstanceId, interface: &str, pair: Ipv4Net, was_off: bool) -> String {
    let comment = comment(id.as_str(), was_off);
    let place = first_place(saved);
    let mut rules = format!(
        "*nat\n\
         -I POSTROUTING -s {pair} ! -o {interface} {comment} -j MASQUERADE\n\
         COMMIT\n\
         *filter\n\
         -I FORWARD {place} -i {interface} {comment} -j ACCEPT\n\
         -I FORWARD {place} -o {interface} -m conntrack --ctstate RELATED,ESTABLISHED {comment} -j ACCEPT\n"
    );
    if was_off {
        rules += &drop_all(&comment);
    }
    rules + "COMMIT\n"
}

/// The first place in the FORWARD chain behind what administrators forbid, counted from 1.
fn first_place(saved: &[Rule]) -> usize {
    let forward = saved.iter().filter(|rule| rule.is_in("filter", "FORWARD"));
    let leads = forward.map(|rule| rule.line.ends_with(&format!("-j {OF_ADMINISTRATORS}")));
    leads
        .enumerate()
        .filter_map(|(at, leads)| leads.then_some(at + 2))
        .last()
        .unwrap_or(1)
}

/// Whether packets are forwarded for private engines of ours alone, as far as they know.
pub(super) fn forwarding_was_off() -> Result<bool> {
    match save()? {
        Some(saved) => Ok(saved.iter().any(Rule::says_forwarding_was_off)),
        None => nftables::forwarding_was_off(),
    }
}

/// Tells the private engines of ours that are there that packet forwarding was off before them, if they could not
/// know: the last to go switches it off. Whether there is one.
pub(super) fn hand_on_forwarding() -> Result<bool> {
    let Some(saved) = save()? else {
        return nftables::hand_on_forwarding();
    };
    let marks = marks(&saved);
    if !marks.is_empty() {
        restore(IPTABLES_RESTORE, &marks)?;
    }
    Ok(saved.iter().any(|rule| rule.owner().is_some()))
}

/// For each engine whose rules do not say it the one that they would have had if they did, see [`rules`].
fn marks(saved: &[Rule]) -> String {
    let told = saved.iter().filter(|rule| rule.says_forwarding_was_off());
    let told: BTreeSet<_> = told.filter_map(Rule::owner).collect();
    let all: BTreeSet<_> = saved.iter().filter_map(Rule::owner).collect();
    let lines = all.difference(&told).map(|id| drop_all(&comment(id, true)));
    let lines: String = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    format!("*filter\n{lines}COMMIT\n")
}

/// The words by which a rule is known.
fn comment(id: &str, was_off: bool) -> String {
    let mark = if was_off { FORWARDING_WAS_OFF } else { "" };
    format!("-m comment --comment larder:{id}{mark}")
}

fn drop_all(comment: &str) -> String {
    format!("-A FORWARD {comment} -j DROP\n")
}

/// Removes all rules of `id`, and switches packet forwarding off again if it was when the first of our
/// engines came and nobody else is known to need it.
pub(super) fn remove(id: &InstanceId) -> Result<()> {
    // Who was killed in the middle of this may have left an iptables-restore that is just now at it, and of
    // two that remove a rule one fails.
    remove_once(id).or_else(|error| match error {
        EngineError::ToolFailed { .. } => {
            tracing::debug!(%error, "removing what is left of the rules");
            remove_once(id)
        }
        error => Err(error),
    })
}

fn remove_once(id: &InstanceId) -> Result<()> {
    let Some(rules) = save()? else {
        return nftables::remove(id);
    };
    let (own, others): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.is_of(id));
    if own.is_empty() {
        return Ok(());
    }
    let marked = own.iter().any(|rule| rule.says_forwarding_was_off());
    let needed = others
        .iter()
        .any(|rule| rule.comment().is_some() || rule.line.contains("DOCKER"));
    // Before the rules, which alone say that it was off: whoever dies in between can be followed.
    if marked && !needed {
        write_forwarding(false)?;
    }
    // One transaction a table: with nftables each one that removes something takes 20 ms.
    let mut removal = String::new();
    for table in own.chunk_by(|a, b| a.table == b.table) {
        writeln!(removal, "*{}", table[0].table).expect("writing to a string");
        for rule in table {
            writeln!(removal, "{}", rule.line.replacen("-A ", "-D ", 1))
                .expect("writing to a string");
        }
        removal.push_str("COMMIT\n");
    }
    restore(IPTABLES_RESTORE, &removal)
}

/// A rule as iptables-save prints it: `-A CHAIN …`.
pub(super) struct Rule {
    pub(super) table: String,
    pub(super) line: String,
}

impl Rule {
    /// Our comment, if it is a rule of one of our engines.
    fn comment(&self) -> Option<&str> {
        let mut words = self.line.split(' ').skip_while(|word| *word != "--comment");
        let text = words.nth(1)?.trim_matches('"');
        text.starts_with("larder:").then_some(text)
    }

    fn is_in(&self, table: &str, chain: &str) -> bool {
        self.table == table && self.line.split(' ').nth(1) == Some(chain)
    }

    fn says_forwarding_was_off(&self) -> bool {
        let comment = self.comment();
        comment.is_some_and(|comment| comment.ends_with(FORWARDING_WAS_OFF))
    }

    /// The id of the engine of ours whose rule it is.
    fn owner(&self) -> Option<&str> {
        let own = self.comment()?.strip_prefix("larder:")?;
        Some(own.strip_suffix(FORWARDING_WAS_OFF).unwrap_or(own))
    }

    fn is_of(&self, id: &InstanceId) -> bool {
        self.owner() == Some(id.as_str())
    }
}

/// `None` on a machine without iptables.
fn save() -> Result<Option<Vec<Rule>>> {
    match IPTABLES_SAVE.run(&[]) {
        Ok(text) => Ok(Some(parse(&text))),
        Err(EngineError::ProgramMissing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn parse(text: &str) -> Vec<Rule> {
    let mut table = String::new();
    let mut rules = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if line.starts_with("-A ") {
            rules.push(Rule {
                table: table.clone(),
                line: line.to_owned(),
            });
        }
    }
    rules
}

/// `--noflush`: what is there stays. `--wait`: others change the tables too.
pub(super) fn restore(tool: Tool, rules: &str) -> Result<()> {
    tool.run_with(&["--noflush", "--wait"], rules).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "# Generated\n*nat\n:POSTROUTING ACCEPT [0:0]\n\
        -A POSTROUTING -s 10.213.0.4/30 ! -o lr-ab -m comment --comment \"larder:ab:ip_forward=0\" -j MASQUERADE\n\
        -A POSTROUTING -s 10.213.0.8/30 ! -o lr-abc -m comment --comment larder:abc -j MASQUERADE\nCOMMIT\n\
        *filter\n-A FORWARD -m comment --comment \"not larder:ab\" -j ACCEPT\nCOMMIT\n";

    #[test]
    fn rules_are_known_by_the_whole_id() {
        let rules = parse(SAVED);
        let of = |id: &str| -> Vec<&str> {
            let id = id.parse().expect("an id");
            rules
                .iter()
                .filter(|rule| rule.is_of(&id))
                .map(|rule| rule.table.as_str())
                .collect()
        };
        assert_eq!(rules.len(), 3);
        assert_eq!(of("ab"), ["nat"]);
        assert_eq!(of("abc"), ["nat"]);
        assert!(of("a").is_empty());
    }

    fn made(before: &str, was_off: bool) -> String {
        let (id, pair) = ("ab".parse().expect("an id"), "10.213.0.4/30".parse());
        rules(
            &parse(before),
            &id,
            "lr-ab",
            pair.expect("a network"),
            was_off,
        )
    }

    #[test]
    fn a_host_that_forwarded_nothing_becomes_no_router() {
        assert!(
            made("", true)
                .contains("-A FORWARD -m comment --comment larder:ab:ip_forward=0 -j DROP")
        );
        assert!(!made("", false).contains("DROP"));
    }

    #[test]
    fn engines_that_do_not_know_that_nothing_was_forwarded_are_told() {
        assert_eq!(
            marks(&parse(SAVED)),
            "*filter\n-A FORWARD -m comment --comment larder:abc:ip_forward=0 -j DROP\nCOMMIT\n"
        );
        assert_eq!(marks(&parse("*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n")), "");
    }

    #[test]
    fn what_administrators_forbid_comes_first() {
        let before = "*filter\n-A FORWARD -i eth9 -j DROP\n-A FORWARD -j DOCKER-USER\n\
            -A FORWARD -j DOCKER-FORWARD\n-A DOCKER-USER -d 192.0.2.0/24 -j DROP\nCOMMIT\n";
        assert!(made(before, false).contains("-I FORWARD 3 -i lr-ab"));
        assert!(made("", false).contains("-I FORWARD 1 -i lr-ab"));
    }
}
