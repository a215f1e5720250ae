//! A real S3-compatible server: SeaweedFS on loopback, with one bucket and one pair of keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http;
use crate::process::{Process, free_port, test_server};

/// Four servers in one process find each other.
const READY_WITHIN: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// The server, running or not.
pub struct Objects {
    program: PathBuf,
    dir: PathBuf,
    /// Of its master, its volumes, its directory and its S3 door; each has another one for its peers.
    doors: [SocketAddr; 4],
    inner: [SocketAddr; 4],
    unused: SocketAddr,
    process: Option<Process>,
}

impl Objects {
    /// The bucket that is there.
    pub const BUCKET: &str = "backups";
    /// Who may use it.
    pub const ACCESS_KEY: &str = "AKIATESTONLY";
    /// With this.
    pub const SECRET_KEY: &str = "s3cr3t-for-tests-only";

    /// Starts one with its data and its log in `dir`; waits until it takes objects.
    pub async fn start(dir: &Path) -> Result<Self> {
        let program = test_server("weed", "FLINTWHEEL_WEED")?;
        let dir = dir.join("objects");
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let (doors, inner) = (ports()?, ports()?);
        let mut objects = Self { program, dir, doors, inner, unused: free_port()?, process: None };
        objects.start_again().await?;
        Ok(objects)
    }

    /// The variables by which clients find it, and may use it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.doors[3])),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET_KEY.to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// What lies below a prefix, by the door of its directory: names, in order.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let path = format!("/buckets/{}/{prefix}/?limit=1000", Self::BUCKET);
        let answer = http::send_with(self.doors[2], "GET", &path, &[("Accept", "application/json")], "").await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let listed: Value = serde_json::from_str(&answer.ok()?).context("a list of files")?;
        let entries = listed["Entries"].as_array().cloned().unwrap_or_default();
        let name = |entry: &Value| entry["FullPath"].as_str()?.rsplit('/').next().map(str::to_owned);
        let mut names: Vec<String> = entries.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Starts it, with the data that it has and the same doors.
    pub async fn start_again(&mut self) -> Result<()> {
        let log = self.dir.join("weed.log");
        self.process = Some(Process::spawn(&self.program, self.arguments()?, &log)?);
        let begun = Instant::now();
        while !self.takes_objects().await {
            self.process.as_mut().map_or(Ok(()), Process::check_running)?;
            if begun.elapsed() > READY_WITHIN {
                bail!("the S3 server takes no object after {READY_WITHIN:?}: see {}", log.display());
            }
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }

    fn arguments(&self) -> Result<Vec<String>> {
        let keys = self.dir.join("keys.json");
        let credentials = json!([{"accessKey": Self::ACCESS_KEY, "secretKey": Self::SECRET_KEY}]);
        let who = json!({"identities": [{"name": "tests", "credentials": credentials, "actions": ["Read", "Write", "List"]}]});
        std::fs::write(&keys, who.to_string()).with_context(|| format!("write {}", keys.display()))?;
        let mut arguments: Vec<String> =
            ["server", "-filer", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]
                .map(str::to_owned)
                .into();
        arguments.extend([
            format!("-dir={}", self.dir.display()),
            format!("-s3.config={}", keys.display()),
            // Small volumes, for a small disk.
            "-volume.max=8".to_owned(),
            "-master.volumeSizeLimitMB=64".to_owned(),
            "-s3.autoCreateBucket=false".to_owned(),
            "-s3.port.iceberg=0".to_owned(),
            format!("-s3.port.lance={}", self.unused.port()),
        ]);
        for (index, name) in ["master", "volume", "filer", "s3"].into_iter().enumerate() {
            arguments.push(format!("-{name}.port={}", self.doors[index].port()));
            arguments.push(format!("-{name}.port.grpc={}", self.inner[index].port()));
        }
        Ok(arguments)
    }

    /// Makes the bucket, where it is not there, and puts something beside it, by the door of its directory: that asks for no keys.
    async fn takes_objects(&self) -> bool {
        let directory = self.doors[2];
        let bucket = format!("/buckets/{}/", Self::BUCKET);
        // 409: it is there.
        let made = http::send(directory, "POST", &bucket, None).await;
        let made = made.is_ok_and(|answer| answer.status < 300 || answer.status == 409);
        let put = http::send(directory, "PUT", "/ready", Some("{}")).await.is_ok_and(|answer| answer.status < 300);
        // Nobody in particular may not ask for that: the S3 door works.
        let asked = http::get(self.doors[3], &format!("/{}", Self::BUCKET)).await;
        made && put && asked.is_ok_and(|answer| answer.status == 403)
    }
}

fn ports() -> Result<[SocketAddr; 4]> {
    Ok([free_port()?, free_port()?, free_port()?, free_port()?])
}
