//! Conditions and keys in CEL (by the crate `cel`), with limits that are checked when the expression is admitted.
//!
//! The interpreter has no cost budget of its own: what could grow without bound (nested comprehensions, strings doubled inside of
//! them) is refused here, so that evaluation on a hot path stays short.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, Program};
use serde_json::Value;

use crate::ids::short;
use crate::limits;

/// Nodes of one expression.
const NODES: usize = 512;
/// Nesting of calls and brackets: the parser and the interpreter recurse.
const DEPTH: usize = 32;
/// `map`, `filter`, `exists` ... within each other: each level multiplies the work by the size of a list.
const COMPREHENSIONS: usize = 2;

/// The functions that expressions may call. Made once: made for each evaluation, they were most of what a
/// dedupe key cost.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled expression.
pub struct Expression {
    program: Program,
    source: String,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// Why an expression can't be compiled or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpressionError(String);

impl Expression {
    /// Compiles and checks the limits.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        if source.trim().is_empty() {
            return Err(ExpressionError("the expression is empty".into()));
        }
        if source.len() > limits::TEXT_BYTES {
            return Err(refuse(source, format!("has {} bytes; at most {}", source.len(), limits::TEXT_BYTES)));
        }
        // Before parsing: the parser recurses too.
        if bracket_depth(source) > DEPTH {
            return Err(refuse(source, format!("is nested deeper than {DEPTH}")));
        }
        let program =
            Program::compile(source).map_err(|e| refuse(source, format!("does not parse: {}", first_line(&e))))?;
        Admission::default().visit(program.expression(), 0, 0).map_err(|why| refuse(source, why))?;
        Ok(Self { program, source: source.to_owned() })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value for these variables (a JSON object, one variable each).
    pub fn evaluate(&self, vars: &Value) -> Result<Value, ExpressionError> {
        let mut context = Context::with_env(Arc::clone(&FUNCTIONS));
        for (name, value) in vars.as_object().into_iter().flatten() {
            context.add_variable_from_value(name.as_str(), to_cel(value));
        }
        let value = self.program.execute(&context).map_err(|e| refuse(&self.source, format!("failed: {e}")))?;
        value.json().map_err(|e| refuse(&self.source, format!("failed: {e}")))
    }

    /// The value as a condition; anything but a boolean is an error.
    pub fn test(&self, vars: &Value) -> Result<bool, ExpressionError> {
        match self.evaluate(vars)? {
            Value::Bool(value) => Ok(value),
            other => Err(refuse(&self.source, format!("yields {}, not true or false", short(&other.to_string())))),
        }
    }

    /// The value as a key: a string, a number or a boolean.
    pub fn key(&self, vars: &Value) -> Result<String, ExpressionError> {
        match self.evaluate(vars)? {
            Value::String(text) => Ok(text),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(value.to_string()),
            other => {
                Err(refuse(&self.source, format!("yields {}, not a string or a number", short(&other.to_string()))))
            }
        }
    }
}

/// JSON as CEL sees it. Whole numbers become `int`, as in the literals of an expression: the crate's own conversion makes them `uint`,
/// and `uint * int` is an error.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => int.into(),
            (None, Some(uint)) => uint.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), to_cel(field))).collect::<HashMap<_, _>>().into()
        }
    }
}

fn refuse(source: &str, why: impl fmt::Display) -> ExpressionError {
    ExpressionError(format!("the expression {:?} {why}", short(source)))
}

fn first_line(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    short(text.lines().next().unwrap_or_default())
}

fn bracket_depth(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Walks a syntax tree and says what is too much.
#[derive(Default)]
struct Admission {
    nodes: usize,
}

impl Admission {
    fn visit(&mut self, node: &IdedExpr, depth: usize, loops: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(format!("has more than {NODES} parts"));
        }
        // A chain `a.b.c` or `a + b + c` nests to one side without brackets; the interpreter recurses on it all the same.
        if depth > 2 * DEPTH {
            return Err(format!("is nested deeper than {}", 2 * DEPTH));
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Call(call) => {
                if loops > 0 && call.func_name == "_+_" {
                    return Err("adds inside a comprehension, which can grow without bound".into());
                }
                call.target.iter().map(AsRef::as_ref).chain(&call.args).try_for_each(|n| self.visit(n, depth, loops))
            }
            Expr::Comprehension(c) => {
                if loops == COMPREHENSIONS {
                    return Err(format!("nests more than {COMPREHENSIONS} comprehensions"));
                }
                self.visit(&c.iter_range, depth, loops)?;
                self.visit(&c.accu_init, depth, loops)?;
                self.visit(&c.loop_cond, depth, loops + 1)?;
                self.visit_step(&c.loop_step, depth, loops + 1)?;
                self.visit(&c.result, depth, loops)
            }
            Expr::List(list) => list.elements.iter().try_for_each(|n| self.visit(n, depth, loops)),
            Expr::Select(select) => self.visit(&select.operand, depth, loops),
            Expr::Map(map) => map.entries.iter().try_for_each(|e| self.visit_entry(&e.expr, depth, loops)),
            Expr::Struct(s) => s.entries.iter().try_for_each(|e| self.visit_entry(&e.expr, depth, loops)),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    /// The macro's own `accumulator + [element]`, at the head of a `map` or `filter` step, is not the user's addition.
    fn visit_step(&mut self, node: &IdedExpr, depth: usize, loops: usize) -> Result<(), String> {
        match &node.expr {
            Expr::Call(call) if call.func_name == "_+_" || call.func_name == "_?_:_" => {
                self.nodes += 1;
                call.args.iter().try_for_each(|n| self.visit_step_part(n, depth + 1, loops))
            }
            _ => self.visit(node, depth, loops),
        }
    }

    fn visit_step_part(&mut self, node: &IdedExpr, depth: usize, loops: usize) -> Result<(), String> {
        let appends = matches!(&node.expr, Expr::Call(call) if call.func_name == "_+_"
            && call.args.first().is_some_and(|a| matches!(&a.expr, Expr::Ident(name) if name.starts_with('@'))));
        if appends { self.visit_step(node, depth, loops) } else { self.visit(node, depth, loops) }
    }

    fn visit_entry(&mut self, entry: &EntryExpr, depth: usize, loops: usize) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value, depth, loops),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key, depth, loops)?;
                self.visit(&entry.value, depth, loops)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vars() -> Value {
        json!({"event": {"type": "t", "data": {"id": "7", "n": 12, "big": 9_007_199_254_740_993_i64, "list": [1, 2, 3]}}})
    }

    #[test]
    fn values_are_what_cel_says() {
        for (source, value) in [
            ("event.data.id + \":\" + event.type", json!("7:t")),
            ("event.data.n > 10 && event.data.id in [\"7\", \"8\"]", json!(true)),
            ("event.data.list.exists(x, x == 2)", json!(true)),
            ("event.data.list.map(x, x * 2)", json!([2, 4, 6])),
            ("event.data.list.filter(x, x > 1)", json!([2, 3])),
            ("event.data.big", json!(9_007_199_254_740_993_i64)),
            ("has(event.data.nope)", json!(false)),
        ] {
            let compiled = Expression::compile(source).expect(source);
            assert_eq!(compiled.evaluate(&vars()), Ok(value), "{source}");
        }
    }

    #[test]
    fn keys_are_texts_numbers_or_booleans() {
        let key = |source: &str| Expression::compile(source).expect(source).key(&vars());
        assert_eq!(key("event.data.n"), Ok("12".into()));
        assert_eq!(key("event.data.id"), Ok("7".into()));
        assert!(key("event.data").is_err());
        assert!(key("null").is_err());
        assert!(key("event.data.nope").is_err());
    }

    #[test]
    fn what_could_grow_without_bound_is_refused_at_once() {
        let nested = "[1,2].map(a, [1,2].map(b, [1,2].map(c, c)))";
        let doubling = "['x'].map(a, a + a)";
        let deep = format!("{}1{}", "(".repeat(40), ")".repeat(40));
        let long = "1 + ".repeat(600) + "1";
        let huge = "x".repeat(5000);
        for (source, why) in [
            (nested, "nests more than 2"),
            (doubling, "adds inside"),
            (&deep, "nested deeper"),
            (&long, ""),
            (&huge, "5000 bytes"),
            ("", "empty"),
            ("a ==", "does not parse"),
            ("event.type.matches('x')", ""),
        ] {
            let result = Expression::compile(source).and_then(|e| e.evaluate(&vars()));
            let error = result.expect_err(source).to_string();
            assert!(error.contains(why), "{source}: {error}");
        }
    }
}
