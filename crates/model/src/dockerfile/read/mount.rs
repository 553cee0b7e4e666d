//! `RUN --mount=…` and `--device=…` (`BuildKit`'s `commands_runmount.go`, `commands_rundevice.go`).

use super::scalar;
use crate::dockerfile::error::Fault;
use crate::go;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MountType {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl MountType {
    fn parse(text: &str) -> Option<Self> {
        match text.to_lowercase().as_str() {
            "bind" => Some(Self::Bind),
            "cache" => Some(Self::Cache),
            "tmpfs" => Some(Self::Tmpfs),
            "secret" => Some(Self::Secret),
            "ssh" => Some(Self::Ssh),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// A mount after its variables were replaced.
#[derive(Debug, Default)]
pub(crate) struct Mount {
    pub kind: MountType,
    pub from: String,
    pub source: String,
    pub target: String,
    id: String,
    sharing: bool,
    ownership: Option<String>,
}

/// The `from` of a mount, which may not hold variables, since stages are ordered by it.
pub(crate) fn source(value: &str) -> Result<Option<String>, Fault> {
    let mut from = None;
    for field in csv_fields(value)? {
        match field.split_once('=') {
            Some((key, text)) if key.eq_ignore_ascii_case("from") => {
                if text.find('$').is_some_and(|at| at + 1 != text.len()) {
                    let message =
                        "'from' doesn't support variable expansion, define alias stage instead";
                    return Err(Fault::new(text, message)
                        .hint("add FROM $VARIABLE AS name, then from=name"));
                }
                from = Some(text.to_owned());
            }
            _ => {}
        }
    }
    Ok(from.filter(|from| !from.is_empty()))
}

/// A mount's fields, sorted: their order does not matter, but for repeated ones. What it mounts from
/// stands elsewhere; here it only says that it does.
pub(crate) fn canonical(value: &str) -> String {
    let mut fields = csv_fields(value).unwrap_or_default();
    for field in &mut fields {
        if key_of(field) == "from" {
            field.truncate("from".len());
        }
    }
    fields.sort_by_key(|field| key_of(field));
    fields.join(",")
}

fn key_of(field: &str) -> String {
    let key = field.split_once('=').map_or(field, |(key, _)| key);
    key.to_lowercase()
}

/// The paths of the build context that bind mounts without a `from` show to the command.
pub(crate) fn context_paths<'a>(
    mounts: impl Iterator<Item = (&'a String, &'a Option<String>)>,
) -> Vec<String> {
    let mut paths = Vec::new();
    for (value, _) in mounts.filter(|(_, from)| from.is_none()) {
        let fields = csv_fields(value).unwrap_or_default();
        let kind = last_value(&fields, &["type"]).unwrap_or("bind");
        if kind.eq_ignore_ascii_case("bind") {
            let source = last_value(&fields, &["source", "src"]);
            paths.push(source.unwrap_or(".").to_owned());
        }
    }
    paths
}

/// The value of a field that goes by one of these keys; of several the last counts.
fn last_value<'a>(fields: &'a [String], keys: &[&str]) -> Option<&'a str> {
    let mut pairs = fields
        .iter()
        .rev()
        .filter_map(|field| field.split_once('='));
    let found = pairs.find(|(key, _)| keys.contains(&key.to_lowercase().as_str()));
    found.map(|(_, value)| value)
}

/// Reads a mount whole; `expand` replaces the variables of each value.
pub(crate) fn parse(
    value: &str,
    mut expand: impl FnMut(&str) -> Result<String, Fault>,
) -> Result<Mount, Fault> {
    let mut mount = Mount::default();
    for field in csv_fields(value)? {
        match field.split_once('=') {
            None => mount.bare(&field)?,
            Some((key, text)) => {
                let text = expand(text)?;
                mount.set(&key.to_lowercase(), &text, &field)?;
            }
        }
    }
    match mount.contradiction() {
        Some(message) => Err(Fault::new(value, message)),
        None => Ok(mount),
    }
}

impl Mount {
    fn bare(&self, field: &str) -> Result<(), Fault> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" | "readwrite" | "rw" => Ok(()),
            "required" => self.only(&[MountType::Secret, MountType::Ssh], "required"),
            _ => {
                let message = format!("invalid field '{field}' must be a key=value pair");
                Err(Fault::new(field, message).hint(format!("write {field}=VALUE")))
            }
        }
    }

    fn set(&mut self, key: &str, value: &str, field: &str) -> Result<(), Fault> {
        match key {
            "type" => {
                self.kind = MountType::parse(value).ok_or_else(|| {
                    Fault::new(value, format!("unsupported mount type {value:?}"))
                        .hint("use bind, cache, tmpfs, secret or ssh")
                })?;
            }
            "from" => value.clone_into(&mut self.from),
            "source" | "src" => value.clone_into(&mut self.source),
            "target" | "dst" | "destination" => value.clone_into(&mut self.target),
            "readonly" | "ro" | "readwrite" | "rw" => require(is_bool(value), key, value)?,
            "required" => {
                self.only(&[MountType::Secret, MountType::Ssh], key)?;
                require(is_bool(value), key, value)?;
            }
            "size" => {
                self.only(&[MountType::Tmpfs], key)?;
                require(scalar::is_size(value), key, value)?;
            }
            "id" => value.clone_into(&mut self.id),
            "sharing" => match value.to_lowercase().as_str() {
                "shared" | "private" | "locked" => self.sharing = true,
                _ => {
                    let message = format!("unsupported sharing value {value:?}");
                    return Err(Fault::new(value, message).hint("use shared, private or locked"));
                }
            },
            "mode" | "uid" | "gid" => {
                let radix = if key == "mode" { 8 } else { 10 };
                require(scalar::unsigned(value, radix).is_some(), key, value)?;
                self.ownership.get_or_insert_with(|| key.to_owned());
            }
            "env" => {}
            _ => {
                let message = format!("unexpected key '{key}' in '{field}'");
                return Err(Fault::new(field, message));
            }
        }
        Ok(())
    }

    /// Refuses `key` unless the mount is of one of these types by now: order matters here.
    fn only(&self, kinds: &[MountType], key: &str) -> Result<(), Fault> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        let kind = self.kind.as_str();
        let message = format!("unexpected key '{key}' for mount type '{kind}'");
        let known: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let hint = format!(
            "it belongs to type={}, given before it",
            known.join(" or type=")
        );
        Err(Fault::new(key, message).hint(hint))
    }

    /// Why the fields do not fit together, if they do not.
    fn contradiction(&self) -> Option<String> {
        use MountType::{Bind, Cache, Secret, Ssh, Tmpfs};
        let kind = self.kind.as_str();
        if let (Some(key), Bind | Tmpfs) = (&self.ownership, self.kind) {
            return Some(format!("{key} not allowed for {kind:?} type mounts"));
        }
        if self.kind == Secret {
            if !self.from.is_empty() {
                return Some("secret mount should not have a from".to_owned());
            }
            if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return Some("invalid secret mount. one of source, target required".to_owned());
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return Some("both source and id can't be set".to_owned());
            }
        }
        if self.sharing && self.kind != Cache {
            return Some(format!("invalid cache sharing set for {kind} mount"));
        }
        let refused = self.kind == Ssh && !self.source.is_empty();
        refused.then(|| "ssh does not support source".to_owned())
    }
}

fn require(valid: bool, key: &str, value: &str) -> Result<(), Fault> {
    if valid {
        return Ok(());
    }
    let message = format!("invalid value for {key}: {value}");
    Err(Fault::new(value, message))
}

fn is_bool(value: &str) -> bool {
    go::parse_bool(value).is_some()
}

pub(crate) fn check_device(value: &str) -> Result<(), Fault> {
    let mut name = String::new();
    for field in csv_fields(value)? {
        let (key, text) = match field.split_once('=') {
            Some((key, text)) => (key.to_lowercase(), Some(text)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), text) {
            ("required", None) => {}
            ("required", Some(text)) => require(is_bool(text), &key, text)?,
            ("name", Some(text)) if name.is_empty() => text.clone_into(&mut name),
            ("name", Some(_)) => {
                let message = format!("device name already set to {name}");
                return Err(Fault::new(field, message));
            }
            _ if name.is_empty() => name = field,
            (_, None) => {
                let message = format!("invalid field '{field}' must be a key=value pair");
                return Err(Fault::new(field, message));
            }
            (key, Some(_)) => {
                let message = format!("unexpected key '{key}' in '{field}'");
                return Err(Fault::new(field, message));
            }
        }
    }
    Ok(())
}

/// The fields of one line of comma-separated values (`tonistiigi/go-csvvalue`).
fn csv_fields(line: &str) -> Result<Vec<String>, Fault> {
    split_csv(line).map_err(|reason| {
        let message = format!("failed to parse csv value: {reason}");
        Fault::new(line, message)
    })
}

fn split_csv(line: &str) -> Result<Vec<String>, &'static str> {
    if line.is_empty() {
        return Err("it is empty");
    }
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (field, tail) = match text.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(text)?,
        };
        fields.push(field);
        rest = tail;
    }
    Ok(fields)
}

/// A field without quotes, and what follows its comma.
fn plain_field(text: &str) -> Result<(String, Option<&str>), &'static str> {
    let (field, tail) = match text.split_once(',') {
        Some((field, tail)) => (field, Some(tail)),
        None => (text, None),
    };
    if field.contains('"') {
        return Err("bare \" in a field");
    }
    Ok((field.to_owned(), tail))
}

/// A field whose opening quote was read, and what follows its comma. Two quotes are one.
fn quoted_field(text: &str) -> Result<(String, Option<&str>), &'static str> {
    let mut field = String::new();
    let mut open = text;
    loop {
        let (part, tail) = open.split_once('"').ok_or("a quoted field is not closed")?;
        field.push_str(part);
        if let Some(more) = tail.strip_prefix('"') {
            field.push('"');
            open = more;
        } else if tail.is_empty() {
            return Ok((field, None));
        } else {
            let rest = tail.strip_prefix(',');
            return Ok((field, Some(rest.ok_or("text after a quoted field")?)));
        }
    }
}
