//! `flintwheel version`.

use std::io::{self, Write};

use crate::config::Connection;
use crate::exit::{Exit, Outcome};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the version of this program only
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    writeln!(io::stdout(), "flintwheel {}", env!("CARGO_PKG_VERSION"))?;
    if !args.client {
        let status = args.connection.open()?.client.status().await?;
        writeln!(io::stdout(), "server {} (time zones {})", status.version, status.tzdata_version)?;
    }
    Ok(Exit::Ok)
}
