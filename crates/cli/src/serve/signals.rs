//! SIGINT and SIGTERM: the first asks for an orderly end, the second does not wait for it.

use std::io;

use crate::exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// The exit code of a process that was told twice: as the shell reports a death by SIGINT.
const IMPATIENT: i32 = 130;

/// Catches signals from now on. What is returned ends with the first one; the next one ends the process at once.
pub fn stop() -> impl Future<Output = ()> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(watch(signal(SignalKind::interrupt()), signal(SignalKind::terminate()), tell));
    // The watch lets go of its end only when it has told, or when the process ends.
    async move { told.await.unwrap_or_default() }
}

async fn watch(interrupt: io::Result<Signal>, terminate: io::Result<Signal>, tell: oneshot::Sender<()>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        tracing::error!("signals can't be caught; end this process with SIGKILL");
        return std::future::pending().await;
    };
    either(&mut interrupt, &mut terminate).await;
    // Whoever has ended by itself needs no telling.
    let _ = tell.send(());
    either(&mut interrupt, &mut terminate).await;
    eprintln!("ended without waiting; the next start applies the log again");
    exit::at_once(IMPATIENT);
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
