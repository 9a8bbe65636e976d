//! Expressions in CEL: which events a rule takes, when a circuit breaker trips, and what filters ask of exchanges.
//!
//! <https://github.com/google/cel-spec>. `timestamp` and `duration` are not there.

mod cost;
#[cfg(test)]
mod tests;

pub use ::cel::Value;
pub use ::cel::objects::{Key, Map};

use ::cel::common::ast::{Expr, IdedExpr};
use ::cel::common::types::{self, CelBool, CelString};
use ::cel::common::value::CowVal;
use ::cel::{Context, Env, ExecutionError, Program};
use regex::RegexBuilder;
use serde_json::Value as Json;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A longer expression is refused: its evaluation takes as much stack as it has parts.
const EXPRESSION_BYTES_MAX: usize = 1024;
/// What a regular expression may take in memory, and so the time to compile it.
const REGEX_BYTES_MAX: usize = 64 << 10;
/// The variable that a rule asks.
const EVENT: &str = "event";

/// An expression that has been parsed.
pub struct Expression {
    text: String,
    program: Program,
    fields: Fields,
    names: BTreeSet<String>,
    cost: cost::Cost,
}

/// Which fields of the event an expression looks at.
enum Fields {
    All,
    Some(BTreeSet<String>),
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl Expression {
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes"));
        }
        let program = environment().compile(text).map_err(|errors| {
            let first = errors.errors.first().map_or("no expression", |error| error.msg.as_str());
            format!("this is no expression: {first}")
        })?;
        let names = names_of(program.expression());
        let cost = cost::Cost::of(program.expression(), &names)?;
        let mut fields = Fields::Some(BTreeSet::new());
        fields_of(program.expression(), &mut fields);
        Ok(Expression { text: text.to_owned(), program, fields, names, cost })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The variables that it asks for, beside those of its own loops.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What it is with some variables.
    ///
    /// # Errors
    /// As [`Expression::matches`].
    pub fn value(&self, variables: Vec<(String, Value)>) -> Result<Value, String> {
        self.cost.check(variables.iter().map(|(_, value)| cost::weight_of_value(value)).sum())?;
        let mut context = Context::with_env(Arc::clone(environment()));
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        self.program.execute(&context).map_err(|error| error.to_string())
    }

    /// Whether it takes an event: the fields of a CloudEvent, as the variable `event`.
    ///
    /// # Errors
    /// If it cannot be evaluated, for example because a field is missing, is neither true nor false, or would
    /// take too long.
    pub fn matches(&self, event: &Json) -> Result<bool, String> {
        let value = match (&self.fields, event) {
            (Fields::Some(names), Json::Object(all)) => {
                let used = || names.iter().filter_map(|name| Some((name, all.get(name)?)));
                self.cost.check(used().map(|(_, value)| cost::weight(value)).sum())?;
                map(used())
            }
            _ => {
                self.cost.check(cost::weight(event))?;
                value(event)
            }
        };
        let mut context = Context::with_env(Arc::clone(environment()));
        context.add_variable_from_value(EVENT, value);
        self.evaluate(&context)
    }

    /// Whether it is true of some numbers.
    ///
    /// # Errors
    /// As [`Expression::matches`].
    pub fn holds(&self, numbers: &[(&str, i64)]) -> Result<bool, String> {
        self.cost.check(1)?;
        let mut context = Context::with_env(Arc::clone(environment()));
        for (name, number) in numbers {
            context.add_variable_from_value(*name, *number);
        }
        self.evaluate(&context)
    }

    fn evaluate(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        match self.program.execute(context) {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(format!("it is a {}, and neither true nor false", other.type_of())),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Env::stdlib();
        let (text, pattern) = (types::STRING_TYPE, vec![types::STRING_TYPE]);
        let both = vec![types::STRING_TYPE, types::STRING_TYPE];
        let member =
            environment.add_member_overload("matches", "matches_string", text, pattern, regex_matches);
        let function = environment.add_overload("matches", "matches", both, regex_matches);
        member.and(function).expect("cel declares `matches` with its feature `regex` only");
        Arc::new(environment)
    })
}

/// A value of CEL. Whole numbers are `int` where they fit, so that they can be added to literals.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        Json::Object(entries) => map(entries),
    }
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a String, &'a Json)>) -> Value {
    let entry = |(name, json): (&String, &Json)| (Key::from(name.clone()), value(json));
    Value::Map(Map { map: Arc::new(entries.into_iter().map(entry).collect()) })
}

/// A map with names as its keys.
pub fn named(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    let entries = entries.into_iter().map(|(name, value)| (Key::from(name), value));
    Value::Map(Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
}

/// CEL's `matches`, by expressions of bounded size.
fn regex_matches<'a, 'v>(arguments: Vec<CowVal<'a, 'v>>) -> Result<CowVal<'a, 'v>, ExecutionError> {
    let error = |message: String| ExecutionError::function_error("matches", message);
    let texts = arguments.iter().map(|one| one.downcast_ref::<CelString<'_>>().map(|text| text.inner()));
    let texts: Option<Vec<&str>> = texts.collect();
    let Some([text, pattern]) = texts.as_deref() else {
        return Err(error("two texts are needed".to_owned()));
    };
    let regex =
        RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
    match regex {
        Ok(regex) => Ok(CowVal::owned(CelBool::from(regex.is_match(text)))),
        Err(regex::Error::CompiledTooBig(_)) => Err(error("the regular expression is too large".to_owned())),
        Err(_) => Err(error("this is no regular expression".to_owned())),
    }
}

/// The names that are not bound by loops.
fn names_of(expression: &IdedExpr) -> BTreeSet<String> {
    fn collect<'a>(node: &'a IdedExpr, names: &mut BTreeSet<&'a str>, bound: &mut BTreeSet<&'a str>) {
        match &node.expr {
            Expr::Ident(name) => drop(names.insert(name)),
            Expr::Comprehension(of) => {
                bound.extend([of.iter_var.as_str(), of.accu_var.as_str()]);
                bound.extend(of.iter_var2.as_deref());
            }
            _ => {}
        }
        cost::each_child(node, &mut |child| collect(child, names, bound));
    }
    let (mut names, mut bound) = (BTreeSet::new(), BTreeSet::new());
    collect(expression, &mut names, &mut bound);
    names.difference(&bound).map(|name| (*name).to_owned()).collect()
}

/// Events may be large, and most rules look at a field or two.
fn fields_of(node: &IdedExpr, fields: &mut Fields) {
    match &node.expr {
        Expr::Ident(name) if name == EVENT => *fields = Fields::All,
        Expr::Select(select) => match (&select.operand.expr, &mut *fields) {
            (Expr::Ident(name), Fields::Some(names)) if name == EVENT => {
                names.insert(select.field.clone());
            }
            _ => fields_of(&select.operand, fields),
        },
        _ => cost::each_child(node, &mut |child| fields_of(child, fields)),
    }
}
