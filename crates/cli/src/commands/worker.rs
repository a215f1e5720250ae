//! `flintwheel worker`: runs `RunActivity` workflows for a server elsewhere.

use flintwheel_client::DEFAULT_ADDRESS;

use crate::exit::{Exit, Outcome};
use crate::serve::{self, ServeArgs};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server that hands out definitions, HOST:PORT
    #[arg(long, env = "FLINTWHEEL_ADDRESS", default_value = DEFAULT_ADDRESS)]
    address: String,
    #[command(flatten)]
    serve: ServeArgs,
}

pub async fn run(args: Args) -> Outcome {
    serve::worker(&args.serve, &args.address).await.map_err(|error| serve::failure(&error))?;
    Ok(Exit::Ok)
}
