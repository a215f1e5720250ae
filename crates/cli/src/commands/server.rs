//! `flintwheel server`: the engine and its doors.

use crate::exit::{Exit, Outcome};
use crate::serve::{self, ServeArgs};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

pub async fn run(args: Args) -> Outcome {
    serve::server(&args.serve).await.map_err(|error| serve::failure(&error))?;
    Ok(Exit::Ok)
}
