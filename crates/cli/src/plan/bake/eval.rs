//! Evaluating expressions.
//!
//! Follows hcl `hclsyntax/expression.go`, `expression_ops.go`: operators convert what they are given,
//! a choice makes both sides one kind, a `for` walks maps in the order of their keys. Every step and
//! every byte that is kept costs something, and what a file may cost is bounded: a file cannot keep
//! this program busy, nor fill the memory.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{
    BinaryOp, BinaryOperator, Conditional, Expression, ForExpr, FuncCall, Object, ObjectKey, Splat,
    Traversal, TraversalOperator, UnaryOp, UnaryOperator,
};
use hcl_edit::{Decorated, Ident};

use super::file::{At, Definitions};
use super::functions;
use super::known::Known;
use super::value::{Value, calculated, element};
use crate::plan::fault::Fault;

/// What a file may cost: far more than any real one does.
const STEPS_MAX: u64 = 2_000_000;
/// Expressions within expressions, variables and functions on the way included.
const DEPTH_MAX: u32 = 200;

/// The names that are known at some place: parameters, loop variables, the axes of a matrix.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    pub at: At,
    pub names: BTreeMap<String, Value>,
    pub outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// A place where only what the files define is known.
    pub fn top(at: At) -> Self {
        Self {
            at,
            names: BTreeMap::new(),
            outer: None,
        }
    }

    fn within(outer: &'a Scope<'a>, names: BTreeMap<String, Value>) -> Self {
        Self {
            at: outer.at,
            names,
            outer: Some(outer),
        }
    }

    /// What a name stands for here.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let outer = || self.outer.and_then(|outer| outer.get(name));
        self.names.get(name).or_else(outer)
    }
}

/// Why an evaluation ended: without a place yet, or with one.
#[derive(Debug)]
pub enum Stop {
    Here(String),
    There(Box<Fault>),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Here(why)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::There(Box::new(fault))
    }
}

/// Evaluates the expressions of some files.
pub struct Evaluator<'a> {
    pub definitions: &'a Definitions,
    pub known: Known<'a>,
    steps: u64,
    depth: u32,
}

impl<'a> Evaluator<'a> {
    /// With nothing evaluated.
    pub fn new(definitions: &'a Definitions, known: Known<'a>) -> Self {
        Self {
            definitions,
            known,
            steps: STEPS_MAX,
            depth: DEPTH_MAX,
        }
    }

    /// The value of an expression.
    pub fn evaluate(&mut self, expr: &Expression, scope: &Scope<'_>) -> Result<Value, Fault> {
        if self.depth == 0 {
            let why = format!("more than {DEPTH_MAX} expressions within each other");
            return Err(self.fault(scope, expr.span(), why));
        }
        self.depth -= 1;
        let value = self.expression(expr, scope);
        self.depth += 1;
        let value = value.and_then(|value| {
            self.spend(value.weight())?;
            Ok(value)
        });
        value.map_err(|stop| match stop {
            Stop::Here(why) => self.fault(scope, expr.span(), why),
            Stop::There(fault) => *fault,
        })
    }

    fn fault(&self, scope: &Scope<'_>, span: Option<Range<usize>>, why: String) -> Fault {
        let span = span.filter(|_| self.definitions.has_places(scope.at.file));
        let offset = span.map_or(scope.at.offset, |span| span.start);
        self.definitions.fault(At { offset, ..scope.at }, why)
    }

    fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        self.steps = self.steps.checked_sub(steps).ok_or_else(|| {
            format!(
                "the file takes more than {STEPS_MAX} steps to evaluate; {}",
                super::CURE
            )
        })?;
        Ok(())
    }

    fn expression(&mut self, expr: &Expression, scope: &Scope<'_>) -> Result<Value, Stop> {
        Ok(match expr {
            Expression::Null(_) => Value::Null,
            Expression::Bool(truth) => Value::Bool(*truth.value()),
            Expression::Number(number) => {
                let number = number.value().as_f64();
                Value::Number(number.ok_or_else(|| "the number is too large".to_owned())?)
            }
            Expression::String(text) => Value::Text(text.value().clone()),
            Expression::Array(array) => {
                let values = array.iter().map(|value| self.evaluate(value, scope));
                Value::List(values.collect::<Result<_, _>>()?)
            }
            Expression::Object(object) => self.object(object, scope)?,
            Expression::StringTemplate(template) => self.template_value(template, scope)?,
            Expression::HeredocTemplate(heredoc) => self.template_text(&heredoc.template, scope)?,
            Expression::Parenthesis(inner) => self.evaluate(inner.inner(), scope)?,
            Expression::Variable(name) => self.variable(name, scope)?,
            Expression::Conditional(choice) => self.choice(choice, scope)?,
            Expression::FuncCall(call) => self.call(call, scope)?,
            Expression::Traversal(traversal) => self.traversal(traversal, scope)?,
            Expression::UnaryOp(operation) => self.unary(operation, scope)?,
            Expression::BinaryOp(operation) => self.binary(operation, scope)?,
            Expression::ForExpr(loops) => self.for_each(loops, scope)?,
        })
    }

    fn variable(&mut self, name: &Decorated<Ident>, scope: &Scope<'_>) -> Result<Value, Stop> {
        match scope.get(name.as_str()) {
            Some(value) => Ok(value.clone()),
            None => self.global(name.as_str()),
        }
    }

    fn object(&mut self, object: &Object, scope: &Scope<'_>) -> Result<Value, Stop> {
        let mut values = BTreeMap::new();
        for (key, value) in object {
            let key = match key {
                ObjectKey::Ident(name) => name.to_string(),
                // A bare word is a key, this one too.
                ObjectKey::Expression(Expression::Null(_)) => "null".to_owned(),
                ObjectKey::Expression(key) => self.evaluate(key, scope)?.text()?,
            };
            values.insert(key, self.evaluate(value.expr(), scope)?);
        }
        Ok(Value::Map(values))
    }

    /// A choice makes both sides one kind, so the other one is looked at as well; what is wrong with it
    /// does not matter (`ConditionalExpr.Value`).
    fn choice(&mut self, choice: &Conditional, scope: &Scope<'_>) -> Result<Value, Stop> {
        let condition = self.evaluate(&choice.cond_expr, scope)?.truth()?;
        let (taken, left) = if condition {
            (&choice.true_expr, &choice.false_expr)
        } else {
            (&choice.false_expr, &choice.true_expr)
        };
        let taken = self.evaluate(taken, scope)?;
        Ok(match self.evaluate(left, scope) {
            Ok(left) => taken.alike(&left)?,
            Err(_) => taken,
        })
    }

    fn call(&mut self, call: &FuncCall, scope: &Scope<'_>) -> Result<Value, Stop> {
        let name = call.name.name.as_str();
        if call.name.is_namespaced() {
            return Err(Stop::Here(format!(
                "there is no function in a namespace as {name:?} is"
            )));
        }
        // These two look at their arguments' faults (hcl `ext/tryfunc`).
        if name == "try" || name == "can" {
            let mut values = call.args.iter().map(|value| self.evaluate(value, scope));
            return match (name, values.find(Result::is_ok)) {
                ("can", found) => Ok(Value::Bool(found.is_some())),
                (_, Some(Ok(value))) => Ok(value),
                _ => Err(Stop::Here(
                    "no argument of `try` can be evaluated".to_owned(),
                )),
            };
        }
        let mut arguments = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            arguments.push(self.evaluate(argument, scope)?);
        }
        if call.args.expand_final()
            && let Some(last) = arguments.pop()
        {
            arguments.extend(last.list()?);
        }
        match functions::call(name, &arguments) {
            Some(result) => result.map_err(|why| Stop::Here(format!("{name}(): {why}"))),
            None => self.own_function(name, arguments),
        }
    }

    fn unary(&mut self, operation: &UnaryOp, scope: &Scope<'_>) -> Result<Value, Stop> {
        let value = self.evaluate(&operation.expr, scope)?;
        Ok(match operation.operator.value() {
            UnaryOperator::Not => Value::Bool(!value.truth()?),
            UnaryOperator::Neg => Value::Number(-value.number()?),
        })
    }

    fn binary(&mut self, operation: &BinaryOp, scope: &Scope<'_>) -> Result<Value, Stop> {
        use BinaryOperator as Op;
        let left = self.evaluate(&operation.lhs_expr, scope)?;
        let operator = *operation.operator.value();
        // As in newer versions of HCL, what no longer matters is not looked at.
        match operator {
            Op::And if !left.truth()? => return Ok(Value::Bool(false)),
            Op::Or if left.truth()? => return Ok(Value::Bool(true)),
            _ => {}
        }
        let right = self.evaluate(&operation.rhs_expr, scope)?;
        Ok(match operator {
            Op::Eq => Value::Bool(left == right),
            Op::NotEq => Value::Bool(left != right),
            Op::And | Op::Or => Value::Bool(right.truth()?),
            Op::Less => Value::Bool(left.number()? < right.number()?),
            Op::LessEq => Value::Bool(left.number()? <= right.number()?),
            Op::Greater => Value::Bool(left.number()? > right.number()?),
            Op::GreaterEq => Value::Bool(left.number()? >= right.number()?),
            Op::Plus => calculated(left.number()? + right.number()?)?,
            Op::Minus => calculated(left.number()? - right.number()?)?,
            Op::Mul => calculated(left.number()? * right.number()?)?,
            Op::Div => functions::divide(left.number()?, right.number()?)?,
            Op::Mod => functions::modulo(left.number()?, right.number()?)?,
        })
    }

    /// What a `for` walks over: keys and values.
    pub fn pairs(value: Value) -> Result<Vec<(Value, Value)>, String> {
        match value {
            Value::List(values) => {
                let values = values.into_iter().enumerate();
                Ok(values.map(|(at, value)| (Value::from(at), value)).collect())
            }
            Value::Map(values) => {
                let values = values.into_iter();
                Ok(values
                    .map(|(key, value)| (Value::Text(key), value))
                    .collect())
            }
            other => Err(format!("{} has no elements", other.kind())),
        }
    }

    /// The scope of one turn of a loop.
    pub fn turn<'s>(
        scope: &'s Scope<'s>,
        (key_name, value_name): (Option<&str>, &str),
        (key, value): (Value, Value),
    ) -> Scope<'s> {
        let mut names = BTreeMap::new();
        if let Some(key_name) = key_name {
            names.insert(key_name.to_owned(), key);
        }
        names.insert(value_name.to_owned(), value);
        Scope::within(scope, names)
    }

    fn for_each(&mut self, loops: &ForExpr, scope: &Scope<'_>) -> Result<Value, Stop> {
        let intro = &loops.intro;
        let names = (
            intro.key_var.as_ref().map(|name| name.as_str()),
            intro.value_var.as_str(),
        );
        let pairs = Self::pairs(self.evaluate(&intro.collection_expr, scope)?)?;
        let (mut list, mut map) = (Vec::new(), BTreeMap::new());
        for pair in pairs {
            let inner = Self::turn(scope, names, pair);
            if let Some(condition) = &loops.cond
                && !self.evaluate(&condition.expr, &inner)?.truth()?
            {
                continue;
            }
            let value = self.evaluate(&loops.value_expr, &inner)?;
            let Some(key) = &loops.key_expr else {
                list.push(value);
                continue;
            };
            let key = self.evaluate(key, &inner)?.text()?;
            match map.get_mut(&key) {
                Some(Value::List(group)) if loops.grouping => group.push(value),
                Some(_) => {
                    let why =
                        format!("the key {key:?} is made twice; `...` after the value groups");
                    return Err(Stop::Here(why));
                }
                None if loops.grouping => drop(map.insert(key, Value::List(vec![value]))),
                None => drop(map.insert(key, value)),
            }
        }
        Ok(if loops.key_expr.is_some() {
            Value::Map(map)
        } else {
            Value::List(list)
        })
    }

    fn traversal(&mut self, traversal: &Traversal, scope: &Scope<'_>) -> Result<Value, Stop> {
        let steps = traversal.operators.as_slice();
        if let Expression::Variable(name) = &traversal.expr
            && scope.get(name.as_str()).is_none()
            && ["target", "group"].contains(&name.as_str())
        {
            return self.block_reference(name.as_str() == "target", steps, scope);
        }
        let value = self.evaluate(&traversal.expr, scope)?;
        self.walk(value, steps, scope)
    }

    /// Follows indexes and attributes from a value.
    pub fn walk(
        &mut self,
        mut value: Value,
        mut steps: &[Decorated<TraversalOperator>],
        scope: &Scope<'_>,
    ) -> Result<Value, Stop> {
        while let Some((step, rest)) = steps.split_first() {
            steps = rest;
            value = match step.value() {
                TraversalOperator::GetAttr(name) => {
                    element(value, &name.as_str().to_owned().into())?
                }
                TraversalOperator::Index(index) => {
                    let index = self.evaluate(index, scope)?;
                    element(value, &index)?
                }
                TraversalOperator::LegacyIndex(index) => {
                    element(value, &Value::from(*index.value() as usize))?
                }
                TraversalOperator::AttrSplat(Decorated::<Splat> { .. }) => {
                    let names = |step: &Decorated<TraversalOperator>| {
                        matches!(step.value(), TraversalOperator::GetAttr(_))
                    };
                    let end = rest
                        .iter()
                        .position(|step| !names(step))
                        .unwrap_or(rest.len());
                    let (own, after) = rest.split_at(end);
                    steps = after;
                    self.splat(value, own, scope)?
                }
                TraversalOperator::FullSplat(_) => {
                    steps = &[];
                    self.splat(value, rest, scope)?
                }
            };
        }
        Ok(value)
    }

    fn splat(
        &mut self,
        value: Value,
        steps: &[Decorated<TraversalOperator>],
        scope: &Scope<'_>,
    ) -> Result<Value, Stop> {
        let values = match value {
            Value::List(values) => values,
            Value::Null => Vec::new(),
            other => vec![other],
        };
        let values = values
            .into_iter()
            .map(|value| self.walk(value, steps, scope));
        Ok(Value::List(values.collect::<Result<_, _>>()?))
    }
}
