//! Definitions from files: which files, what is in them, and where in them a field stands.
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

use flintwheel_model::{ActivityDefinition, DefinitionKey, Violation};

pub use fault::{Fault, Place};
pub use sources::{Files, Source};

/// What was given with `-f`: all definitions in order, and the text they came from.
#[derive(Debug, Default)]
pub struct Input {
    sources: Vec<Source>,
    documents: Vec<Document>,
}

/// One definition and where it stands.
#[derive(Debug)]
struct Document {
    definition: ActivityDefinition,
    source: usize,
    range: Range<usize>,
}

impl Input {
    /// Reads all files. Faults of reading, of form and of content are collected; any one of them is an error. Definitions that name no
    /// namespace are in the given one. That there is none in all the files is a fault too: somebody meant another file.
    pub fn read(files: &Files, namespace: &str) -> Result<Self, Vec<Fault>> {
        let (sources, faults) = files.load();
        let (input, more) = Self::parse(sources, namespace);
        let mut faults: Vec<Fault> = faults.into_iter().chain(more).collect();
        if faults.is_empty() && input.documents.is_empty() {
            faults.extend(
                input.sources.iter().map(|source| Fault::new("", &format!("{} holds no definition", source.name))),
            );
        }
        if faults.is_empty() { Ok(input) } else { Err(faults) }
    }

    /// Texts that were read already.
    fn parse(sources: Vec<Source>, namespace: &str) -> (Self, Vec<Fault>) {
        let mut input = Self { sources, documents: Vec::new() };
        let mut faults = Vec::new();
        for index in 0..input.sources.len() {
            let source = &input.sources[index];
            for range in split::documents(&source.text) {
                match document::parse(source, range.clone(), namespace) {
                    Ok(None) => {}
                    Ok(Some(definition)) => {
                        let document = Document { definition, source: index, range };
                        faults.extend(check::check(&document.definition).iter().map(|v| document.fault(source, v)));
                        input.documents.push(document);
                    }
                    Err(fault) => faults.push(*fault),
                }
            }
        }
        faults.extend(input.duplicates());
        (input, faults)
    }

    /// In the order of the files.
    pub fn definitions(&self) -> impl ExactSizeIterator<Item = &ActivityDefinition> {
        self.documents.iter().map(|document| &document.definition)
    }

    /// A violation of one definition (by its place among all), shown in its file.
    pub fn fault(&self, index: usize, violation: &Violation) -> Fault {
        let document = &self.documents[index];
        document.fault(&self.sources[document.source], violation)
    }

    /// One fault for each definition whose name stands before it already.
    fn duplicates(&self) -> Vec<Fault> {
        let mut seen: HashMap<DefinitionKey, &Document> = HashMap::new();
        let mut faults = Vec::new();
        for document in &self.documents {
            let key = key(&document.definition);
            if let Some(first) = seen.get(&key) {
                let violation = Violation::new("metadata.id", format!("{key} is defined twice"));
                let mut fault = document.fault(&self.sources[document.source], &violation);
                let first = first.fault(&self.sources[first.source], &violation);
                fault.note = first.place.map(|place| format!("first defined at {place}"));
                faults.push(fault);
            } else {
                seen.insert(key, document);
            }
        }
        faults
    }
}

impl Document {
    fn fault(&self, source: &Source, violation: &Violation) -> Fault {
        let text = &source.text[self.range.clone()];
        let found = locate::violation(text, violation);
        let place = Place::new(source, self.range.start + found.start..self.range.start + found.end);
        let place = if violation.part.is_some() { place.labelled(message::subject(&violation.message)) } else { place };
        Fault::new(&violation.field, &violation.message).at(place)
    }
}

/// A definition's name.
pub fn key(definition: &ActivityDefinition) -> DefinitionKey {
    DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id)
}

/// For tests of what is printed.
#[cfg(test)]
pub fn parse_text(text: &str) -> Result<Vec<ActivityDefinition>, Vec<String>> {
    let source = Source { name: "text".to_owned(), text: text.to_owned() };
    let (input, faults) = Input::parse(vec![source], "default");
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    if faults.is_empty() { Ok(input.definitions().cloned().collect()) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
