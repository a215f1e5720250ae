//! `flintwheel dev`: server and worker in one process, and a Temporal dev server where no Temporal is named.

use crate::exit::{Exit, Outcome};
use crate::serve::{self, ServeArgs};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

pub async fn run(args: Args) -> Outcome {
    serve::dev(&args.serve).await.map_err(|error| serve::failure(&error))?;
    Ok(Exit::Ok)
}
