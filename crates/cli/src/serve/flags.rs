//! The flags of the commands that serve: one for each key of the configuration, made from its table.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use flintwheel_node::config::{Config, KEYS};

/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "flintwheel.toml";
const FILE: &str = "config";

/// What the command line says about the configuration.
#[derive(Clone, Default)]
pub struct ServeArgs {
    file: Option<PathBuf>,
    flags: Vec<(&'static str, String)>,
}

impl ServeArgs {
    /// Defaults, file, environment, flags; the later wins.
    pub fn load(&self) -> Result<Config> {
        let default = PathBuf::from(DEFAULT_FILE);
        let file = self.file.clone().or_else(|| default.is_file().then_some(default));
        Ok(Config::load(file.as_deref(), |name| std::env::var(name).ok(), &self.flags)?)
    }
}

impl std::fmt::Debug for ServeArgs {
    /// Without the values: one of them is a key.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("ServeArgs").field("file", &self.file).finish_non_exhaustive()
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.file = matches.get_one::<PathBuf>(FILE).cloned();
        let given = KEYS.iter().filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone())));
        self.flags = given.collect();
        Ok(())
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .env("FLINTWHEEL_CONFIG")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Configuration in TOML (default: flintwheel.toml in this directory, if it is there)");
        KEYS.iter().fold(command.arg(file), |command, key| {
            let help = match key.default {
                "" => key.help.to_owned(),
                default => format!("{} [default: {default}]", key.help),
            };
            // clap wants names that live as long as the process; the command line is built once in it.
            let value_name: &'static str = key.name.rsplit('.').next().unwrap_or(key.name).to_uppercase().leak();
            let long: &'static str = key.long().leak();
            command.arg(Arg::new(key.name).long(long).value_name(value_name).help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
