//! `flintwheel import crontab`.

use std::path::PathBuf;

use flintwheel_import::crontab::{Reading, translate};
use flintwheel_import::{Finding, Weight};
use flintwheel_model::ActivityDefinition;

use super::{LabelArgs, RunnerArgs};
use crate::config::NamespaceArg;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, OutputArgs, Printer, say};
use crate::read::{Fault, Place, Source, key};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A crontab, or - for standard input
    file: PathBuf,
    /// Its lines name a user, as those of /etc/crontab do
    #[arg(long)]
    with_user: bool,
    /// Zone of lines that no CRON_TZ stands before, by its IANA name
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Leave this out where it can't be carried over, as the message names it; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    without: Vec<String>,
    #[command(flatten)]
    runner: RunnerArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    namespace: NamespaceArg,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &Args) -> Outcome {
    let source = Source::open(&args.file).map_err(|fault| Failure::new(Exit::Usage, fault.message))?;
    let reading =
        Reading { with_user: args.with_user, timezone: args.timezone.clone(), runner: args.runner.clone().into() };
    let found = translate(&source.text, &reading, &args.labels.destination(&args.namespace.name()?)?);
    let placed = found.findings.into_iter().map(|one| (one.finding, Some(Place::new(&source, one.range))));
    finish(&found.definitions, placed, &args.without, args.output)
}

/// Prints the definitions, and on standard error what there is to say; the exit code tells whether anything is missing.
pub(super) fn finish(
    definitions: &[ActivityDefinition],
    findings: impl Iterator<Item = (Finding, Option<Place>)>,
    without: &[String],
    output: OutputArgs,
) -> Outcome {
    let mut missing = false;
    for (finding, place) in findings {
        let fault = Fault { field: finding.field.clone(), message: finding.message.clone(), place, note: None };
        let text = fault.to_string();
        let allowed = without.iter().any(|name| *name == finding.name);
        match finding.weight {
            Weight::Lost if !allowed => {
                missing = true;
                say(format_args!("{text}\n   = it can't be carried over ({})", finding.name));
            }
            Weight::Lost | Weight::Differs => say(text.replacen("error:", "warning:", 1)),
            Weight::Note => say(text.replacen("error:", "note:", 1)),
        }
    }
    // What people read is what `apply` reads.
    let format = if matches!(output.output, Format::Table | Format::Wide) { Format::Yaml } else { output.output };
    let mut printer = Printer::list(format);
    for definition in definitions {
        printer.value(&format!("activitydefinition/{}", key(definition)), definition)?;
    }
    printer.finish()?;
    Ok(match (missing, definitions.is_empty()) {
        (false, _) => Exit::Ok,
        (true, false) => Exit::Failed,
        (true, true) => Exit::Refused,
    })
}
