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
        match go::to_lower(text).as_str() {
            "bind" => Some(Self::Bind),
            "cache" => Some(Self::Cache),
            "tmpfs" => Some(Self::Tmpfs),
            "secret" => Some(Self::Secret),
            "ssh" => Some(Self::Ssh),
            _ => None,
        }
    }

    fn required(text: &str) -> Result<Self, Fault> {
        Self::parse(text).ok_or_else(|| {
            Fault::new(text, format!("unsupported mount type {text:?}"))
                .hint("use bind, cache, tmpfs, secret or ssh")
        })
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

/// Text after its variables were replaced; `None` if only the base image could tell.
type Known = Option<String>;

/// A mount after its variables were replaced.
#[derive(Debug)]
pub(crate) struct Mount {
    /// Unknown, as a text may be.
    pub kind: Option<MountType>,
    /// No variable is allowed here.
    pub from: String,
    source: Known,
    pub target: Known,
    id: Known,
    sharing: bool,
    ownership: Option<String>,
}

/// The `from` of a mount, which may not hold variables, since stages are ordered by it.
pub(crate) fn source(value: &str) -> Result<Option<String>, Fault> {
    let mut from = None;
    for field in csv_fields(value)? {
        match field.split_once('=') {
            Some((key, text)) if go::to_lower(key) == "from" => {
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
    go::to_lower(key)
}

/// The paths of the build context that bind mounts without a `from` show to the command.
pub(crate) fn context_paths<'a>(
    mounts: impl Iterator<Item = (&'a String, &'a Option<String>)>,
) -> Vec<String> {
    let mut paths = Vec::new();
    for (value, _) in mounts.filter(|(_, from)| from.is_none()) {
        let fields = csv_fields(value).unwrap_or_default();
        let kind = last_value(&fields, &["type"]).unwrap_or("bind");
        if go::to_lower(kind) == "bind" {
            let source = last_value(&fields, &["source", "src"]);
            paths.push(source.unwrap_or(".").to_owned());
        }
    }
    paths
}

/// Whether a mount is a cache, or may be one.
pub(crate) fn may_be_cache(value: &str) -> bool {
    let fields = csv_fields(value).unwrap_or_default();
    let kind = last_value(&fields, &["type"]).unwrap_or_default();
    kind.contains('$') || MountType::parse(kind) == Some(MountType::Cache)
}

/// The value of a field that goes by one of these keys; of several the last counts.
fn last_value<'a>(fields: &'a [String], keys: &[&str]) -> Option<&'a str> {
    let mut pairs = fields
        .iter()
        .rev()
        .filter_map(|field| field.split_once('='));
    let found = pairs.find(|(key, _)| keys.contains(&go::to_lower(key).as_str()));
    found.map(|(_, value)| value)
}

/// Reads a mount whole; `expand` replaces the variables of each value. What is wrong with one field is told
/// also where another one is not known.
pub(crate) fn parse(
    value: &str,
    expand: impl Fn(&str) -> Result<Known, Fault>,
) -> Result<Mount, Fault> {
    let mut mount = Mount {
        kind: Some(MountType::default()),
        from: String::new(),
        source: Some(String::new()),
        target: Some(String::new()),
        id: Some(String::new()),
        sharing: false,
        ownership: None,
    };
    for field in csv_fields(value)? {
        match field.split_once('=') {
            None => mount.bare(&field)?,
            Some((key, text)) => {
                let text = expand(text)?;
                mount.set(&go::to_lower(key), text, &field)?;
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
        match go::to_lower(field).as_str() {
            "readonly" | "ro" | "readwrite" | "rw" => Ok(()),
            "required" => self.only(&[MountType::Secret, MountType::Ssh], "required"),
            _ => {
                let message = format!("invalid field '{field}' must be a key=value pair");
                Err(Fault::new(field, message).hint(format!("write {field}=VALUE")))
            }
        }
    }

    fn set(&mut self, key: &str, value: Known, field: &str) -> Result<(), Fault> {
        match key {
            "type" => self.kind = value.as_deref().map(MountType::required).transpose()?,
            "from" => self.from = value.unwrap_or_default(),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" | "readwrite" | "rw" => require(is_bool, key, &value)?,
            "required" => {
                self.only(&[MountType::Secret, MountType::Ssh], key)?;
                require(is_bool, key, &value)?;
            }
            "size" => {
                self.only(&[MountType::Tmpfs], key)?;
                require(|text| go::ram_bytes(text).is_some(), key, &value)?;
            }
            "id" => self.id = value,
            "sharing" => {
                value.as_deref().map_or(Ok(()), check_sharing)?;
                self.sharing = true;
            }
            "mode" | "uid" | "gid" => {
                let radix = if key == "mode" { 8 } else { 10 };
                require(|text| scalar::unsigned(text, radix).is_some(), key, &value)?;
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
        let Some(kind) = self.kind.filter(|kind| !kinds.contains(kind)) else {
            return Ok(());
        };
        let kind = kind.as_str();
        let message = format!("unexpected key '{key}' for mount type '{kind}'");
        let known: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let hint = format!(
            "it belongs to type={}, given before it",
            known.join(" or type=")
        );
        Err(Fault::new(key, message).hint(hint))
    }

    /// Why the fields do not fit together, if they surely do not.
    fn contradiction(&self) -> Option<String> {
        use MountType::{Bind, Cache, Secret, Ssh, Tmpfs};
        let kind = self.kind?;
        let name = kind.as_str();
        if let (Some(key), Bind | Tmpfs) = (&self.ownership, kind) {
            return Some(format!("{key} not allowed for {name:?} type mounts"));
        }
        if kind == Secret {
            if !self.from.is_empty() {
                return Some("secret mount should not have a from".to_owned());
            }
            if [&self.source, &self.target, &self.id]
                .into_iter()
                .all(is_empty)
            {
                return Some("invalid secret mount. one of source, target required".to_owned());
            }
            if is_given(&self.source) && is_given(&self.id) {
                return Some("both source and id can't be set".to_owned());
            }
        }
        if self.sharing && kind != Cache {
            return Some(format!("invalid cache sharing set for {name} mount"));
        }
        let refused = kind == Ssh && is_given(&self.source);
        refused.then(|| "ssh does not support source".to_owned())
    }
}

fn is_empty(value: &Known) -> bool {
    value.as_deref() == Some("")
}

fn is_given(value: &Known) -> bool {
    value.as_deref().is_some_and(|value| !value.is_empty())
}

fn check_sharing(value: &str) -> Result<(), Fault> {
    if ["shared", "private", "locked"].contains(&go::to_lower(value).as_str()) {
        return Ok(());
    }
    let message = format!("unsupported sharing value {value:?}");
    Err(Fault::new(value, message).hint("use shared, private or locked"))
}

/// Refuses a value that is known and not as it should be.
fn require(is_valid: impl Fn(&str) -> bool, key: &str, value: &Known) -> Result<(), Fault> {
    let Some(value) = value.as_deref().filter(|value| !is_valid(value)) else {
        return Ok(());
    };
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
            Some((key, text)) => (go::to_lower(key), Some(text)),
            None => (go::to_lower(&field), None),
        };
        match (key.as_str(), text) {
            ("required", None) => {}
            ("required", Some(text)) => require(is_bool, &key, &Some(text.to_owned()))?,
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
