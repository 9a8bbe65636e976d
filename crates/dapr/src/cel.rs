//! Expressions in CEL: which events a rule takes, and when a circuit breaker trips.
//!
//! <https://github.com/google/cel-spec>. `timestamp` and `duration` are not there.

mod cost;
#[cfg(test)]
mod tests;

use ::cel::common::ast::{Expr, IdedExpr};
use ::cel::{Context, Env, Program, Value};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A longer expression is refused: its evaluation takes as much stack as it has parts.
const EXPRESSION_BYTES_MAX: usize = 1024;
/// The variable that a rule asks.
const EVENT: &str = "event";

/// An expression that has been parsed.
pub struct Expression {
    text: String,
    program: Program,
    fields: Fields,
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
        let cost = cost::Cost::of(program.expression())?;
        let mut fields = Fields::Some(BTreeSet::new());
        fields_of(program.expression(), &mut fields);
        Ok(Expression { text: text.to_owned(), program, fields, cost })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it takes an event: the fields of a CloudEvent, as the variable `event`.
    ///
    /// # Errors
    /// If it cannot be evaluated, for example because a field is missing, is neither true nor false, or would
    /// take too long.
    pub fn matches(&self, event: &Json) -> Result<bool, String> {
        let value = match (&self.fields, event) {
            (Fields::Some(names), Json::Object(all)) => {
                let used = names.iter().filter_map(|name| Some((name, all.get(name)?)));
                let used: std::collections::BTreeMap<_, _> = used.collect();
                self.cost.check(used.values().map(|value| cost::weight(value)).sum())?;
                ::cel::to_value(used)
            }
            _ => {
                self.cost.check(cost::weight(event))?;
                ::cel::to_value(event)
            }
        };
        let value = value.map_err(|error| format!("the event has no value in CEL: {error}"))?;
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
    ENVIRONMENT.get_or_init(|| Arc::new(Env::stdlib()))
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
