//! Named calendars as a shard keeps them, in three parts: of namespaces that are at home here, the documents, which are the truth; of every
//! namespace, the days of its calendars, by which this shard's leader compiles plans; and which definitions use which calendar.
//!
//! Days and documents are opaque here. What is in memory is small: one head a calendar, and how many use it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::calendar_entry::plain_name;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::Request;
use crate::keys::{self, CalendarPart};
use crate::kv::{Read, ReadError, Table, Txn};
use crate::occurrence::check_version;
use crate::scan::{self, corrupt};

const VERSION: u8 = 1;

/// What is known of a calendar at its home, beside its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Grows by one with each change of its document, from 1 on.
    pub version: u32,
    /// Grows with each change that shards must hear of, over all calendars that are at home in the shard.
    pub revision: u64,
    /// In microseconds since the epoch.
    pub created: i64,
    /// When this version was made.
    pub updated: i64,
    /// Calendars that it refers to.
    pub refers: Vec<String>,
    /// Not all shards are known to have this revision.
    pub pending: bool,
    /// It is to go, as soon as no shard has a definition that uses it.
    pub leaving: Option<Leaving>,
    /// Definitions that used it when it was last brought to all shards.
    pub users: u64,
    /// Definitions whose next due time that has moved.
    pub moved: u64,
    /// Of its document.
    pub bytes: u32,
}

/// Who has asked that a calendar go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The request, if it is to be remembered.
    pub request: Option<Request>,
}

impl Head {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.u32(self.version);
        e.u64(self.revision);
        e.i64(self.created);
        e.i64(self.updated);
        e.list(&self.refers, |e, name| e.text(name));
        e.u8(self.pending.into());
        e.option(self.leaving.as_ref(), |e, leaving| Request::encode(e, leaving.request.as_ref()));
        e.u64(self.users);
        e.u64(self.moved);
        e.u32(self.bytes);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "calendar")?;
        let head = Self {
            version: d.u32()?,
            revision: d.u64()?,
            created: d.i64()?,
            updated: d.i64()?,
            refers: d.list(Decoder::text)?,
            pending: d.flag()?,
            leaving: d.option(|d| Ok(Leaving { request: Request::decode(d)? }))?,
            users: d.u64()?,
            moved: d.u64()?,
            bytes: d.u32()?,
        };
        d.end()?;
        Ok(head)
    }
}

/// How far a shard is with the days of a calendar that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Which revision its days are of.
    pub revision: u64,
    /// Definitions with a smaller number, of those that use it, are due by these days.
    pub from: u64,
    /// Of them, those whose next due time has moved.
    pub moved: u64,
    /// All of them are.
    pub done: bool,
}

impl Local {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.u64(self.revision);
        e.u64(self.from);
        e.u64(self.moved);
        e.u8(self.done.into());
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "local calendar")?;
        let local = Self { revision: d.u64()?, from: d.u64()?, moved: d.u64()?, done: d.flag()? };
        d.end()?;
        Ok(local)
    }
}

/// `Meta`: the calendars that one definition uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedNames {
    /// The definition's namespace.
    pub namespace: String,
    /// Each once, in order.
    pub names: Vec<String>,
}

impl UsedNames {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.text(&self.namespace);
        e.list(&self.names, |e, name| e.text(name));
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "used calendars")?;
        let names = |d: &mut Decoder| plain_name(d.text()?);
        let used = Self { namespace: names(&mut d)?, names: d.list(names)? };
        d.end()?;
        Ok(used)
    }
}

/// Things by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ByName<T>(BTreeMap<String, BTreeMap<String, T>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByName<T> {
    fn get(&self, namespace: &str, name: &str) -> Option<&T> {
        self.0.get(namespace)?.get(name)
    }

    fn insert(&mut self, namespace: &str, name: &str, value: T) {
        self.0.entry(namespace.to_owned()).or_default().insert(name.to_owned(), value);
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(named) = self.0.get_mut(namespace) {
            named.remove(name);
            if named.is_empty() {
                self.0.remove(namespace);
            }
        }
    }

    fn of<'a>(&'a self, namespace: &str) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
        self.0.get(namespace).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str, &T)> {
        self.0
            .iter()
            .flat_map(|(namespace, named)| named.iter().map(move |(name, value)| (&**namespace, &**name, value)))
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendars {
    /// The newest revision that was given out here.
    truth: u64,
    homes: ByName<Head>,
    /// By namespace: the newest revision that has come to this shard. They come in their order, so an older one is a straggler.
    seen: BTreeMap<String, u64>,
    locals: ByName<Local>,
    users: ByName<u64>,
    again: BTreeSet<u64>,
}

impl Calendars {
    /// The newest revision that was given out by this shard, for the namespaces that are at home here.
    pub fn truth(&self) -> u64 {
        self.truth
    }

    /// A calendar that is at home here.
    pub fn home(&self, namespace: &str, name: &str) -> Option<&Head> {
        self.homes.get(namespace, name)
    }

    /// All calendars that are at home here: namespace, name, head.
    pub fn homes(&self) -> impl Iterator<Item = (&str, &str, &Head)> {
        self.homes.iter()
    }

    /// Those of one namespace, in order of name.
    pub fn homes_of<'a>(&'a self, namespace: &str) -> impl Iterator<Item = (&'a str, &'a Head)> + use<'a> {
        self.homes.of(namespace)
    }

    /// The newest revision of a namespace's calendars that has come to this shard; 0 before the first.
    pub fn seen(&self, namespace: &str) -> u64 {
        self.seen.get(namespace).copied().unwrap_or(0)
    }

    /// A calendar whose days this shard has.
    pub fn local(&self, namespace: &str, name: &str) -> Option<&Local> {
        self.locals.get(namespace, name)
    }

    /// The calendars of a namespace whose days this shard has, in order of name.
    pub fn locals_of<'a>(&'a self, namespace: &str) -> impl Iterator<Item = (&'a str, &'a Local)> + use<'a> {
        self.locals.of(namespace)
    }

    /// A calendar by which not all definitions of this shard are due yet: namespace, name, and how far it is.
    pub fn unfinished(&self) -> Option<(&str, &str, Local)> {
        let (namespace, name, local) = self.locals.iter().find(|(_, _, local)| !local.done)?;
        Some((namespace, name, *local))
    }

    /// Definitions that are to be looked at again, by whatever days there are: their due time was computed by what may have changed since.
    pub fn again(&self) -> impl Iterator<Item = u64> {
        self.again.iter().copied()
    }

    /// Definitions of this shard that use a calendar.
    pub fn users(&self, namespace: &str, name: &str) -> u64 {
        self.users.get(namespace, name).copied().unwrap_or(0)
    }

    /// All calendars that definitions of this shard use: namespace, name, how many do.
    pub fn all_users(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.users.iter().map(|(namespace, name, users)| (namespace, name, *users))
    }

    /// Whether there never was a calendar.
    pub(crate) fn is_unused(&self) -> bool {
        self.truth == 0 && self.seen.is_empty()
    }

    pub(crate) fn next_revision(&mut self, txn: &mut Txn<'_>) -> u64 {
        self.raise_truth(txn, self.truth + 1);
        self.truth
    }

    /// What was given out elsewhere must not be given out here again.
    pub(crate) fn raise_truth(&mut self, txn: &mut Txn<'_>, revision: u64) {
        self.truth = self.truth.max(revision);
        txn.put(Table::Meta, keys::calendar_truth(), self.truth.to_le_bytes().to_vec());
    }

    pub(crate) fn put_home(&mut self, txn: &mut Txn<'_>, namespace: &str, name: &str, head: Head) {
        txn.put(Table::Meta, keys::calendar(CalendarPart::Head, namespace, name), head.encode());
        self.homes.insert(namespace, name, head);
    }

    pub(crate) fn put_document(&self, txn: &mut Txn<'_>, namespace: &str, name: &str, document: &Bytes) {
        txn.put(Table::Meta, keys::calendar(CalendarPart::Document, namespace, name), document.to_vec());
    }

    pub(crate) fn remove_home(&mut self, txn: &mut Txn<'_>, namespace: &str, name: &str) {
        for part in [CalendarPart::Head, CalendarPart::Document] {
            txn.delete(Table::Meta, keys::calendar(part, namespace, name));
        }
        self.homes.remove(namespace, name);
    }

    pub(crate) fn see(&mut self, txn: &mut Txn<'_>, namespace: &str, revision: u64) {
        txn.put(Table::Meta, keys::calendar_seen(namespace), revision.to_le_bytes().to_vec());
        self.seen.insert(namespace.to_owned(), revision);
    }

    pub(crate) fn put_local(&mut self, txn: &mut Txn<'_>, namespace: &str, name: &str, local: Local) {
        txn.put(Table::Meta, keys::calendar(CalendarPart::Local, namespace, name), local.encode());
        self.locals.insert(namespace, name, local);
    }

    pub(crate) fn put_days(&self, txn: &mut Txn<'_>, namespace: &str, name: &str, (revision, days): (u64, &Bytes)) {
        let mut e = Encoder::with_capacity(16 + days.len());
        e.u8(VERSION);
        e.u64(revision);
        e.bytes(days);
        txn.put(Table::Meta, keys::calendar(CalendarPart::Days, namespace, name), e.finish());
    }

    pub(crate) fn remove_local(&mut self, txn: &mut Txn<'_>, namespace: &str, name: &str) {
        for part in [CalendarPart::Local, CalendarPart::Days] {
            txn.delete(Table::Meta, keys::calendar(part, namespace, name));
        }
        self.locals.remove(namespace, name);
    }

    /// From now on a definition uses these calendars, and no others. It must use none.
    pub(crate) fn take_up(&mut self, txn: &mut Txn<'_>, number: u64, used: UsedNames) {
        if used.names.is_empty() {
            return;
        }
        for name in &used.names {
            let users = self.users(&used.namespace, name) + 1;
            self.users.insert(&used.namespace, name, users);
            txn.put(Table::Meta, keys::calendar_use(&used.namespace, name, number), Vec::new());
        }
        txn.put(Table::Meta, keys::calendar_names(number), used.encode());
    }

    /// A definition's due time was computed by its leader, and nothing says by which days. If it uses a calendar, it is looked at again.
    pub(crate) fn look_again(&mut self, txn: &mut Txn<'_>, number: u64) -> Result<(), ReadError> {
        if !self.users.0.is_empty() && used_by(txn, number)?.is_some() {
            txn.put(Table::Meta, keys::calendar_again(number), Vec::new());
            self.again.insert(number);
        }
        Ok(())
    }

    pub(crate) fn looked(&mut self, txn: &mut Txn<'_>, number: u64) {
        if self.again.remove(&number) {
            txn.delete(Table::Meta, keys::calendar_again(number));
        }
    }

    /// From now on a definition uses none.
    pub(crate) fn give_up(&mut self, txn: &mut Txn<'_>, number: u64) -> Result<(), ReadError> {
        // Most shards have no definition that uses any: nothing is read there.
        if self.users.0.is_empty() {
            return Ok(());
        }
        let Some(used) = used_by(txn, number)? else { return Ok(()) };
        for name in &used.names {
            match self.users(&used.namespace, name).saturating_sub(1) {
                0 => self.users.remove(&used.namespace, name),
                users => self.users.insert(&used.namespace, name, users),
            }
            txn.delete(Table::Meta, keys::calendar_use(&used.namespace, name, number));
        }
        txn.delete(Table::Meta, keys::calendar_names(number));
        self.looked(txn, number);
        Ok(())
    }

    /// From disk. Days and documents are not read.
    pub(crate) fn load(state: &dyn Read) -> Result<Self, ReadError> {
        let mut calendars = Self::default();
        if let Some(bytes) = state.get(Table::Meta, &keys::calendar_truth())? {
            calendars.truth = Decoder::new(&bytes).u64().map_err(corrupt)?;
        }
        each(state, CalendarPart::Head, |namespace, name, value| {
            calendars.homes.insert(namespace, name, Head::decode(value)?);
            Ok(())
        })?;
        each(state, CalendarPart::Seen, |namespace, _, value| {
            calendars.seen.insert(namespace.to_owned(), Decoder::new(value).u64()?);
            Ok(())
        })?;
        each(state, CalendarPart::Local, |namespace, name, value| {
            calendars.locals.insert(namespace, name, Local::decode(value)?);
            Ok(())
        })?;
        let range = keys::calendar_part(CalendarPart::Again);
        scan::each(state, Table::Meta, (&range, &keys::after(&range)), |key, _| {
            calendars.again.insert(keys::parse_calendar_names(key)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let range = keys::calendar_part(CalendarPart::Use);
        scan::each(state, Table::Meta, (&range, &keys::after(&range)), |key, _| {
            let (namespace, name, _) = keys::parse_calendar_use(key)?;
            let users = calendars.users(namespace, name) + 1;
            calendars.users.insert(namespace, name, users);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(calendars)
    }
}

fn each(
    state: &dyn Read,
    part: CalendarPart,
    mut take: impl FnMut(&str, &str, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), ReadError> {
    let range = keys::calendar_part(part);
    scan::each(state, Table::Meta, (&range, &keys::after(&range)), |key, value| {
        let (namespace, name) = keys::parse_calendar(key)?;
        take(namespace, name, value).map(ControlFlow::Continue)
    })
}

/// The document of a calendar that is at home in this shard.
pub fn document(state: &dyn Read, namespace: &str, name: &str) -> Result<Option<Bytes>, ReadError> {
    let value = state.get(Table::Meta, &keys::calendar(CalendarPart::Document, namespace, name))?;
    Ok(value.map(Bytes::from))
}

/// The days of a calendar, and the revision that they are of.
pub fn days(state: &dyn Read, namespace: &str, name: &str) -> Result<Option<(u64, Bytes)>, ReadError> {
    let value = state.get(Table::Meta, &keys::calendar(CalendarPart::Days, namespace, name))?;
    value.map(|bytes| read_days(&bytes).map_err(corrupt)).transpose()
}

fn read_days(bytes: &[u8]) -> Result<(u64, Bytes), DecodeError> {
    let mut d = Decoder::new(bytes);
    check_version(d.u8()?, "days of a calendar")?;
    let found = (d.u64()?, Bytes::copy_from_slice(d.bytes()?));
    d.end().map(|()| found)
}

/// The calendars that a definition uses, if it uses any.
pub fn used_by(state: &dyn Read, number: u64) -> Result<Option<UsedNames>, ReadError> {
    let value = state.get(Table::Meta, &keys::calendar_names(number))?;
    value.map(|bytes| UsedNames::decode(&bytes).map_err(corrupt)).transpose()
}

/// Definitions that use a calendar, by number, from a number on, at most `limit`.
pub fn users(
    state: &dyn Read,
    (namespace, name): (&str, &str),
    from: u64,
    limit: usize,
) -> Result<Vec<u64>, ReadError> {
    let range = (keys::calendar_use(namespace, name, from), keys::after(&keys::calendar_users(namespace, name)));
    scan::first(state, Table::Meta, (&range.0, &range.1), limit, |key, _| {
        keys::parse_calendar_use(key).map(|(_, _, number)| number)
    })
}
