//! Functions of lists and maps (go-cty `collection.go`, `sequence.go`, `set.go`). A set is a list
//! whose elements are in order and once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::super::value::{self, Value};
use super::{bounded, elements, take};

type Answer = Result<Value, String>;

/// go-cty's own bound for `range`.
const RANGE_MAX: usize = 1_024;

/// Calls one of them.
pub fn call(name: &str, arguments: &[Value]) -> Option<Answer> {
    Some(match name {
        "chunklist" => chunk_list(arguments),
        "coalesce" => coalesce(arguments),
        "coalescelist" => coalesce_list(arguments),
        "compact" => compact(arguments),
        "concat" => concat(arguments),
        "contains" | "sethaselement" => contains(arguments),
        "distinct" => take(arguments).and_then(|[list]| distinct(list.clone().list()?)),
        "element" => element(arguments),
        "flatten" => take(arguments).and_then(|[list]| flatten(list)),
        "hasindex" => take(arguments).map(|[list, at]| Value::Bool(index(list, at).is_ok())),
        "index" => take(arguments).and_then(|[list, at]| index(list, at)),
        "indexof" => index_of(arguments),
        "keys" => take(arguments).and_then(|[map]| {
            let keys = map.clone().map()?.into_keys();
            Ok(Value::List(keys.map(Value::Text).collect()))
        }),
        "length" => take(arguments).and_then(|[list]| Ok(Value::from(elements(list)?.len()))),
        "lookup" => lookup(arguments),
        "merge" => merge(arguments),
        "range" => range(arguments),
        "reverselist" => take(arguments).and_then(|[list]| {
            Ok(Value::List(
                list.clone().list()?.into_iter().rev().collect(),
            ))
        }),
        "setproduct" => set_product(arguments),
        "setunion" | "setintersection" | "setsubtract" | "setsymmetricdifference" => {
            sets(name, arguments)
        }
        "slice" => slice(arguments),
        "sort" => sort(arguments),
        "values" => take(arguments)
            .and_then(|[map]| Ok(Value::List(map.clone().map()?.into_values().collect()))),
        "zipmap" => zip_map(arguments),
        _ => return None,
    })
}

fn chunk_list(arguments: &[Value]) -> Answer {
    let [list, size] = take(arguments)?;
    let (list, size) = (list.clone().list()?, size.count()?);
    if list.is_empty() {
        return Ok(Value::List(list));
    }
    let size = if size == 0 { list.len() } else { size };
    Ok(Value::List(
        list.chunks(size)
            .map(|part| Value::List(part.to_vec()))
            .collect(),
    ))
}

fn coalesce(arguments: &[Value]) -> Answer {
    let found = arguments.iter().find(|value| **value != Value::Null);
    let found = found.ok_or_else(|| "no argument is anything but null".to_owned())?;
    arguments.iter().try_fold(found.clone(), Value::alike)
}

fn coalesce_list(arguments: &[Value]) -> Answer {
    for value in arguments {
        if *value != Value::Null && !elements(value)?.is_empty() {
            return Ok(value.clone());
        }
    }
    Err("no argument is anything but empty".to_owned())
}

fn compact(arguments: &[Value]) -> Answer {
    let [list] = take(arguments)?;
    let empty = |value: &Value| *value == Value::Null || *value == Value::Text(String::new());
    let list = list.clone().list()?;
    Ok(Value::List(
        list.into_iter().filter(|value| !empty(value)).collect(),
    ))
}

fn concat(arguments: &[Value]) -> Answer {
    let lists = arguments.iter().map(|list| list.clone().list());
    Ok(Value::List(lists.collect::<Result<Vec<_>, _>>()?.concat()))
}

fn contains(arguments: &[Value]) -> Answer {
    let [list, value] = take(arguments)?;
    Ok(Value::Bool(list.clone().list()?.contains(value)))
}

/// Each value once, where it first was.
fn distinct(list: Vec<Value>) -> Answer {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for value in list {
        if seen.insert(value.json()?.to_string()) {
            kept.push(value);
        }
    }
    Ok(Value::List(kept))
}

fn element(arguments: &[Value]) -> Answer {
    let [list, at] = take(arguments)?;
    let (mut list, at) = (list.clone().list()?, at.count()?);
    if list.is_empty() {
        return Err("the list is empty".to_owned());
    }
    let at = at % list.len();
    Ok(list.swap_remove(at))
}

fn flatten(value: &Value) -> Answer {
    let mut flat = Vec::new();
    for value in value.clone().list()? {
        match flatten(&value) {
            Ok(Value::List(inner)) => flat.extend(inner),
            _ => flat.push(value),
        }
    }
    Ok(Value::List(flat))
}

fn index(value: &Value, at: &Value) -> Answer {
    value::element(value.clone(), at)
}

fn index_of(arguments: &[Value]) -> Answer {
    let [list, value] = take(arguments)?;
    let at = list.clone().list()?.iter().position(|one| one == value);
    let at = at.ok_or_else(|| "the list does not hold the value".to_owned())?;
    Ok(Value::from(at))
}

fn lookup(arguments: &[Value]) -> Answer {
    let [map, key, default] = take(arguments)?;
    let found = map.clone().map()?.remove(&key.text()?);
    Ok(found.unwrap_or_else(|| default.clone()))
}

fn merge(arguments: &[Value]) -> Answer {
    let mut merged = BTreeMap::new();
    for map in arguments.iter().filter(|map| **map != Value::Null) {
        merged.extend(map.clone().map()?);
    }
    Ok(Value::Map(merged))
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`
fn range(arguments: &[Value]) -> Answer {
    let numbers: Vec<_> = arguments
        .iter()
        .map(Value::number)
        .collect::<Result<_, _>>()?;
    let down = |start: f64, end: f64| if end < start { -1.0 } else { 1.0 };
    let (start, end, step) = match numbers[..] {
        [end] => (0.0, end, down(0.0, end)),
        [start, end] => (start, end, down(start, end)),
        [start, end, step] => (start, end, step),
        _ => return Err("it takes one, two or three numbers".to_owned()),
    };
    let away = (start < end && step < 0.0) || (start > end && step > 0.0);
    if step == 0.0 || away {
        return Err(format!("steps of {step} do not lead from {start} to {end}"));
    }
    let mut values = Vec::new();
    let mut at = start;
    while if step > 0.0 { at < end } else { at > end } {
        if values.len() == RANGE_MAX {
            return Err(format!("it would make more than {RANGE_MAX} numbers"));
        }
        values.push(Value::Number(at));
        at += step;
    }
    Ok(Value::List(values))
}

fn set_product(arguments: &[Value]) -> Answer {
    if arguments.len() < 2 {
        return Err("it takes two lists or more".to_owned());
    }
    let mut product: Vec<Vec<Value>> = vec![Vec::new()];
    for list in arguments {
        let list = list.clone().list()?;
        bounded(product.len() * list.len() * arguments.len())?;
        let with = |row: &Vec<Value>| {
            let each = list
                .iter()
                .map(|value| [row.as_slice(), std::slice::from_ref(value)].concat());
            each.collect::<Vec<_>>()
        };
        product = product.iter().flat_map(with).collect();
    }
    Ok(Value::List(product.into_iter().map(Value::List).collect()))
}

/// A list's values by what they are, so that each is there once.
fn set(list: &Value) -> Result<BTreeMap<String, Value>, String> {
    let values = list.clone().list()?.into_iter();
    values
        .map(|value| Ok((value.json()?.to_string(), value)))
        .collect()
}

fn sets(name: &str, arguments: &[Value]) -> Answer {
    let [first, others @ ..] = arguments else {
        return Err("it takes a list or more".to_owned());
    };
    if others.len() != 1 && name == "setsubtract" {
        return Err("it takes two lists".to_owned());
    }
    let mut kept = set(first)?;
    for list in others {
        let list = set(list)?;
        match name {
            "setunion" => kept.extend(list),
            "setintersection" => kept.retain(|key, _| list.contains_key(key)),
            "setsubtract" => kept.retain(|key, _| !list.contains_key(key)),
            _ => {
                for (key, value) in list {
                    if kept.remove(&key).is_none() {
                        kept.insert(key, value);
                    }
                }
            }
        }
    }
    let mut kept: Vec<_> = kept.into_values().collect();
    // The order in which go-cty walks a set of texts or numbers (`set_internals.go` `Less`).
    kept.sort_by(|a, b| match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    });
    Ok(Value::List(kept))
}

fn slice(arguments: &[Value]) -> Answer {
    let [list, start, end] = take(arguments)?;
    let (list, start, end) = (list.clone().list()?, start.count()?, end.count()?);
    let part = list.get(start..end);
    let part = part.ok_or_else(|| {
        format!(
            "{start} to {end} is no part of a list of {} elements",
            list.len()
        )
    })?;
    Ok(Value::List(part.to_vec()))
}

fn sort(arguments: &[Value]) -> Answer {
    let [list] = take(arguments)?;
    let mut texts = list.clone().texts()?;
    texts.sort();
    Ok(Value::List(texts.into_iter().map(Value::Text).collect()))
}

fn zip_map(arguments: &[Value]) -> Answer {
    let [keys, values] = take(arguments)?;
    let (keys, values) = (keys.clone().texts()?, values.clone().list()?);
    if keys.len() != values.len() {
        return Err(format!(
            "{} keys and {} values are given",
            keys.len(),
            values.len()
        ));
    }
    Ok(Value::Map(keys.into_iter().zip(values).collect()))
}
