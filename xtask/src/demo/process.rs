//! Child processes that end with the demo, whatever ends it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, shell};

/// A server that writes to a log file.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it. It is killed by the kernel if we die without a chance to stop it.
    pub fn start(name: &'static str, command: &Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let open = || File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = open().map_err(|error| format!("create {}: {error}", log.display()))?;
        let mut command = tied_to_us(command);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.map_err(|error| format!("can't start `{}`: {error}", shell::line(&command)))?;
        Ok(Self { name, child, log })
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended with {status}:\n{}", self.name, self.log_tail())),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        let _ = self.child.wait();
    }

    fn ends_within(&mut self, patience: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// Asks it to end, and makes it after a while.
impl Drop for Process {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        shell::succeeds(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]));
        if !self.ends_within(Duration::from_secs(10)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The same command under `setpriv --pdeathsig`, which is part of every Debian.
fn tied_to_us(command: &Command) -> Command {
    if !shell::succeeds(Command::new("setpriv").arg("--version")) {
        return again(command, Command::new(command.get_program()));
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    again(command, wrapped)
}

fn again(of: &Command, mut command: Command) -> Command {
    command.args(of.get_args());
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = of.get_current_dir() {
        command.current_dir(dir);
    }
    command
}
