//! An object store: files are objects below a prefix. Large ones go up in parts, several at a time; an object is there whole or not at all.
//!
//! Knows no protocol and no credential: that is the crate `object_store`, which also tries again what may pass.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::UNFINISHED;
use super::said::{Secrets, meaning};
use crate::error::BackupError;

/// Bytes of a part. S3 takes 10,000 of them, so a shard's file may have 156 GiB; as R2 asks, all but the last have this size.
const PART: usize = 16 * 1024 * 1024;
const MOST_PARTS: usize = 10_000;
/// Parts and reads under way, over all files: they bound what is in memory, and what is asked of the store at a time.
const REQUESTS: usize = 8;

/// See the module.
pub struct Store {
    store: Arc<dyn ObjectStore>,
    /// As it was named, for errors.
    name: String,
    prefix: Path,
    secrets: Secrets,
    requests: Arc<Semaphore>,
}

/// A prefix that a new backup has claimed.
pub struct NewStore {
    store: Arc<Store>,
    /// What was begun, by name: uploads that are open among them.
    files: Mutex<BTreeMap<String, Opened>>,
}

type Opened = Arc<Mutex<Option<Box<dyn MultipartUpload>>>>;

/// A file on its way.
pub struct Upload {
    store: Arc<Store>,
    file: String,
    /// Is none as long as everything fits into one part. Who gives the backup up finds it here.
    upload: Opened,
    ready: BytesMut,
    parts: usize,
    under_way: JoinSet<object_store::Result<()>>,
}

impl Store {
    pub fn new(store: Arc<dyn ObjectStore>, name: String, prefix: Path, secrets: Secrets) -> Self {
        Self { store, name, prefix, secrets, requests: Arc::new(Semaphore::new(REQUESTS)) }
    }

    pub async fn size(&self, file: &str) -> Result<Option<u64>, BackupError> {
        match self.store.head(&self.key(file)).await {
            Ok(object) => Ok(Some(object.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(file, "read")(error)),
        }
    }

    pub async fn read(&self, file: &str, from: u64, length: u64) -> Result<Bytes, BackupError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let _request = self.request().await;
        let read = self.store.get_range(&self.key(file), from..from.saturating_add(length)).await;
        let bytes = read.map_err(self.failed(file, "read"))?;
        if bytes.len() as u64 != length {
            let why = format!("{} bytes came from {from} on, and {length} were asked for", bytes.len());
            return Err(BackupError::damaged(&self.url(file), why));
        }
        Ok(bytes)
    }

    /// The name of something that is here.
    pub async fn first(&self) -> Result<Option<String>, BackupError> {
        let prefix = (!self.prefix.is_root()).then_some(&self.prefix);
        let first = self.store.list(prefix).try_next().await;
        let first = first.map_err(self.failed("", "listed"))?;
        Ok(first.map(|object| {
            let key = object.location.to_string();
            let short = key.strip_prefix(self.prefix.as_ref()).map(|rest| rest.trim_start_matches('/'));
            short.unwrap_or(&key).to_owned()
        }))
    }

    pub async fn claim(self: &Arc<Self>) -> Result<NewStore, BackupError> {
        if let Some(first) = self.first().await? {
            let open = self.size(UNFINISHED).await?.is_some();
            return Err(self.taken(if open { UNFINISHED } else { &first }));
        }
        self.mark().await?;
        Ok(NewStore { store: Arc::clone(self), files: Mutex::default() })
    }

    /// Writes the mark, which only one can. A try of ours that was carried out and not answered is known by what stands in it.
    async fn mark(&self) -> Result<(), BackupError> {
        let (key, token) = (self.key(UNFINISHED), Uuid::new_v4().to_string());
        let create = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&key, token.clone().into(), create).await {
            Ok(_) => Ok(()),
            // Whoever has switched it off in the environment sees to it that nobody else writes here.
            Err(object_store::Error::NotImplemented { .. }) => self.put(UNFINISHED, token.into()).await,
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = self.store.get(&key).await.map_err(self.failed(UNFINISHED, "read"))?;
                let there = there.bytes().await.map_err(self.failed(UNFINISHED, "read"))?;
                if there == token { Ok(()) } else { Err(self.taken(UNFINISHED)) }
            }
            Err(error) => Err(self.failed(UNFINISHED, "written")(error)),
        }
    }

    async fn put(&self, file: &str, bytes: Bytes) -> Result<(), BackupError> {
        let _request = self.request().await;
        let put = self.store.put(&self.key(file), bytes.into()).await;
        put.map(drop).map_err(self.failed(file, "written"))
    }

    async fn remove(&self, file: &str) -> Result<(), BackupError> {
        match self.store.delete(&self.key(file)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(file, "removed")(error)),
        }
    }

    async fn request(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.requests).acquire_owned().await;
        permit.expect("nobody closes the semaphore")
    }

    fn key(&self, file: &str) -> Path {
        self.prefix.clone().join(file)
    }

    fn url(&self, file: &str) -> String {
        if file.is_empty() { self.name.clone() } else { format!("{self}/{file}") }
    }

    fn failed(&self, file: &str, action: &'static str) -> impl FnOnce(object_store::Error) -> BackupError {
        let (file, secrets) = (self.url(file), self.secrets.clone());
        move |error| {
            let said = secrets.said(&error);
            let why = meaning(&said).map_or_else(|| said.clone(), |meaning| format!("{meaning}: {said}"));
            BackupError::Failed { file, action, why }
        }
    }

    fn taken(&self, what: &str) -> BackupError {
        let why = if what == UNFINISHED {
            "holds a backup that is being written, or was not finished: wait, or remove what is there, or name another prefix"
                .to_owned()
        } else {
            format!("is not empty: there is {what}; name a prefix under which nothing is")
        };
        BackupError::Taken { place: self.to_string(), why }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl NewStore {
    /// A file, from its first byte on. What an earlier try has sent of it is dropped.
    pub async fn file(&self, name: &str) -> Upload {
        let upload = Opened::default();
        let before = self.files.lock().await.insert(name.to_owned(), Arc::clone(&upload));
        if let Some(before) = before {
            // Parts that stay cost room until the bucket's own rule takes them; nobody takes them for a file.
            let _ = abort(&before).await;
        }
        let (store, file) = (Arc::clone(&self.store), name.to_owned());
        Upload { store, file, upload, ready: BytesMut::new(), parts: 0, under_way: JoinSet::new() }
    }

    pub async fn finish(&self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        self.store.put(name, Bytes::copy_from_slice(bytes)).await?;
        self.store.remove(UNFINISHED).await
    }

    /// The manifest goes first: it may have been written although nobody was told. The mark goes last.
    pub async fn discard(&self, manifest: &str) -> Result<(), BackupError> {
        self.store.remove(manifest).await?;
        for (file, upload) in std::mem::take(&mut *self.files.lock().await) {
            abort(&upload).await.map_err(self.store.failed(&file, "removed"))?;
            self.store.remove(&file).await?;
        }
        self.store.remove(UNFINISHED).await
    }
}

async fn abort(upload: &Opened) -> object_store::Result<()> {
    match upload.lock().await.take() {
        Some(mut upload) => upload.abort().await,
        None => Ok(()),
    }
}

impl Upload {
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART - self.ready.len()));
            self.ready.extend_from_slice(now);
            bytes = later;
            if self.ready.len() == PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<(), BackupError> {
        if self.parts == 0 {
            let all = self.ready.split().freeze();
            return self.store.put(&self.file, all).await;
        }
        if !self.ready.is_empty() {
            self.send().await?;
        }
        while let Some(sent) = self.under_way.join_next().await {
            self.check(sent.map_err(object_store::Error::from).flatten())?;
        }
        let mut upload = self.upload.lock().await;
        let Some(open) = upload.as_mut() else { return Err(self.given_up()) };
        let ended = open.complete().await;
        ended.map_err(self.store.failed(&self.file, "written"))?;
        *upload = None;
        Ok(())
    }

    /// Sends what is ready as a part. Waits for room before, so that no more is in memory than requests are allowed.
    async fn send(&mut self) -> Result<(), BackupError> {
        if self.parts == MOST_PARTS {
            let why = format!("it has more than {MOST_PARTS} parts of {PART} bytes, the most that stores take");
            return Err(BackupError::Failed { file: self.store.url(&self.file), action: "written", why });
        }
        let request = self.store.request().await;
        while let Some(sent) = self.under_way.try_join_next() {
            self.check(sent.map_err(object_store::Error::from).flatten())?;
        }
        let mut upload = self.upload.lock().await;
        if upload.is_none() {
            if self.parts > 0 {
                return Err(self.given_up());
            }
            let begun = self.store.store.put_multipart(&self.store.key(&self.file)).await;
            *upload = Some(begun.map_err(self.store.failed(&self.file, "written"))?);
        }
        let part = self.ready.split().freeze();
        if let Some(open) = upload.as_mut() {
            let sent = open.put_part(part.into());
            self.under_way.spawn(async move {
                let sent = sent.await;
                drop(request);
                sent
            });
        }
        self.parts += 1;
        Ok(())
    }

    fn check(&self, sent: object_store::Result<()>) -> Result<(), BackupError> {
        sent.map_err(self.store.failed(&self.file, "written"))
    }

    fn given_up(&self) -> BackupError {
        let why = "the backup was given up".to_owned();
        BackupError::Failed { file: self.store.url(&self.file), action: "written", why }
    }
}
