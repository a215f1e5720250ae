//! The three processes of the demo, on free ports of loopback: Temporal's dev server, `flintwheel dev`, and the worker of `examples/`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::setup::Tools;
use crate::shell::{self, say};
use crate::{Result, place};

/// The queue that the example worker polls; firings wait until it does.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The running processes and their addresses.
pub struct Servers {
    // In the order in which they are to end.
    worker: Process,
    flintwheel: Process,
    temporal: Process,
    /// Temporal's gRPC door.
    pub temporal_grpc: SocketAddr,
    temporal_ui: SocketAddr,
    /// Flintwheel's gRPC door.
    pub grpc: SocketAddr,
    http: SocketAddr,
}

impl Servers {
    /// Starts all three and waits until they answer. Data and logs go to `dir`.
    pub fn start(tools: &Tools, dir: &Path) -> Result<Self> {
        let [temporal_grpc, temporal_ui, grpc, http] = free_ports()?;
        say("starting Temporal, Flintwheel and the worker of examples/");
        let mut temporal = Process::start("temporal", &temporal_command(tools, temporal_grpc, temporal_ui, dir), dir)?;
        wait_for("Temporal", &mut temporal, || shell::succeeds(&mut health(tools, temporal_grpc)))?;
        let mut flintwheel =
            Process::start("flintwheel", &flintwheel_command(tools, temporal_grpc, grpc, http, dir), dir)?;
        wait_for("Flintwheel", &mut flintwheel, || answers_ready(http))?;
        let mut worker = tools.command(place::program("flintwheel-example-worker"));
        worker.env("TEMPORAL_ADDRESS", format!("http://{temporal_grpc}"));
        let worker = Process::start("worker", &worker, dir)?;
        Ok(Self { worker, flintwheel, temporal, temporal_grpc, temporal_ui, grpc, http })
    }

    /// An error with its log's end where one of them has ended.
    pub fn check(&mut self) -> Result<()> {
        self.worker.check()?;
        self.flintwheel.check()?;
        self.temporal.check()
    }

    /// Ends all.
    pub fn stop(self) {
        say("stopping");
    }

    /// Shows where everything is, and waits until Flintwheel ends: Ctrl-C reaches all of them.
    pub fn keep(mut self, dir: &Path) -> Result<()> {
        println!("\nTemporal        {}   web page http://{}", self.temporal_grpc, self.temporal_ui);
        println!("Flintwheel      {}   HTTP http://{}", self.grpc, self.http);
        println!("data and logs   {}", dir.display());
        println!("\nexport FLINTWHEEL_ADDRESS={} TEMPORAL_ADDRESS={}", self.grpc, self.temporal_grpc);
        println!("{} status", place::program("flintwheel").display());
        println!("\nAll definitions are paused now: `flintwheel resume ops/health-check`. Ctrl-C ends everything.");
        self.flintwheel.wait();
        Ok(())
    }
}

fn temporal_command(tools: &Tools, grpc: SocketAddr, ui: SocketAddr, dir: &Path) -> Command {
    let mut command = tools.command("temporal");
    command.args(["server", "start-dev", "--ip", "127.0.0.1", "--ui-ip", "127.0.0.1", "--log-level", "error"]);
    command.args(["--port", &grpc.port().to_string(), "--ui-port", &ui.port().to_string()]);
    command.arg("--db-filename").arg(dir.join("temporal.db"));
    command
}

fn health(tools: &Tools, temporal: SocketAddr) -> Command {
    let mut command = tools.command("temporal");
    command.args(["operator", "namespace", "describe", "--namespace", "default", "--address", &temporal.to_string()]);
    command
}

fn flintwheel_command(tools: &Tools, temporal: SocketAddr, grpc: SocketAddr, http: SocketAddr, dir: &Path) -> Command {
    let mut command = tools.command(place::program("flintwheel"));
    command.arg("dev").arg("--data-dir").arg(dir.join("data"));
    command.arg(format!("--temporal-address={temporal}"));
    command.args([format!("--grpc-listen={grpc}"), format!("--http-listen={http}")]);
    command
}

/// Held all at once, so that they differ; let go only then.
fn free_ports() -> Result<[SocketAddr; 4]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no free port: {error}"));
    let held = [bind()?, bind()?, bind()?, bind()?];
    let mut ports = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 4];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr().map_err(|error| format!("no free port: {error}"))?;
    }
    Ok(ports)
}

fn wait_for(name: &str, process: &mut Process, ready: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < READY_WITHIN {
        process.check()?;
        if ready() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("{name} is not ready after {READY_WITHIN:?}:\n{}", process.log_tail()))
}

fn answers_ready(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&http, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
