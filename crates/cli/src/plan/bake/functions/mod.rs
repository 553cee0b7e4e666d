//! The functions of the language.
//!
//! Those of buildx `bake/hclparser/stdlib.go`, as go-cty `cty/function/stdlib` defines them. What
//! depends on the clock or on chance is refused, because a key may not; so is what no bake file seems
//! to use. Whoever lends memory to a file asks first: results are bounded.

mod format;
mod lists;
mod numbers;
mod texts;

pub use numbers::{divide, modulo};

use super::CURE;
use super::value::Value;

/// Elements that one call may make.
const ELEMENTS_MAX: usize = 100_000;

/// Calls a function; nothing if there is none of this name.
pub fn call(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    match name {
        "timestamp" | "uuidv4" | "bcrypt" => Some(Err(format!(
            "its result is another one at each run, and what a build depends on must not; \
             declare a variable and set it in the environment, or {CURE}"
        ))),
        "byteslen" | "bytesslice" | "cidrhost" | "cidrnetmask" | "cidrsubnet" | "cidrsubnets"
        | "convert" | "csvdecode" | "formatdate" | "log" | "md5" | "rsadecrypt" | "timeadd"
        | "uuidv5" => Some(Err(format!("it is not understood here; {CURE}"))),
        _ => texts::call(name, arguments)
            .or_else(|| lists::call(name, arguments))
            .or_else(|| numbers::call(name, arguments)),
    }
}

/// Exactly so many arguments.
fn take<const N: usize>(arguments: &[Value]) -> Result<&[Value; N], String> {
    let given = arguments.len();
    arguments
        .try_into()
        .map_err(|_| format!("it takes {N} arguments, {given} are given"))
}

/// A list, or the values of a map, as cty takes either for a collection.
fn elements(value: &Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Map(values) => Ok(values.values().cloned().collect()),
        other => other.clone().list(),
    }
}

fn bounded(count: usize) -> Result<(), String> {
    if count > ELEMENTS_MAX {
        return Err(format!("it would make more than {ELEMENTS_MAX} elements"));
    }
    Ok(())
}
