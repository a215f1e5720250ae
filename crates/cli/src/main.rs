//! `flintwheel`: the server, the orchestration worker and the command line in one program.
//!
//! Knows commands, files and terminals; what a definition means, and how it travels, is the business of the crates below.

mod commands;
mod config;
mod exit;
mod output;
mod read;
mod serve;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// RocksDB and the engine allocate much and give much back; the C library's allocator keeps what is given back. This one has a thread that
/// returns it to the system also while the threads that held it are idle.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ! {
    let cli = commands::Cli::parse();
    // One provider for all TLS of the process; that it is set already can't be, nothing has run yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(format_args!("error: no threads to work with: {error}"));
            exit::at_once(exit::Exit::Failed as i32);
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // A read of standard input that is still waiting must not hold the process.
    runtime.shutdown_background();
    let exit = outcome.unwrap_or_else(|failure| {
        if !failure.text.is_empty() {
            output::say(&failure.text);
        }
        failure.exit
    });
    exit::at_once(exit as i32)
}
