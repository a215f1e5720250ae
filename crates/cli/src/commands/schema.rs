//! `flintwheel schema`.

use std::io::{self, Write};

use crate::exit::{Exit, Outcome};

pub fn run() -> Outcome {
    writeln!(io::stdout(), "{:#}", flintwheel_model::schema::definition())?;
    Ok(Exit::Ok)
}
