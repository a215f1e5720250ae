//! Templates in JSON values: strings with `{{ ... }}` in them are rendered (Jinja, by `minijinja`), with a limit on steps and output.
//!
//! A string that is nothing but one `{{ expression }}` keeps the value's type: `"{{ event.data.count }}"` becomes a number.

use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use crate::ids::short;
use crate::limits;
use crate::run::VARIABLES;

/// Steps of the template machine that one string may take; a loop over a few hundred elements fits.
const FUEL: u64 = 20_000;

/// Why a template can't be read or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where in the value: `.invoice.lines[2]`, empty at its root.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Whether all strings of a value are valid templates: each fault with its place.
pub fn check(value: &Value) -> Vec<TemplateError> {
    let mut faults = Vec::new();
    walk(value, &mut String::new(), &mut |path, text| {
        if let Err(message) = check_text(&ENVIRONMENT, text) {
            faults.push(TemplateError { path: path.to_owned(), message });
        }
    });
    faults
}

/// Renders all strings of a value with these variables (a JSON object).
pub fn render(value: &Value, vars: &Value) -> Result<Value, TemplateError> {
    let mut size = 0;
    render_at(
        &ENVIRONMENT,
        value,
        &minijinja::Value::from(minijinja::value::Serde(vars)),
        &mut String::new(),
        &mut size,
    )
}

/// Renders one template to text.
pub fn render_text(text: &str, vars: &Value) -> Result<String, TemplateError> {
    let rendered = render(&Value::String(text.to_owned()), vars)?;
    Ok(match rendered {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// Whether a value has no template in it, so that it stands as it is.
pub fn is_plain(value: &Value) -> bool {
    let mut plain = true;
    walk(value, &mut String::new(), &mut |_, text| plain &= !has_markup(text));
    plain
}

/// Made once: each start of a workflow renders templates, and the filters and functions in it are a hundred entries.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
});

fn has_markup(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The expression of a string that is one `{{ expression }}` and nothing else.
fn sole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let plain = !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%");
    plain.then(|| inner.trim_matches('-').trim())
}

fn check_text(environment: &Environment, text: &str) -> Result<(), String> {
    if !has_markup(text) {
        return Ok(());
    }
    if text.len() > limits::TEXT_BYTES {
        return Err(format!("a template of {} bytes; at most {}", text.len(), limits::TEXT_BYTES));
    }
    let names = match sole_expression(text) {
        Some(expression) => environment.compile_expression(expression).map(|parsed| parsed.undeclared_variables(false)),
        None => environment.template_from_str(text).map(|parsed| parsed.undeclared_variables(false)),
    };
    let names =
        names.map_err(|error| format!("the template {:?} does not parse: {}", short(text), describe(&error)))?;
    let is_known =
        |name: &str| VARIABLES.contains(&name) || environment.globals().any(|(function, _)| function == name);
    // The smallest, so that the same template is always refused in the same words.
    match names.iter().filter(|name| !is_known(name)).min() {
        Some(name) => Err(format!("there is no variable {:?}; there are {}", short(name), VARIABLES.join(", "))),
        None => Ok(()),
    }
}

fn describe(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}

fn render_at(
    environment: &Environment,
    value: &Value,
    vars: &minijinja::Value,
    path: &mut String,
    size: &mut usize,
) -> Result<Value, TemplateError> {
    match value {
        Value::String(text) => {
            let rendered = render_string(environment, text, vars)
                .map_err(|message| TemplateError { path: path.clone(), message })?;
            *size += text_size(&rendered);
            if *size > limits::INPUT_BYTES {
                let message = format!("renders to more than {} bytes", limits::INPUT_BYTES);
                return Err(TemplateError { path: path.clone(), message });
            }
            Ok(rendered)
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, item)| within(path, &format!("[{i}]"), |path| render_at(environment, item, vars, path, size)))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| {
                let rendered =
                    within(path, &format!(".{name}"), |path| render_at(environment, field, vars, path, size))?;
                Ok((name.clone(), rendered))
            })
            .collect(),
        other => Ok(other.clone()),
    }
}

fn text_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    }
}

fn render_string(environment: &Environment, text: &str, vars: &minijinja::Value) -> Result<Value, String> {
    if !has_markup(text) {
        return Ok(Value::String(text.to_owned()));
    }
    let rendered = match sole_expression(text) {
        Some(expression) => {
            environment.compile_expression(expression).and_then(|compiled| compiled.eval(vars)).and_then(|value| {
                if value.is_undefined() {
                    return Err(minijinja::ErrorKind::UndefinedError.into());
                }
                serde_json::to_value(value)
                    .map_err(|e| minijinja::Error::new(minijinja::ErrorKind::BadSerialization, e.to_string()))
            })
        }
        None => environment.template_from_str(text).and_then(|t| t.render(vars)).map(Value::String),
    };
    rendered.map_err(|error| format!("the template {:?} failed: {}", short(text), describe(&error)))
}

fn walk(value: &Value, path: &mut String, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                within(path, &format!("[{i}]"), |path| walk(item, path, visit));
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                within(path, &format!(".{name}"), |path| walk(field, path, visit));
            }
        }
        _ => {}
    }
}

fn within<T>(path: &mut String, part: &str, body: impl FnOnce(&mut String) -> T) -> T {
    let len = path.len();
    path.push_str(part);
    let result = body(path);
    path.truncate(len);
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vars() -> Value {
        json!({"event": {"data": {"n": 3, "name": "Ada", "open": true, "list": [1, 2]}}, "scheduled_for": "2026-11-23T08:00:00Z"})
    }

    #[test]
    fn strings_are_rendered_and_a_sole_expression_keeps_its_type() {
        for (template, rendered) in [
            (json!("plain"), json!("plain")),
            (json!("{{ event.data.n }}"), json!(3)),
            (json!(" {{ event.data.open }} "), json!(true)),
            (json!("{{ event.data.list }}"), json!([1, 2])),
            (json!("n={{ event.data.n }}"), json!("n=3")),
            (json!("{{ event.data.n }}{{ event.data.n }}"), json!("33")),
            (json!({"a": ["{{ event.data.name }}", 7, null]}), json!({"a": ["Ada", 7, null]})),
            (json!("{% for x in event.data.list %}{{ x }};{% endfor %}"), json!("1;2;")),
        ] {
            assert_eq!(render(&template, &vars()), Ok(rendered), "{template}");
        }
    }

    #[test]
    fn faults_say_where_and_what() {
        for (template, path, what) in [
            (json!({"a": ["x", "{{ event.data.missing }}"]}), ".a[1]", "undefined"),
            (json!("x {{ nobody.home }}"), "", "undefined"),
            (json!("{% for i in range(100000) %}{{ i }}{% endfor %}"), "", "fuel"),
        ] {
            let error = render(&template, &vars()).expect_err("must fail");
            assert_eq!(error.path, path);
            assert!(error.message.contains(what), "{}", error.message);
        }
    }

    #[test]
    fn what_does_not_parse_is_found_before_it_is_rendered() {
        let value = json!({"ok": "{{ input }}", "bad": ["{{ a", "{% if %}"], "long": format!("{{{{ input }}}}{}", "x".repeat(5000))});
        let mut paths: Vec<String> = check(&value).into_iter().map(|fault| fault.path).collect();
        paths.sort();
        assert_eq!(paths, [".bad[0]", ".bad[1]", ".long"]);
    }

    #[test]
    fn a_variable_that_no_run_has_is_found_before_it_is_rendered() {
        for (template, unknown) in [
            ("{{ evnt.data.n }}", Some("evnt")),
            ("to {{ definition.id }}, {{ nobody.home }}", Some("nobody")),
            ("{% for x in event.data.list %}{{ x }}{{ loop.index }}{% endfor %}", None),
            ("{% for i in range(3) %}{{ i }}{% endfor %}", None),
            ("{% set a = input %}{{ a }}", None),
            ("{{ context.tone.friendly if trigger.kind == 'time' else scheduled_for ~ fired_at }}", None),
        ] {
            let message = check(&json!(template)).pop().map(|fault| fault.message);
            assert_eq!(message.is_some(), unknown.is_some(), "{template}: {message:?}");
            let names_it =
                |name| message.is_some_and(|m| m.contains(&format!("no variable {name:?}; there are event")));
            assert!(unknown.is_none_or(names_it), "{template}");
        }
    }

    #[test]
    fn output_is_limited() {
        let big = json!({"event": {"data": {"name": "x".repeat(50_000)}}});
        let many: Value = (0..64).map(|_| json!("{{ event.data.name }}")).collect();
        let error = render(&many, &big).expect_err("3.2 MB");
        assert!(error.message.contains("more than"), "{}", error.message);
    }
}
