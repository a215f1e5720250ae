//! Something done to many definitions by their labels, for `pause`, `resume`, `set` and their kin: counted first, asked about, then done page by page.

use flintwheel_client::{BulkAction, BulkRequest, BulkResult, Client, PageRequest};
use flintwheel_model::DefinitionKey;

use super::pages::Pages;
use super::show;
use crate::config::{RequestArg, Session};
use crate::exit::{Exit, Failure, Outcome, exit_of};
use crate::output::{Printer, Progress, confirm, plural, say};

/// Which definitions are meant.
#[derive(Clone, Debug, clap::Args)]
pub struct Selection {
    /// All of the namespace whose labels match, such as team=billing; * for every one
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// With -l: of all namespaces
    #[arg(short = 'A', long, requires = "selector")]
    all_namespaces: bool,
    /// With -l: tell how many that are, and which come first (with -o json, yaml or name: all of them), and do nothing
    #[arg(long, requires = "selector")]
    dry_run: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

/// `Pause`, `pausing`, `paused`.
#[derive(Clone, Copy)]
pub struct Words {
    /// To ask.
    pub ask: &'static str,
    /// While it is done.
    pub doing: &'static str,
    /// When it is done.
    pub done: &'static str,
}

/// Faults told one by one; many are mostly the same.
const FAULTS: u64 = 20;
/// Names that are shown before it is done.
const SAMPLE: usize = 5;

/// What would be done.
#[derive(Default)]
struct Tried {
    changes: u64,
    first: Vec<DefinitionKey>,
    faults: u64,
}

/// What was done.
#[derive(Default)]
struct Done {
    changed: u64,
    same: u64,
    faults: u64,
    exit: Option<Exit>,
}

impl Selection {
    /// For a command whose own flags say it: labels, and whether of all namespaces.
    pub fn of((selector, all_namespaces): (String, bool), dry_run: bool, yes: bool) -> Self {
        Self { selector: Some(selector), all_namespaces, dry_run, yes }
    }

    /// The labels, where definitions are chosen by them. Names, or labels: not both, and one of them.
    pub fn by_labels(&self, names: &[String]) -> Result<Option<&str>, Failure> {
        match (&self.selector, names.is_empty()) {
            (Some(_), false) => Err(Failure::usage("names and -l are two ways to choose definitions: use one of them")),
            (None, true) => {
                Err(Failure::usage("nothing is chosen: name definitions (<NAMES>), or choose them by -l LABELS"))
            }
            (selector, _) => Ok(selector.as_deref()),
        }
    }

    /// Does it to all that match.
    pub async fn run(
        &self,
        session: &Session,
        action: BulkAction,
        words: Words,
        request: &RequestArg,
        mut printer: Printer,
    ) -> Outcome {
        let bulk = BulkRequest {
            namespace: if self.all_namespaces { String::new() } else { session.namespace.clone() },
            label_selector: self.selector.clone().unwrap_or_default(),
            action,
            // One for all pages, so that a page that is tried again does nothing twice.
            request_id: request.of_all(),
            validate_only: false,
        };
        // Programs go on with what is printed: all of it, then, and not the first few.
        let told = Some(&mut printer).filter(|printer| self.dry_run && !printer.is_table());
        let tried = attempt(&session.client, &bulk, told).await?;
        let many = plural(tried.changes, "definition");
        if self.dry_run {
            if printer.is_table() {
                printer.line(&format!("{many} would be {}{}", words.done, sample(&tried)))?;
            }
            printer.finish()?;
            return Ok(if tried.faults > 0 { Exit::Refused } else { Exit::Ok });
        }
        if tried.changes == 0 && tried.faults == 0 {
            let so_already = if bulk.action == BulkAction::Delete { "" } else { " that is not so already" };
            say(format_args!("nothing matches{so_already}; nothing was {}", words.done));
            printer.finish()?;
            return Ok(Exit::Ok);
        }
        confirm(&format!("{} {many}{}?", words.ask, sample(&tried)), self.yes)?;
        let done = carry_out(&session.client, &bulk, words, tried.changes, &mut printer).await?;
        if printer.is_table() {
            let same = if done.same > 0 { format!(", {} as before", done.same) } else { String::new() };
            printer.line(&format!("{} {}{same}", plural(done.changed, "definition"), words.done))?;
        }
        printer.finish()?;
        if done.faults > 0 {
            say(format_args!(
                "{} could not be {}; say it again to go on",
                plural(done.faults, "definition"),
                words.done
            ));
        }
        Ok(done.exit.unwrap_or(Exit::Ok))
    }
}

/// The first few, so that a slip is seen before it is confirmed.
fn sample(tried: &Tried) -> String {
    if tried.first.is_empty() {
        return String::new();
    }
    let names = tried.first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if tried.changes > tried.first.len() as u64 { " ..." } else { "" };
    format!(": {names}{more}")
}

/// What would be done; the changes are also printed, where there is a printer for them.
async fn attempt(client: &Client, bulk: &BulkRequest, mut told: Option<&mut Printer>) -> Result<Tried, Failure> {
    let bulk = BulkRequest { validate_only: true, ..bulk.clone() };
    let (mut tried, progress) = (Tried::default(), Progress::open("counting"));
    let mut pages = Pages::new(0);
    while let Some(results) = pages.next(|page| client.bulk(&bulk, some(page))).await? {
        progress.add(results.len() as u64);
        for result in results {
            let BulkResult { definition, changed, fault, .. } = &result;
            let name = show::name(definition);
            if let Some(fault) = fault {
                tried.faults += 1;
                if tried.faults <= FAULTS {
                    progress.say(format_args!("error: {name}: {fault}"));
                }
            } else if *changed {
                tried.changes += 1;
                if tried.first.len() < SAMPLE {
                    tried.first.push(definition.clone());
                }
                if let Some(printer) = told.as_deref_mut() {
                    printer.value(&name, &result)?;
                }
            }
        }
    }
    progress.done();
    Ok(tried)
}

async fn carry_out(
    client: &Client,
    bulk: &BulkRequest,
    words: Words,
    count: u64,
    printer: &mut Printer,
) -> Result<Done, Failure> {
    let (mut done, progress) = (Done::default(), Progress::of(count, words.doing));
    let mut pages = Pages::new(0);
    while let Some(results) = pages.next(|page| client.bulk(bulk, some(page))).await? {
        progress.add(results.len() as u64);
        for result in results {
            let name = show::name(&result.definition);
            match &result.fault {
                Some(fault) => {
                    done.faults += 1;
                    done.exit = done.exit.or(Some(exit_of(fault.code)));
                    if done.faults <= FAULTS {
                        progress.say(format_args!("error: {name}: {fault}"));
                    }
                }
                None if result.changed => done.changed += 1,
                None => done.same += 1,
            }
            if !printer.is_table() {
                printer.value(&name, &result)?;
            }
        }
    }
    progress.done();
    Ok(done)
}

/// Few enough that an answer comes while somebody waits for it.
fn some(page: PageRequest) -> PageRequest {
    PageRequest { size: 200, ..page }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        names: Vec<String>,
        #[command(flatten)]
        selection: Selection,
    }

    #[test]
    fn definitions_are_chosen_by_name_or_by_label() {
        for (line, chosen) in [
            ("a b", Some(None)),
            ("-l team=x", Some(Some("team=x"))),
            ("-l * -A --dry-run", Some(Some("*"))),
            ("a -l team=x", None),
            ("", None),
            ("a --dry-run", None),
            ("a -A", None),
        ] {
            let words = std::iter::once("pause").chain(line.split_whitespace());
            let read = Line::try_parse_from(words).ok();
            let by = read.as_ref().and_then(|read| read.selection.by_labels(&read.names).ok());
            assert_eq!(by, chosen, "{line}");
        }
    }

    #[test]
    fn the_first_names_are_shown_and_that_there_are_more() {
        let key = |id: &str| DefinitionKey::new("n", id);
        let tried = |changes, ids: &[&str]| Tried { changes, first: ids.iter().map(|id| key(id)).collect(), faults: 0 };
        assert_eq!(sample(&tried(0, &[])), "");
        assert_eq!(sample(&tried(2, &["a", "b"])), ": n/a, n/b");
        assert_eq!(sample(&tried(9, &["a", "b"])), ": n/a, n/b ...");
    }
}
