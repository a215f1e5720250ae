//! The log: on stderr, as text or as JSON.

use std::io::IsTerminal;

use anyhow::{Result, anyhow};
use flintwheel_node::config::{ConfigError, LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// Sets the log of this process up. `RUST_LOG` is not read: one way to say it is enough.
pub fn init(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log_level).map_err(|why| {
        ConfigError(vec![format!("log_level = {:?}: {why}; write for example info,openraft=error", settings.log_level)])
    })?;
    // Colours are for people: a file or a collector would get them as rubbish.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let set = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| anyhow!("the log can't be set up: {error}"))
}
