//! Values of the language, and how one kind becomes another.
//!
//! The rules are those of go-cty (`cty/convert/conversion_primitive.go`): numbers and truths become
//! texts, texts become numbers and truths where they read as such. Lists, tuples and sets are one kind
//! here, and so are maps and objects: a bake file cannot tell them apart in what a plan needs.

use std::collections::BTreeMap;

/// Integers beyond this are not exact in an `f64`; buildx computes with 512 bits.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// A longer text is no part of a build's description.
pub const TEXT_MAX_BYTES: usize = 4 << 20;
/// So many bytes of a text weigh as much as one step of the evaluation.
const BYTES_PER_STEP: usize = 32;

/// A value. Maps are in the order of their keys, as go-cty walks them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// How people call this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// What keeping it costs, in steps.
    pub fn weight(&self) -> u64 {
        match self {
            Self::Text(text) => 1 + (text.len() / BYTES_PER_STEP) as u64,
            Self::List(values) => 1 + values.iter().map(Self::weight).sum::<u64>(),
            Self::Map(values) => {
                let keys = values.keys().map(|key| (key.len() / BYTES_PER_STEP) as u64);
                1 + keys.sum::<u64>() + values.values().map(Self::weight).sum::<u64>()
            }
            _ => 1,
        }
    }

    /// As a text.
    pub fn text(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Bool(truth) => Ok(truth.to_string()),
            Self::Number(number) => number_text(*number),
            other => Err(format!("{} is not a string", other.kind())),
        }
    }

    /// As a number.
    pub fn number(&self) -> Result<f64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => {
                let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
                let parsed = text.bytes().all(plain).then(|| text.parse::<f64>());
                let parsed = parsed.and_then(Result::ok).filter(|n| n.is_finite());
                parsed.ok_or_else(|| format!("{text:?} is not a number"))
            }
            other => Err(format!("{} is not a number", other.kind())),
        }
    }

    /// As a number without a fraction.
    pub fn integer(&self) -> Result<i64, String> {
        Ok(self.whole()? as i64)
    }

    /// As a number without a fraction that an `f64` holds exactly.
    pub fn whole(&self) -> Result<f64, String> {
        let number = self.number()?;
        if number.fract() != 0.0 || number.abs() > EXACT_MAX {
            return Err(format!("{number} is not a whole number"));
        }
        Ok(number)
    }

    /// As a whole number that counts something.
    pub fn count(&self) -> Result<usize, String> {
        let number = self.integer()?;
        usize::try_from(number).map_err(|_| format!("{number} is negative"))
    }

    /// As a truth value.
    pub fn truth(&self) -> Result<bool, String> {
        match self {
            Self::Bool(truth) => Ok(*truth),
            Self::Text(text) => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(format!("{text:?} is neither true nor false")),
            },
            other => Err(format!("{} is neither true nor false", other.kind())),
        }
    }

    /// As a list.
    pub fn list(self) -> Result<Vec<Self>, String> {
        match self {
            Self::List(values) => Ok(values),
            other => Err(format!("{} is not a list", other.kind())),
        }
    }

    /// As a map.
    pub fn map(self) -> Result<BTreeMap<String, Self>, String> {
        match self {
            Self::Map(values) => Ok(values),
            other => Err(format!("{} is not a map", other.kind())),
        }
    }

    /// A list of texts.
    pub fn texts(self) -> Result<Vec<String>, String> {
        self.list()?.iter().map(Self::text).collect()
    }

    /// The value as JSON.
    pub fn json(&self) -> Result<serde_json::Value, String> {
        Ok(match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Number(number) => serde_json::from_str(&number_text(*number)?)
                .map_err(|error| format!("{number} cannot be written as JSON: {error}"))?,
            Self::Text(text) => text.as_str().into(),
            Self::List(values) => values.iter().map(Self::json).collect::<Result<_, _>>()?,
            Self::Map(values) => {
                let pairs = values.iter();
                let pairs = pairs.map(|(key, value)| Ok((key.clone(), value.json()?)));
                serde_json::Value::Object(pairs.collect::<Result<_, String>>()?)
            }
        })
    }

    /// The value that JSON stands for.
    pub fn of_json(json: &serde_json::Value) -> Result<Self, String> {
        Ok(match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(*truth),
            serde_json::Value::Number(number) => {
                let number = number.as_f64();
                Self::Number(number.ok_or("a number is too large")?)
            }
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(values) => {
                Self::List(values.iter().map(Self::of_json).collect::<Result<_, _>>()?)
            }
            serde_json::Value::Object(values) => {
                let pairs = values.iter();
                let pairs = pairs.map(|(key, value)| Ok((key.clone(), Self::of_json(value)?)));
                Self::Map(pairs.collect::<Result<_, String>>()?)
            }
        })
    }

    /// Both in the kind that holds either: what go-cty's `convert.UnifyUnsafe` finds for a choice of
    /// two. Gives the first of them.
    pub fn alike(self, other: &Self) -> Result<Self, String> {
        match (self, other) {
            (own @ (Self::Bool(_) | Self::Number(_)), Self::Text(_)) => Ok(Self::Text(own.text()?)),
            (own @ Self::Number(_), Self::Bool(_))
            | (own @ Self::Bool(_), Self::Number(_))
            | (
                own @ (Self::List(_) | Self::Map(_)),
                Self::Bool(_) | Self::Number(_) | Self::Text(_),
            )
            | (
                own @ (Self::Bool(_) | Self::Number(_) | Self::Text(_)),
                Self::List(_) | Self::Map(_),
            ) => Err(format!(
                "the choice is between {} and {}; both must be of one kind",
                own.kind(),
                other.kind()
            )),
            (own, _) => Ok(own),
        }
    }
}

impl From<usize> for Value {
    /// A count of things in memory, of which there are far fewer than an `f64` can tell apart.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    fn from(count: usize) -> Self {
        Self::Number(count as f64)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A number as go-cty writes it: without an exponent, in as few digits as tell it from others.
pub fn number_text(number: f64) -> Result<String, String> {
    if number.abs() > EXACT_MAX {
        return Err(format!(
            "{number} is too large to be exact; write it as a string"
        ));
    }
    // Negative zero.
    Ok(format!("{}", number + 0.0))
}

/// The result of a calculation. buildx calculates with so many digits that what people write in
/// decimals stays exact, so what an `f64` lost in the last digits is put right; a fraction without an
/// end, which buildx would write with 150 digits, is refused.
pub fn calculated(number: f64) -> Result<Value, String> {
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        return Ok(Value::Number(number));
    }
    let rounded = format!("{number:.11e}").parse::<f64>();
    match rounded {
        Ok(rounded) if number.is_finite() && (rounded - number).abs() <= number.abs() * 1e-14 => {
            Ok(Value::Number(rounded))
        }
        _ => Err(format!("the result {number} cannot be written exactly")),
    }
}

/// One element of a list or map (hcl `ops.go` `Index`).
pub fn element(value: Value, index: &Value) -> Result<Value, String> {
    match value {
        Value::List(mut values) => {
            let at = index.count()?;
            if at >= values.len() {
                return Err(format!(
                    "there is no element {at} in a list of {}",
                    values.len()
                ));
            }
            Ok(values.swap_remove(at))
        }
        Value::Map(mut values) => {
            let key = index.text()?;
            values
                .remove(&key)
                .ok_or_else(|| format!("there is no {key:?} in the map"))
        }
        other => Err(format!("{} has no elements", other.kind())),
    }
}

/// A text that grows to [`TEXT_MAX_BYTES`] and no further.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Appends.
    pub fn push(&mut self, text: &str) -> Result<(), String> {
        if self.0.len() + text.len() > TEXT_MAX_BYTES {
            return Err(format!("a text is longer than {TEXT_MAX_BYTES} bytes"));
        }
        self.0.push_str(text);
        Ok(())
    }

    /// All of it.
    pub fn done(self) -> String {
        self.0
    }
}
