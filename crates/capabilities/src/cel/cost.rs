//! What an evaluation may cost at most. CEL always ends, but a loop within a loop over a large event does so
//! much later than anybody waits.

use ::cel::Value;
use ::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Steps of an evaluation; a million of them take about a tenth of a second.
const STEPS_MAX: u64 = 2_000_000;
/// A text of so many bytes is looked at as fast as a value.
const STEP_BYTES: usize = 64;
/// A regular expression is compiled anew each time.
const REGEX_STEPS: u64 = 2000;

/// Parts of an expression by how they grow with the event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// The same for every event.
    fixed: u64,
    /// As the event is long: loops, and comparisons of what may be as large as the event.
    linear: u64,
    /// Such comparisons within loops.
    quadratic: u64,
}

impl Cost {
    /// # Errors
    /// If it has a loop within a loop.
    pub fn of(expression: &IdedExpr, given: &BTreeSet<String>) -> Result<Self, String> {
        let mut cost = Cost::default();
        cost.add(expression, false, given)?;
        Ok(cost)
    }

    fn add(&mut self, node: &IdedExpr, in_loop: bool, given: &BTreeSet<String>) -> Result<(), String> {
        if let Expr::Comprehension(comprehension) = &node.expr {
            if in_loop {
                return Err("a loop within a loop is not allowed: it could take for ever".to_owned());
            }
            self.add(&comprehension.iter_range, false, given)?;
            self.add(&comprehension.accu_init, false, given)?;
            self.add(&comprehension.loop_cond, true, given)?;
            self.add(&comprehension.loop_step, true, given)?;
            return self.add(&comprehension.result, false, given);
        }
        let steps = match &node.expr {
            Expr::Call(call) if call.func_name == "matches" => REGEX_STEPS,
            _ => 1,
        };
        let large = matches!(&node.expr, Expr::Call(call) if looks_at_all(call));
        // A loop's variables are all parts of what is given together as long as it is, that itself each time.
        let large = large && (!in_loop || names_any(node, given));
        match (in_loop, large) {
            (false, false) => self.fixed += steps,
            (false, true) | (true, false) => self.linear += steps,
            (true, true) => self.quadratic += steps,
        }
        let mut result = Ok(());
        each_child(node, &mut |child| {
            if result.is_ok() {
                result = self.add(child, in_loop, given);
            }
        });
        result
    }

    /// # Errors
    /// If what is given is too large for the expression.
    pub fn check(&self, weight: u64) -> Result<(), String> {
        let linear = self.linear.saturating_mul(weight);
        let quadratic = self.quadratic.saturating_mul(weight).saturating_mul(weight);
        if self.fixed.saturating_add(linear).saturating_add(quadratic) > STEPS_MAX {
            return Err("what it is given is too large for this expression".to_owned());
        }
        Ok(())
    }
}

/// Whether a call may look at a whole list, map or text. A comparison with a literal ends where the literal does.
fn looks_at_all(call: &CallExpr) -> bool {
    let literal = |node: &IdedExpr| matches!(node.expr, Expr::Literal(_));
    let compares = matches!(call.func_name.as_str(), "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_");
    let cheap = matches!(
        call.func_name.as_str(),
        "_&&_"
            | "_||_"
            | "!_"
            | "_?_:_"
            | "_[_]"
            | "_-_"
            | "_*_"
            | "_/_"
            | "_%_"
            | "-_"
            | "@not_strictly_false"
    );
    !(cheap || (compares && call.args.iter().any(literal)))
}

fn names_any(node: &IdedExpr, given: &BTreeSet<String>) -> bool {
    if let Expr::Ident(name) = &node.expr {
        return given.contains(name);
    }
    let mut found = false;
    each_child(node, &mut |child| found |= names_any(child, given));
    found
}

/// How many values there are, and how long.
pub(super) fn weight(value: &Json) -> u64 {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
        Json::String(text) => 1 + (text.len() / STEP_BYTES) as u64,
        Json::Array(items) => 1 + items.iter().map(weight).sum::<u64>(),
        Json::Object(entries) => 1 + entries.values().map(|value| 1 + weight(value)).sum::<u64>(),
    }
}

/// As [`weight`].
pub(super) fn weight_of_value(value: &Value) -> u64 {
    let text = |bytes: usize| 1 + (bytes / STEP_BYTES) as u64;
    match value {
        Value::String(one) => text(one.len()),
        Value::Bytes(one) => text(one.len()),
        Value::List(items) => 1 + items.iter().map(weight_of_value).sum::<u64>(),
        Value::Map(of) => 1 + of.map.values().map(|value| 1 + weight_of_value(value)).sum::<u64>(),
        _ => 1,
    }
}

/// Calls `visit` for the parts of an expression.
pub(super) fn each_child<'a>(node: &'a IdedExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    match &node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Select(select) => visit(&select.operand),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(visit),
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => map.entries.iter().for_each(|entry| each_entry(&entry.expr, visit)),
        Expr::Struct(of) => of.entries.iter().for_each(|entry| each_entry(&entry.expr, visit)),
        Expr::Comprehension(comprehension) => {
            let parts = [
                &comprehension.iter_range,
                &comprehension.accu_init,
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ];
            parts.into_iter().for_each(visit);
        }
    }
}

fn each_entry<'a>(entry: &'a EntryExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value),
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key);
            visit(&entry.value);
        }
    }
}
