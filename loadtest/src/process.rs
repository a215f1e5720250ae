//! Child processes: found, started, frozen, killed by their own id, and measured through `/proc`. They end with their handle, and with
//! the program that started them, also where that one is killed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Of `/proc`, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// A running child.
pub struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts it with both its outputs appended to `log`.
    pub fn spawn<I, S>(program: &Path, args: I, log: &Path) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let out =
            File::options().create(true).append(true).open(log).with_context(|| format!("open {}", log.display()))?;
        let mut command = tied(program);
        command.args(args).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
        // A developer's own settings are no part of a proof.
        let theirs = |name: &str| name.starts_with("TEMPORAL_") || name.starts_with("FLINTWHEEL_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| theirs(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id as i32)).context("the child has ended at once")?;
        Ok(Self { child, pid, log: log.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// SIGSTOP: it stays, but does nothing.
    pub fn freeze(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM, and SIGKILL if it hasn't ended by itself after `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> Result<()> {
        kill_process(self.pid, Signal::TERM)?;
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(ended) => ended.map(|_| ()).map_err(Into::into),
            Err(_) => self.kill().await,
        }
    }

    /// An error with the end of its log if it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("process {} ended ({status}):\n{}", self.id(), self.log_tail()),
        }
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Bytes of memory that it holds now.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        let kib: u64 = kib.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
        Ok(kib * 1024)
    }

    /// Bytes of memory that it holds now, its part of what it shares with others.
    pub fn own_bytes(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in /proc")?;
        let kib: u64 = kib.trim().trim_end_matches(" kB").parse().context("Pss is no number")?;
        Ok(kib * 1024)
    }

    /// Processor time that it has used so far, user and system.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name may hold spaces; it ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(')').context("odd /proc stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

/// The command of a program that is killed when the thread that starts it ends: a proof that is killed runs no destructors. `setpriv` asks the
/// kernel for that and becomes the program, under the same process id. Where it is not installed, only the handle ends the child.
fn tied(program: &Path) -> Command {
    let Some(setpriv) = tool("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The most memory that this process has had, in bytes.
pub fn own_peak_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc")?;
    let kib: u64 = kib.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")?;
    Ok(kib * 1024)
}

/// A program of the system, found by the search path or where administrators' programs are.
pub fn tool(name: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&search).chain(more).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Runs a program of the system to its end, and returns what it wrote. An error names the command and what it complained of; where the program is
/// missing, the package that has it.
pub fn run_tool(name: &str, package: &str, args: &[&str]) -> Result<String> {
    let program = tool(name).with_context(|| format!("no `{name}` on this machine: install the package {package}"))?;
    let output = std::process::Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        let words = args.join(" ");
        bail!("`{name} {words}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An error where this is not run by root, which `what` needs.
pub fn need_root(what: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("{what} need root: run this as root");
    }
    Ok(())
}

/// Whether a process of this program runs under this id: a run that was broken off leaves names with its id behind.
pub fn is_of_this_program(pid: u32) -> bool {
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let theirs = name(&pid.to_string());
    theirs.is_some() && theirs == name("self")
}

/// Below where the kernel takes ports for outgoing connections: one of these is not taken between the choice and the server's start.
const PORTS: std::ops::Range<u16> = 10_000..32_768;

/// Reservations of this process, kept until it ends: a server that is stopped and started again wants its port back.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A free loopback port that no other process has got from here: tests and proofs that run side by side choose at the same time, and a
/// server binds a while after the choice.
pub fn free_port() -> Result<SocketAddr> {
    let reservations = std::env::temp_dir().join("flintwheel-ports");
    fs::create_dir_all(&reservations).with_context(|| format!("make {}", reservations.display()))?;
    for _ in 0..100 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        let path = reservations.join(address.port().to_string());
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        if file.try_lock().is_ok() && TcpListener::bind(address).is_ok() {
            RESERVED.lock().push(file);
            return Ok(address);
        }
    }
    bail!("no free port on loopback in {PORTS:?}: 100 were tried")
}

/// A program of this workspace: `$variable`, or beside the running one.
pub fn own_binary(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let running = std::env::current_exe()?;
    running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no `{name}` beside {}: build it, or set {variable}", running.display()))
}

/// A server that the project installs for its tests: `$variable`, the project's virtual environment, or the search path.
pub fn test_server(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let installed = cache.map(|cache| cache.join("flintwheel/venv/bin").join(name));
    let search = std::env::var_os("PATH").unwrap_or_default();
    installed
        .into_iter()
        .chain(std::env::split_paths(&search).map(|dir| dir.join(name)))
        .find(|path| path.is_file())
        .with_context(|| format!("no `{name}`: run `cargo xtask setup`, or set {variable}"))
}
