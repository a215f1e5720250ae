//! `flintwheel worker`: runs `RunActivity` workflows for a server elsewhere.

use flintwheel_client::DEFAULT_ADDRESS;

use crate::exit::{Exit, Failure, Outcome};
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
    let ended = serve::worker(&args.serve, &args.address).await;
    ended.map_err(|error| Failure::new(Exit::Failed, format_args!("{error:#}")))?;
    Ok(Exit::Ok)
}
