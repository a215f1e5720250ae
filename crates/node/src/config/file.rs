//! Reads the TOML file into (key, value, line); an unknown key is a fault with its line, never ignored.

use std::collections::BTreeMap;
use std::path::Path;

use flintwheel_model::Pace;
use flintwheel_model::ids::check_namespace;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::ConfigError;
use super::keys::KEYS;
use super::settings::NamespaceSettings;

/// Larger is no configuration.
const MAX_BYTES: u64 = 1024 * 1024;
/// The section of namespaces with a route of their own.
const NAMESPACES: &str = "namespaces";

/// What stands in a file.
#[derive(Default)]
pub struct File {
    /// Key, value, line.
    pub values: Vec<(&'static str, String, usize)>,
    /// By Flintwheel namespace.
    pub namespaces: BTreeMap<String, NamespaceSettings>,
}

/// Reads a file; all faults at once.
pub fn read(path: &Path) -> Result<File, ConfigError> {
    let fault = |why: String| ConfigError(vec![format!("{}: {why}", path.display())]);
    let size = std::fs::metadata(path).map_err(|e| fault(e.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(fault(format!("{size} bytes; a configuration file has at most {MAX_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))?;
    let mut reader = Reader { path, text: &text, file: File::default(), faults: Vec::new() };
    match DeTable::parse(&text) {
        Ok(table) => reader.table(table.get_ref(), ""),
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            reader.fault(line, error.message());
        }
    }
    if reader.faults.is_empty() { Ok(reader.file) } else { Err(ConfigError(reader.faults)) }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    file: File,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault(&mut self, line: usize, why: &str) {
        self.faults.push(format!("{}:{line}: {why}", self.path.display()));
    }

    fn table(&mut self, table: &DeTable, section: &str) {
        for (name, value) in table {
            let full =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let line = line_of(self.text, name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) if full == NAMESPACES => self.namespaces(inner),
                DeValue::Table(inner) if is_section(&full) => self.table(inner, &full),
                value => self.value(&full, value, line),
            }
        }
    }

    fn value(&mut self, name: &str, value: &DeValue, line: usize) {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let hint = nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            return self.fault(line, &format!("unknown key {name:?}{hint}"));
        };
        match scalar(value) {
            Some(text) => self.file.values.push((key.name, text, line)),
            None => self.fault(line, &format!("{name}: must be a string, a number or a boolean")),
        }
    }

    fn namespaces(&mut self, table: &DeTable) {
        for (name, value) in table {
            let line = line_of(self.text, name.span().start);
            let namespace = name.get_ref().to_string();
            if let Err(why) = check_namespace(&namespace) {
                self.fault(line, &why);
            }
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let settings = self.namespace(&namespace, inner);
                    self.file.namespaces.insert(namespace, settings);
                }
                _ => self.fault(line, &format!("namespaces.{namespace}: must be a table")),
            }
        }
    }

    fn namespace(&mut self, namespace: &str, table: &DeTable) -> NamespaceSettings {
        let mut settings = NamespaceSettings::default();
        for (name, value) in table {
            let text = scalar(value.get_ref());
            match &**name.get_ref() {
                "temporal_namespace" => settings.temporal_namespace = text,
                "task_queue" => settings.task_queue = text,
                "catch_up_pace" => settings.catch_up_pace = self.pace(namespace, text, name),
                other => self.unknown_of_namespace(namespace, other, name),
            }
        }
        settings
    }

    fn pace(&mut self, namespace: &str, text: Option<String>, name: &Spanned<DeString>) -> Option<Pace> {
        let text = text.unwrap_or_default();
        let pace = text.parse::<Pace>();
        let line = line_of(self.text, name.span().start);
        pace.map_err(|why| self.fault(line, &format!("namespaces.{namespace}.catch_up_pace: {why}"))).ok()
    }

    fn unknown_of_namespace(&mut self, namespace: &str, key: &str, name: &Spanned<DeString>) {
        let line = line_of(self.text, name.span().start);
        let known = "temporal_namespace, task_queue and catch_up_pace";
        let why = format!("unknown key \"namespaces.{namespace}.{key}\"; known are {known}");
        self.fault(line, &why);
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn scalar(value: &DeValue) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key that a misspelt one most likely stands for.
fn nearest(name: &str) -> Option<&'static str> {
    let distances = KEYS.iter().map(|key| (distance(name, key.name), key.name));
    distances.min().filter(|(distance, _)| *distance <= 2).map(|(_, name)| name)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
