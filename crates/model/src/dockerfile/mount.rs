//! `RUN --mount=…` and `--device=…` (`BuildKit`'s `commands_runmount.go`, `commands_rundevice.go`).

use super::error::Fault;
use super::scalar;
use crate::go;

/// The type of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum MountType {
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
pub(super) struct Mount {
    pub kind: MountType,
    pub from: String,
    pub source: String,
    pub target: String,
    id: String,
    sharing: bool,
    ownership: Option<&'static str>,
}

/// The `from` of a mount, which may not hold variables, since stages are ordered by it.
pub(super) fn source(value: &str) -> Result<Option<String>, Fault> {
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
pub(super) fn canonical(value: &str) -> String {
    let mut fields = csv_fields(value).unwrap_or_default();
    let key = |field: &String| match field.split_once('=') {
        Some((key, _)) => key.to_lowercase(),
        None => field.to_lowercase(),
    };
    for field in fields.iter_mut().filter(|field| key(field) == "from") {
        field.truncate("from".len());
    }
    fields.sort_by_key(key);
    fields.join(",")
}

/// The paths of the build context that bind mounts without a `from` show to the command.
pub(super) fn context_paths<'a>(
    mounts: impl Iterator<Item = (&'a String, &'a Option<String>)>,
) -> Vec<String> {
    let mut paths = Vec::new();
    for (value, _) in mounts.filter(|(_, from)| from.is_none()) {
        let fields = csv_fields(value).unwrap_or_default();
        let get = |keys: &[&str]| {
            let mut pairs = fields
                .iter()
                .rev()
                .filter_map(|field| field.split_once('='));
            let found = pairs.find(|(key, _)| keys.contains(&key.to_lowercase().as_str()));
            found.map(|(_, text)| text)
        };
        if get(&["type"])
            .unwrap_or("bind")
            .eq_ignore_ascii_case("bind")
        {
            paths.push(get(&["source", "src"]).unwrap_or(".").to_owned());
        }
    }
    paths
}

/// Reads a mount whole; `expand` replaces the variables of each value.
pub(super) fn parse(
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
    mount.check(value)?;
    Ok(mount)
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
        let invalid = || Fault::new(value, format!("invalid value for {key}: {value}"));
        let number = |radix| scalar::unsigned(value, radix).ok_or_else(invalid);
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
            "readonly" | "ro" | "readwrite" | "rw" => {
                go::parse_bool(value).ok_or_else(invalid)?;
            }
            "required" => {
                self.only(&[MountType::Secret, MountType::Ssh], key)?;
                go::parse_bool(value).ok_or_else(invalid)?;
            }
            "size" => {
                self.only(&[MountType::Tmpfs], key)?;
                scalar::is_size(value).then_some(()).ok_or_else(invalid)?;
            }
            "id" => value.clone_into(&mut self.id),
            "sharing" => match value.to_lowercase().as_str() {
                "shared" | "private" | "locked" => self.sharing = true,
                _ => {
                    let message = format!("unsupported sharing value {value:?}");
                    return Err(Fault::new(value, message).hint("use shared, private or locked"));
                }
            },
            "mode" => {
                number(8)?;
                self.ownership = self.ownership.or(Some("mode"));
            }
            "uid" => {
                number(10)?;
                self.ownership = self.ownership.or(Some("uid"));
            }
            "gid" => {
                number(10)?;
                self.ownership = self.ownership.or(Some("gid"));
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

    fn check(&self, value: &str) -> Result<(), Fault> {
        use MountType::{Bind, Cache, Secret, Tmpfs};
        let kind = self.kind.as_str();
        let refuse = |message: String| Err(Fault::new(value, message));
        match self.ownership {
            Some(key) if matches!(self.kind, Bind | Tmpfs) => {
                return refuse(format!("{key} not allowed for {kind:?} type mounts"));
            }
            _ => {}
        }
        if self.kind == Secret {
            let named = [&self.source, &self.target, &self.id];
            if !self.from.is_empty() {
                return refuse("secret mount should not have a from".to_owned());
            }
            if named.iter().all(|text| text.is_empty()) {
                return refuse("invalid secret mount. one of source, target required".to_owned());
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return refuse("both source and id can't be set".to_owned());
            }
        }
        if self.sharing && self.kind != Cache {
            return refuse(format!("invalid cache sharing set for {kind} mount"));
        }
        if self.kind == MountType::Ssh && !self.source.is_empty() {
            return refuse("ssh does not support source".to_owned());
        }
        Ok(())
    }
}

/// Checks a `--device` value.
pub(super) fn check_device(value: &str) -> Result<(), Fault> {
    let mut name = String::new();
    for field in csv_fields(value)? {
        let (key, text) = match field.split_once('=') {
            Some((key, text)) => (key.to_lowercase(), Some(text)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), text) {
            ("required", None) => {}
            ("required", Some(text)) if go::parse_bool(text).is_some() => {}
            ("required", Some(text)) => {
                return Err(Fault::new(
                    text,
                    format!("invalid value for required: {text}"),
                ));
            }
            ("name", Some(text)) if name.is_empty() => text.clone_into(&mut name),
            ("name", Some(_)) => {
                return Err(Fault::new(
                    field,
                    format!("device name already set to {name}"),
                ));
            }
            _ if name.is_empty() => name = field,
            (_, None) => {
                let message = format!("invalid field '{field}' must be a key=value pair");
                return Err(Fault::new(field, message));
            }
            (key, Some(_)) => {
                return Err(Fault::new(
                    field.as_str(),
                    format!("unexpected key '{key}' in '{field}'"),
                ));
            }
        }
    }
    Ok(())
}

/// The fields of one line of comma-separated values (`tonistiigi/go-csvvalue`).
fn csv_fields(line: &str) -> Result<Vec<String>, Fault> {
    let fault = |reason: &str| Fault::new(line, format!("failed to parse csv value: {reason}"));
    if line.is_empty() {
        return Err(fault("it is empty"));
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, tail) = match rest.split_once(',') {
                Some((field, tail)) => (field, Some(tail)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err(fault("bare \" in a field"));
            }
            fields.push(field.to_owned());
            match tail {
                Some(tail) => rest = tail,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut open = quoted;
        loop {
            let (part, tail) = open
                .split_once('"')
                .ok_or_else(|| fault("a quoted field is not closed"))?;
            field.push_str(part);
            match tail.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    open = more;
                }
                None if tail.is_empty() => {
                    fields.push(field);
                    return Ok(fields);
                }
                None => {
                    rest = tail
                        .strip_prefix(',')
                        .ok_or_else(|| fault("text after a quoted field"))?;
                    break;
                }
            }
        }
        fields.push(field);
    }
}
