//! The attributes of targets and groups, and what kind of value each is.

use super::value::Value;

/// Attributes of a target that are texts.
pub const TEXTS: [&str; 8] = [
    "context",
    "dockerfile",
    "dockerfile-inline",
    "target",
    "network",
    "shm-size",
    "call",
    "description",
];
/// Those that are lists of texts. `targets` is a group's.
pub const LISTS: [&str; 9] = [
    "inherits",
    "platforms",
    "tags",
    "annotations",
    "no-cache-filter",
    "ulimits",
    "entitlements",
    "targets",
    "ssh",
];
/// Those that are maps of texts.
pub const MAPS: [&str; 4] = ["args", "contexts", "labels", "extra-hosts"];
/// The others, which change nothing in a plan or are read by name.
pub const OTHERS: [&str; 10] = [
    "name",
    "matrix",
    "attest",
    "cache-from",
    "cache-to",
    "secret",
    "output",
    "pull",
    "no-cache",
    "policy",
];

/// A value as the kind of an attribute (gohcl `decode.go`).
pub fn typed(name: &str, value: Value) -> Result<Value, String> {
    if TEXTS.contains(&name) {
        return Ok(Value::Text(value.text()?));
    }
    if LISTS.contains(&name) {
        let texts = value.texts()?;
        return Ok(Value::List(texts.into_iter().map(Value::Text).collect()));
    }
    if MAPS.contains(&name) {
        let entries = value.map()?.into_iter().map(|(key, value)| match value {
            Value::Null => Ok((key, Value::Null)),
            value => match value.text() {
                Ok(text) => Ok((key, Value::Text(text))),
                Err(why) => Err(format!("{key:?}: {why}")),
            },
        });
        return Ok(Value::Map(entries.collect::<Result<_, _>>()?));
    }
    Ok(value)
}
