//! `--flag` and `--flag=value` words of instructions (`BuildKit`'s `instructions/bflag.go`).

use crate::dockerfile::error::Fault;
use crate::go;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, `true` or `false`.
    Switch,
    /// One value, once.
    Text,
    /// One value, any number of times.
    Texts,
}

/// The flags that an instruction knows.
pub(super) type Known = &'static [(&'static str, Kind)];

/// The flags given, checked.
#[derive(Debug, Default)]
pub(super) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    pub(super) fn parse(words: &[String], known: Known) -> Result<Self, Fault> {
        let mut flags = Self::default();
        for word in words {
            let (dashed, value) = match word.split_once('=') {
                Some((dashed, value)) => (dashed, Some(value)),
                None => (word.as_str(), None),
            };
            let exact = dashed.strip_prefix("--").unwrap_or(dashed);
            let Some(&(name, kind)) = known.iter().find(|(name, _)| *name == exact) else {
                return Err(unknown(dashed, known));
            };
            if kind != Kind::Texts && flags.value(name).is_some() {
                let message = format!("duplicate flag specified: {dashed}");
                return Err(Fault::new(word, message).hint("keep one of them"));
            }
            flags.0.push((name, checked(kind, dashed, value)?));
        }
        Ok(flags)
    }

    /// The value of a flag that is given at most once.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a flag, or nothing if it is not given or empty.
    pub(super) fn non_empty(&self, name: &str) -> Option<String> {
        let value = self.value(name).filter(|value| !value.is_empty());
        value.map(str::to_owned)
    }

    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }

    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let given = self.0.iter().filter(|(known, _)| *known == name);
        given.map(|(_, value)| value.clone()).collect()
    }
}

fn checked(kind: Kind, dashed: &str, value: Option<&str>) -> Result<String, Fault> {
    if kind != Kind::Switch {
        let value = value.ok_or_else(|| missing_value(dashed))?;
        return Ok(value.to_owned());
    }
    match value.map(go::to_lower).as_deref() {
        None | Some("true") => Ok("true".to_owned()),
        Some("false") => Ok("false".to_owned()),
        Some("") => Err(missing_value(dashed)),
        Some(_) => {
            let value = value.unwrap_or_default();
            let message = format!("expecting boolean value for flag {dashed}, not: {value}");
            Err(Fault::new(value, message).hint("write true or false"))
        }
    }
}

fn missing_value(dashed: &str) -> Fault {
    Fault::new(dashed, format!("missing a value on flag: {dashed}"))
        .hint(format!("write {dashed}=VALUE"))
}

fn unknown(dashed: &str, known: Known) -> Fault {
    let fault = Fault::new(dashed, format!("unknown flag: {dashed}"));
    let names: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
    if names.is_empty() {
        fault.hint("this instruction takes no flags")
    } else {
        fault.hint(format!("known here: {}", names.join(", ")))
    }
}
