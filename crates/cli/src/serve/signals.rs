//! SIGINT and SIGTERM: the first asks for an orderly end, the second does not wait for it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that was told twice: as the shell reports a death by SIGINT.
const IMPATIENT: i32 = 130;

/// Ends with the first signal; from then on, the next one ends the process at once.
pub async fn stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals can't be caught; end this process with SIGKILL");
        return std::future::pending().await;
    };
    either(&mut interrupt, &mut terminate).await;
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        eprintln!("ended without waiting; the next start applies the log again");
        #[expect(clippy::disallowed_methods, reason = "whoever asks twice doesn't want to wait for what is open")]
        std::process::exit(IMPATIENT);
    });
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
