//! A small disk for one node, whose power can be cut, and ways to fill it, and to make the disk of a running node slow or bad.
//!
//! The disk is a file with an ext4 file system on a loop device that writes past the machine's page cache. So what the file holds is what
//! a real disk would: all that was synced, and of the rest what the kernel has happened to write. A copy of the file, taken while
//! nobody writes, is the disk after a power cut. Needs root.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Process, is_of_this_program, need_root, run_tool, tool};

/// Names of images: this, the process id of who made it, the disk's number.
const NAMES: &str = "flintwheel-disk-";
/// Of copying an image. The kernel writes in bursts some seconds apart.
const TRIES: u32 = 20;
/// For strace to let go of a process.
const DETACH: Duration = Duration::from_secs(10);

/// A mounted image.
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
    /// The loop device.
    device: Option<String>,
}

impl Disk {
    /// A new one in `dir`, empty, with so many bytes. Holes take no room.
    pub fn make(dir: &Path, number: usize, bytes: u64) -> Result<Self> {
        need_root("disks of their own (loop devices and mounts)")?;
        sweep()?;
        let name = format!("{NAMES}{}-{number}", std::process::id());
        let (image, mount) = (dir.join(format!("{name}.img")), dir.join(&name));
        fs::create_dir_all(&mount).with_context(|| format!("make {}", mount.display()))?;
        let file = fs::File::create(&image).with_context(|| format!("make {}", image.display()))?;
        file.set_len(bytes).with_context(|| format!("make {} {bytes} bytes long", image.display()))?;
        // Without room that only root may use: we are root, and a full disk is to be full.
        run_tool("mkfs.ext4", "e2fsprogs", &["-q", "-F", "-m", "0", &text(&image)])?;
        let mut disk = Self { image, mount, device: None };
        disk.attach()?;
        Ok(disk)
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Keeps what the disk holds at this moment. Nobody may write to it meanwhile: freeze them. What the kernel itself writes late now and then
    /// would make the copy one of two moments; then it is taken again.
    pub fn hold(&self) -> Result<()> {
        for _ in 0..TRIES {
            let before = self.written()?;
            run_tool("cp", "coreutils", &["--sparse=always", &text(&self.image), &text(&self.held())])?;
            if self.written()? == before {
                return Ok(());
            }
        }
        bail!("{} is written to all the time: it can't be copied as it is at one moment", self.image.display())
    }

    /// The kernel's counters of what goes to the device.
    fn written(&self) -> Result<String> {
        let device = self.device.as_deref().context("the disk is not there")?;
        let path = format!("/sys/block/{}/stat", device.trim_start_matches("/dev/"));
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }

    /// Goes on with what was held: what was not synced is gone. Nobody may have a file open.
    pub fn lose_the_rest(&mut self) -> Result<()> {
        self.detach()?;
        fs::rename(self.held(), &self.image).with_context(|| format!("replace {}", self.image.display()))?;
        self.attach()
    }

    /// Fills it until no more than so many bytes are free; what was filled in before goes first.
    pub fn leave(&self, free: u64) -> Result<()> {
        self.make_room()?;
        let take = self.free()?.saturating_sub(free);
        if free > 0 {
            return run_tool("fallocate", "util-linux", &["-l", &take.to_string(), &text(&self.filler())]).map(|_| ());
        }
        fill(&self.filler()).with_context(|| format!("fill {}", self.mount.display()))
    }

    /// Takes away what [`Self::leave`] filled in.
    pub fn make_room(&self) -> Result<()> {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("empty a disk"),
            _ => Ok(()),
        }
    }

    /// Bytes that are free.
    pub fn free(&self) -> Result<u64> {
        let words = run_tool("stat", "coreutils", &["--file-system", "--format=%a %S", &text(&self.mount)])?;
        let numbers: Vec<u64> = words.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [blocks, size] = numbers[..] else { bail!("stat says {words:?} of {}", self.mount.display()) };
        Ok(blocks * size)
    }

    fn filler(&self) -> PathBuf {
        self.mount.join("filler")
    }

    fn held(&self) -> PathBuf {
        self.image.with_extension("held")
    }

    fn attach(&mut self) -> Result<()> {
        let device = run_tool("losetup", "mount", &["--find", "--show", "--direct-io=on", &text(&self.image)])?;
        let device = device.trim().to_owned();
        self.device = Some(device.clone());
        run_tool("mount", "mount", &[&device, &text(&self.mount)]).map(|_| ())
    }

    fn detach(&mut self) -> Result<()> {
        run_tool("umount", "mount", &[&text(&self.mount)])?;
        match self.device.take() {
            Some(device) => run_tool("losetup", "mount", &["--detach", &device]).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            // Lazily: a node that is still ending has files open.
            let _ = run_tool("umount", "mount", &["--lazy", &text(&self.mount)]);
            let _ = run_tool("losetup", "mount", &["--detach", &device]);
        }
        for file in [&self.image, &self.held()] {
            let _ = fs::remove_file(file);
        }
    }
}

/// Writes until there is no room for another block.
fn fill(path: &Path) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    for block in [vec![0; 1 << 20], vec![0; 4096], vec![0; 1]] {
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Lets go of what runs that were broken off have left mounted, and removes their images.
fn sweep() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    for mount in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|mount| is_left_over(mount)) {
        run_tool("umount", "mount", &["--lazy", mount])?;
    }
    let devices = run_tool("losetup", "mount", &["--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"])?;
    for (device, image) in devices.lines().filter_map(|line| line.split_once(' ')) {
        if is_left_over(image) {
            run_tool("losetup", "mount", &["--detach", device])?;
            let _ = fs::remove_file(image);
        }
    }
    Ok(())
}

/// Whether a path names a disk of a run that has ended.
fn is_left_over(path: &str) -> bool {
    let Some((_, rest)) = path.rsplit_once(&format!("/{NAMES}")) else { return false };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().is_ok_and(|owner| !is_of_this_program(owner))
}

/// What becomes of each sync of a process while a [`Disturbed`] lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It takes so much longer: a disk that works, slowly.
    Slow(Duration),
    /// It fails, as on a disk that is broken.
    Failing,
}

/// A process whose disk is disturbed. Tracing slows the process itself down too.
pub struct Disturbed {
    strace: Process,
}

impl Disturbed {
    /// Begins.
    pub fn begin(pid: u32, disturbance: Disturbance, log: &Path) -> Result<Self> {
        let strace = tool("strace")
            .context("no `strace` on this machine, which makes a disk slow or bad: install the package strace")?;
        let calls = "fsync,fdatasync,sync_file_range";
        let what = match disturbance {
            Disturbance::Slow(delay) => format!("delay_enter={}", delay.as_micros()),
            Disturbance::Failing => "error=EIO".to_owned(),
        };
        let inject = format!("inject={calls}:{what}");
        let pid = pid.to_string();
        let args = ["-f", "-p", &pid, "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject];
        Ok(Self { strace: Process::spawn(&strace, args, log)? })
    }

    /// Ends: syncs are as they were. An error if it never was in force.
    pub async fn end(mut self) -> Result<()> {
        self.strace.check_running().context("strace could not disturb the disk")?;
        self.strace.terminate(DETACH).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disks_of_runs_that_have_ended_are_left_over() {
        let (mine, dead) = (std::process::id(), u32::MAX / 2);
        for (path, expected) in [
            (format!("/tmp/x/{NAMES}{dead}-1"), true),
            (format!("/tmp/x/{NAMES}{dead}-1.img"), true),
            (format!("/tmp/x/{NAMES}{dead}-1.img (deleted)"), true),
            (format!("/tmp/x/{NAMES}{mine}-1.img"), false),
            (format!("/tmp/x{NAMES}{dead}-1"), false),
            ("/".to_owned(), false),
        ] {
            assert_eq!(is_left_over(&path), expected, "{path}");
        }
    }
}
