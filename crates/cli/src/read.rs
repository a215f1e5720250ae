//! Definitions and calendars from files: which files, what is in them, and where in them a field stands.
//!
//! Everything is read and checked before anything is sent, and all faults of all documents are told at once.

mod check;
mod document;
mod fault;
mod locate;
mod message;
mod sources;
mod split;
mod tree;

use std::collections::HashMap;
use std::ops::Range;

use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey, Violation};
use flintwheel_node::admission::{GivenCalendars, SCHEDULE};
use serde_json::Value;

pub use check::Judge;
use document::Content;
pub use fault::{Fault, Place};
pub use sources::{Files, Source};

/// What was given with `-f`: all definitions and calendars in order, and the text they came from.
#[derive(Debug, Default)]
pub struct Input {
    sources: Vec<Source>,
    documents: Vec<Document<ActivityDefinition>>,
    calendars: Vec<Document<Calendar>>,
}

/// One definition, or calendar, and where it stands.
#[derive(Debug)]
struct Document<T> {
    content: T,
    source: usize,
    range: Range<usize>,
}

impl Input {
    /// Reads all files. Faults of reading, of form and of content are collected; any one of them is an error. Definitions that name no
    /// namespace are in the given one. That there is nothing in all the files is a fault too: somebody meant another file.
    pub fn read(files: &Files, namespace: &str, judge: Judge) -> Result<Self, Vec<Fault>> {
        let (sources, faults) = files.load();
        let (input, more) = Self::parse(sources, namespace, judge);
        let mut faults: Vec<Fault> = faults.into_iter().chain(more).collect();
        if faults.is_empty() && input.documents.is_empty() && input.calendars.is_empty() {
            faults.extend(
                input.sources.iter().map(|source| Fault::new("", &format!("{} holds no definition", source.name))),
            );
        }
        if faults.is_empty() { Ok(input) } else { Err(faults) }
    }

    /// Texts that were read already.
    fn parse(sources: Vec<Source>, namespace: &str, judge: Judge) -> (Self, Vec<Fault>) {
        let mut input = Self { sources, ..Self::default() };
        let mut faults = Vec::new();
        for source in 0..input.sources.len() {
            let read = &input.sources[source];
            for range in split::documents(&read.text) {
                match document::parse(read, range.clone(), namespace) {
                    Ok(None) => {}
                    Ok(Some(Content::Definition(content))) => {
                        input.documents.push(Document { content: *content, source, range });
                    }
                    Ok(Some(Content::Calendar(content))) => {
                        input.calendars.push(Document { content: *content, source, range });
                    }
                    Err(fault) => faults.push(*fault),
                }
            }
        }
        faults.extend(input.check(judge));
        faults.extend(duplicates(&input.sources, &input.documents, key));
        faults.extend(duplicates(&input.sources, &input.calendars, calendar_key));
        (input, faults)
    }

    /// When all has been read: definitions may name calendars that stand behind them.
    fn check(&self, judge: Judge) -> Vec<Fault> {
        let calendars: Vec<Calendar> = self.calendars().cloned().collect();
        let (given, wrong) = GivenCalendars::read(&calendars);
        let mut faults = Vec::new();
        for (document, violations) in self.calendars.iter().zip(wrong) {
            faults.extend(violations.0.iter().map(|violation| document.fault(&self.sources, violation)));
        }
        for document in &self.documents {
            let violations = check::check(&document.content, &given, judge);
            faults.extend(violations.iter().map(|violation| document.fault(&self.sources, violation)));
        }
        faults
    }

    /// In the order of the files.
    pub fn definitions(&self) -> impl ExactSizeIterator<Item = &ActivityDefinition> {
        self.documents.iter().map(|document| &document.content)
    }

    /// In the order of the files.
    pub fn calendars(&self) -> impl ExactSizeIterator<Item = &Calendar> {
        self.calendars.iter().map(|document| &document.content)
    }

    /// A violation of one definition (by its place among all), shown in its file.
    pub fn fault(&self, index: usize, violation: &Violation) -> Fault {
        self.documents[index].fault(&self.sources, violation)
    }

    /// What is allowed in one definition (by its place among all) but hardly meant, shown in its file.
    pub fn warnings(&self, index: usize) -> Vec<Fault> {
        let schedule = self.documents[index].content.spec.trigger.schedule.as_ref();
        let found = schedule.map(|trigger| flintwheel_schedule::warnings(trigger, SCHEDULE)).unwrap_or_default();
        found.iter().map(|violation| self.fault(index, violation)).collect()
    }

    /// A violation of one calendar (by its place among all), shown in its file.
    pub fn calendar_fault(&self, index: usize, violation: &Violation) -> Fault {
        self.calendars[index].fault(&self.sources, violation)
    }
}

/// A document, whatever it says, with its place.
type Placed = (Range<usize>, Result<Value, Box<Fault>>);

/// The documents of a text, whatever they say, each with its place in it.
pub fn values(source: &Source) -> Vec<Placed> {
    let read = |range: Range<usize>| {
        let value = document::value(source, range.clone()).transpose()?;
        Some((range, value))
    };
    split::documents(&source.text).into_iter().filter_map(read).collect()
}

/// Where a field of one of [`values`] stands; where it is not there, where it would be.
pub fn place_of(source: &Source, document: Range<usize>, field: &str) -> Place {
    let found = locate::violation(&source.text[document.clone()], &Violation::new(field, ""));
    Place::new(source, document.start + found.start..document.start + found.end)
}

/// One fault for each whose name stands before it already.
fn duplicates<T>(sources: &[Source], documents: &[Document<T>], key: impl Fn(&T) -> DefinitionKey) -> Vec<Fault> {
    let mut seen: HashMap<DefinitionKey, &Document<T>> = HashMap::new();
    let mut faults = Vec::new();
    for document in documents {
        let key = key(&document.content);
        if let Some(first) = seen.get(&key) {
            let violation = Violation::new("metadata.id", format!("{key} is defined twice"));
            let mut fault = document.fault(sources, &violation);
            let first = first.fault(sources, &violation);
            fault.note = first.place.map(|place| format!("first defined at {place}"));
            faults.push(fault);
        } else {
            seen.insert(key, document);
        }
    }
    faults
}

impl<T> Document<T> {
    fn fault(&self, sources: &[Source], violation: &Violation) -> Fault {
        let source = &sources[self.source];
        let text = &source.text[self.range.clone()];
        let locate::Shown { range: found, is_part } = locate::shown(text, violation);
        let place = Place::new(source, self.range.start + found.start..self.range.start + found.end);
        // A value that is shown as a whole is not what the label names.
        let place = if is_part { place.labelled(message::subject(&violation.message)) } else { place };
        Fault::new(&violation.field, &violation.message).at(place)
    }
}

/// A definition's name.
pub fn key(definition: &ActivityDefinition) -> DefinitionKey {
    DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id)
}

/// A calendar's name.
pub fn calendar_key(calendar: &Calendar) -> DefinitionKey {
    DefinitionKey::new(&calendar.metadata.namespace, &calendar.metadata.id)
}

/// For tests of what is printed.
#[cfg(test)]
pub fn parse_text(text: &str) -> Result<Vec<ActivityDefinition>, Vec<String>> {
    let source = Source { name: "text".to_owned(), text: text.to_owned() };
    let (input, faults) = Input::parse(vec![source], "default", Judge::Here);
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    if faults.is_empty() { Ok(input.definitions().cloned().collect()) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
