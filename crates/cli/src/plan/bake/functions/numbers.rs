//! Functions of numbers and truth values (go-cty `number.go`, `bool.go`, `general.go`).

use super::super::value::{Value, calculated};
use super::take;

type Answer = Result<Value, String>;

/// Calls one of them.
pub fn call(name: &str, arguments: &[Value]) -> Option<Answer> {
    Some(match name {
        "absolute" => one(arguments, f64::abs),
        "negate" => one(arguments, |a| -a),
        "ceil" => one(arguments, f64::ceil),
        "floor" => one(arguments, f64::floor),
        "int" => one(arguments, f64::trunc),
        "signum" => one(arguments, |a| if a == 0.0 { 0.0 } else { a.signum() }),
        "add" => two(arguments, |a, b| calculated(a + b)),
        "subtract" => two(arguments, |a, b| calculated(a - b)),
        "multiply" => two(arguments, |a, b| calculated(a * b)),
        "divide" => two(arguments, divide),
        "modulo" => two(arguments, modulo),
        "pow" => two(arguments, |a, b| calculated(a.powf(b))),
        "greaterthan" => two(arguments, |a, b| Ok(Value::Bool(a > b))),
        "greaterthanorequalto" => two(arguments, |a, b| Ok(Value::Bool(a >= b))),
        "lessthan" => two(arguments, |a, b| Ok(Value::Bool(a < b))),
        "lessthanorequalto" => two(arguments, |a, b| Ok(Value::Bool(a <= b))),
        "max" => extreme(arguments, f64::max),
        "min" => extreme(arguments, f64::min),
        "parseint" => parse_int(arguments),
        "equal" => take(arguments).map(|[a, b]| Value::Bool(a == b)),
        "notequal" => take(arguments).map(|[a, b]| Value::Bool(a != b)),
        "and" => truths(arguments, |a, b| a && b),
        "or" => truths(arguments, |a, b| a || b),
        "not" => take(arguments).and_then(|[a]| Ok(Value::Bool(!a.truth()?))),
        _ => return None,
    })
}

/// `a / b`
pub fn divide(a: f64, b: f64) -> Answer {
    if b == 0.0 {
        return Err(format!("{a} is divided by zero"));
    }
    calculated(a / b)
}

/// `a % b`, with the sign of `a`.
pub fn modulo(a: f64, b: f64) -> Answer {
    if b == 0.0 {
        return Err(format!("{a} is divided by zero"));
    }
    calculated(a % b)
}

fn one(arguments: &[Value], work: fn(f64) -> f64) -> Answer {
    let [a] = take(arguments)?;
    Ok(Value::Number(work(a.number()?)))
}

fn two(arguments: &[Value], work: impl Fn(f64, f64) -> Answer) -> Answer {
    let [a, b] = take(arguments)?;
    work(a.number()?, b.number()?)
}

fn truths(arguments: &[Value], work: fn(bool, bool) -> bool) -> Answer {
    let [a, b] = take(arguments)?;
    Ok(Value::Bool(work(a.truth()?, b.truth()?)))
}

fn extreme(arguments: &[Value], work: fn(f64, f64) -> f64) -> Answer {
    let numbers: Vec<_> = arguments
        .iter()
        .map(Value::number)
        .collect::<Result<_, _>>()?;
    let found = numbers.into_iter().reduce(work);
    found
        .map(Value::Number)
        .ok_or_else(|| "it takes at least one argument".to_owned())
}

fn parse_int(arguments: &[Value]) -> Answer {
    let [text, base] = take(arguments)?;
    let (text, base) = (text.text()?, base.integer()?);
    let known = u32::try_from(base)
        .ok()
        .filter(|base| (2..=36).contains(base));
    let base = known.ok_or_else(|| format!("{base} is no base from 2 to 36"))?;
    let number = i64::from_str_radix(&text, base);
    let number = number.map_err(|_| format!("{text:?} is not a number in base {base}"))?;
    Ok(Value::Number(Value::Text(number.to_string()).number()?))
}
