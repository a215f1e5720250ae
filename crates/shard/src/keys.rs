//! The keys of each table. Numbers are big-endian, so that byte order is numeric order; texts end in a zero byte, which no name holds.

use crate::codec::{DecodeError, Decoder};

/// `Names`: one definition.
pub fn name(namespace: &str, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(namespace.len() + id.len() + 1);
    key.extend_from_slice(namespace.as_bytes());
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key
}

/// `Names`: all of a namespace begin with this; the end of their range is the same with [`after`].
pub fn namespace_prefix(namespace: &str) -> Vec<u8> {
    name(namespace, "")
}

/// The first key that does not begin with `prefix`.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; 300]
}

/// Namespace and id of a `Names` key.
pub fn parse_name(key: &[u8]) -> Result<(&str, &str), DecodeError> {
    let text = std::str::from_utf8(key).map_err(|_| DecodeError("a name is not UTF-8".into()))?;
    text.split_once('\0').ok_or_else(|| DecodeError("a name has no separator".into()))
}

/// `Definitions`: one version.
pub fn definition(number: u64, version: u32) -> Vec<u8> {
    [number.to_be_bytes().as_slice(), &version.to_be_bytes()].concat()
}

/// Number and version of a `Definitions` key.
pub fn parse_definition(key: &[u8]) -> Result<(u64, u32), DecodeError> {
    let mut d = Decoder::new(key);
    Ok((d.array().map(u64::from_be_bytes)?, d.array().map(u32::from_be_bytes)?))
}

/// `Cursors`: one definition.
pub fn cursor(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The number that a `Cursors` key holds.
pub fn parse_cursor(key: &[u8]) -> Result<u64, DecodeError> {
    Decoder::new(key).array().map(u64::from_be_bytes)
}

/// `Subscriptions`: one definition's for one event type. Event types hold no control characters.
pub fn subscription(namespace: &str, event_type: &str, number: u64) -> Vec<u8> {
    let mut key = name(namespace, event_type);
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Namespace, event type and number of a `Subscriptions` key.
pub fn parse_subscription(key: &[u8]) -> Result<(&str, &str, u64), DecodeError> {
    let (text, number) =
        key.split_last_chunk::<8>().ok_or_else(|| DecodeError("a subscription key is too short".into()))?;
    let text = text.strip_suffix(&[0]).ok_or_else(|| DecodeError("a subscription key has no separator".into()))?;
    let (namespace, event_type) = parse_name(text)?;
    Ok((namespace, event_type, u64::from_be_bytes(*number)))
}

/// `Dedupe`: one firing key or request in one time bucket.
pub fn dedupe(class: u8, bucket: u32, digest: &[u8; 16]) -> Vec<u8> {
    let mut key = dedupe_bucket(class, bucket);
    key.extend_from_slice(digest);
    key
}

/// `Dedupe`: the beginning of a time bucket.
pub fn dedupe_bucket(class: u8, bucket: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.push(class);
    key.extend_from_slice(&bucket.to_be_bytes());
    key
}

/// Class and digest of a `Dedupe` key.
pub fn parse_dedupe(key: &[u8]) -> Result<(u8, [u8; 16]), DecodeError> {
    let mut d = Decoder::new(key);
    let class = d.u8()?;
    d.raw(4)?;
    Ok((class, d.array()?))
}

/// `Outbox`: one chunk of a lane.
pub fn outbox(lane: u32, seq: u64) -> Vec<u8> {
    [lane.to_be_bytes().as_slice(), &seq.to_be_bytes()].concat()
}

/// Lane and sequence of an `Outbox` key.
pub fn parse_outbox(key: &[u8]) -> Result<(u32, u64), DecodeError> {
    let mut d = Decoder::new(key);
    Ok((d.array().map(u32::from_be_bytes)?, d.array().map(u64::from_be_bytes)?))
}

/// `Account`: the occurrences of a chunk.
pub fn account(seq: u64) -> Vec<u8> {
    [seq.to_be_bytes().as_slice(), &[0]].concat()
}

/// `Account`: how they ended.
pub fn account_ends(seq: u64) -> Vec<u8> {
    [seq.to_be_bytes().as_slice(), &[1]].concat()
}

/// The sequence of an `Account` key that holds occurrences; none where it holds how they ended.
pub fn parse_account(key: &[u8]) -> Result<Option<u64>, DecodeError> {
    let mut d = Decoder::new(key);
    let seq = d.array().map(u64::from_be_bytes)?;
    Ok((d.u8()? == 0).then_some(seq))
}

/// `Dead`: one dead letter.
pub fn dead(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().to_vec()
}

/// `Retired`: a version that was superseded in this hour (since the epoch).
pub fn retired(hour: u32, number: u64, version: u32) -> Vec<u8> {
    [hour.to_be_bytes().as_slice(), &number.to_be_bytes(), &version.to_be_bytes()].concat()
}

/// Number and version of a `Retired` key.
pub fn parse_retired(key: &[u8]) -> Result<(u64, u32), DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(4)?;
    Ok((d.array().map(u64::from_be_bytes)?, d.array().map(u32::from_be_bytes)?))
}

/// The hour of a `Retired` key.
pub fn parse_retired_hour(key: &[u8]) -> Result<u32, DecodeError> {
    Decoder::new(key).array().map(u32::from_be_bytes)
}

/// `Misses`: a chunk that holds something which did not fire, for this reason.
pub fn miss(reason: u8, seq: u64) -> Vec<u8> {
    [[reason].as_slice(), &seq.to_be_bytes()].concat()
}

/// The sequence of a `Misses` key.
pub fn parse_miss(key: &[u8]) -> Result<u64, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(1)?;
    d.array().map(u64::from_be_bytes)
}

/// `Meta`: the counters.
pub const COUNTERS: &[u8] = b"c";

/// `Meta`: the namespace that a lane stands for.
pub fn lane(lane: u32) -> Vec<u8> {
    [b"l".as_slice(), &lane.to_be_bytes()].concat()
}

/// `Meta`: the first account chunk of an hour (since the epoch).
pub fn account_hour(hour: u32) -> Vec<u8> {
    [b"a".as_slice(), &hour.to_be_bytes()].concat()
}

/// `Meta`: all pause notes begin with this.
pub const PAUSE_NOTES: &[u8] = b"p";

/// `Meta`: why a definition is paused.
pub fn pause_note(number: u64) -> Vec<u8> {
    [PAUSE_NOTES, &number.to_be_bytes()].concat()
}

/// The number of a pause note's key.
pub fn parse_pause_note(key: &[u8]) -> Result<u64, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(PAUSE_NOTES.len())?;
    d.array().map(u64::from_be_bytes)
}

/// `Meta`: all backfills begin with this.
pub const BACKFILLS: &[u8] = b"B";

/// `Meta`: all backfills of one definition.
pub fn backfills_prefix(number: u64) -> Vec<u8> {
    [BACKFILLS, &number.to_be_bytes()].concat()
}

/// `Meta`: one backfill of a definition.
pub fn backfill(number: u64, id: &str) -> Vec<u8> {
    [BACKFILLS, &number.to_be_bytes(), id.as_bytes()].concat()
}

/// Number and id of a backfill's key.
pub fn parse_backfill(key: &[u8]) -> Result<(u64, &str), DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(BACKFILLS.len())?;
    let number = d.array().map(u64::from_be_bytes)?;
    let id = std::str::from_utf8(&key[BACKFILLS.len() + size_of::<u64>()..]);
    Ok((number, id.map_err(|_| DecodeError("a backfill's id is not UTF-8".into()))?))
}

/// `Meta`: the backup that was brought in.
pub const RESTORATION: &[u8] = b"r";

/// `Meta`: all parts of tracks begin with this.
pub const TRACKS: &[u8] = b"t";

/// `Meta`: all of one definition's track.
pub fn track_prefix(number: u64) -> Vec<u8> {
    [TRACKS, &number.to_be_bytes()].concat()
}

/// `Meta`: one part of a definition's track; the sequence tells runs from each other, and what waits.
pub fn track(number: u64, part: u8, seq: u64) -> Vec<u8> {
    [TRACKS, &number.to_be_bytes(), &[part], &seq.to_be_bytes()].concat()
}

/// Number, part and sequence of a track's key.
pub fn parse_track(key: &[u8]) -> Result<(u64, u8, u64), DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(TRACKS.len())?;
    Ok((d.array().map(u64::from_be_bytes)?, d.u8()?, d.array().map(u64::from_be_bytes)?))
}

/// `Meta`: all origins begin with this.
pub const ORIGINS: &[u8] = b"o";

/// `Meta`: under which number a restored definition's dedupe keys were made.
pub fn origin(number: u64) -> Vec<u8> {
    [ORIGINS, &number.to_be_bytes()].concat()
}

/// The number of an origin's key.
pub fn parse_origin(key: &[u8]) -> Result<u64, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(ORIGINS.len())?;
    d.array().map(u64::from_be_bytes)
}

/// `Meta`: how far a shard is with its time-zone data.
pub const ZONED: &[u8] = b"z";

/// `Meta`: all courses begin with this.
pub const COURSES: &[u8] = b"b";

/// `Meta`: how far a definition's schedule has come, beyond its cursor.
pub fn course(number: u64) -> Vec<u8> {
    [COURSES, &number.to_be_bytes()].concat()
}

/// The number of a course's key.
pub fn parse_course(key: &[u8]) -> Result<u64, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(COURSES.len())?;
    d.array().map(u64::from_be_bytes)
}

/// `Meta`: what is kept of calendars, by the second byte of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CalendarPart {
    /// The newest revision that was given out.
    Truth = b't',
    /// What is known of a calendar that is at home here.
    Head = b'h',
    /// Its document.
    Document = b'o',
    /// The newest revision of a namespace that has come here.
    Seen = b's',
    /// How far the shard is with the days that it has.
    Local = b'l',
    /// The days.
    Days = b'd',
    /// That a definition uses a calendar, by calendar.
    Use = b'u',
    /// The same, by definition.
    Names = b'n',
    /// That a definition is to be looked at again.
    Again = b'a',
}

/// `Meta`: all keys of a part begin with this.
pub fn calendar_part(part: CalendarPart) -> Vec<u8> {
    vec![b'k', part as u8]
}

/// `Meta`: a part of what is kept of one calendar.
pub fn calendar(part: CalendarPart, namespace: &str, calendar: &str) -> Vec<u8> {
    [calendar_part(part), name(namespace, calendar)].concat()
}

/// Namespace and name of a calendar's key.
pub fn parse_calendar(key: &[u8]) -> Result<(&str, &str), DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(2)?;
    parse_name(&key[2..])
}

/// `Meta`: the newest revision that was given out by this shard.
pub fn calendar_truth() -> Vec<u8> {
    calendar_part(CalendarPart::Truth)
}

/// `Meta`: the newest revision of a namespace that has come to this shard.
pub fn calendar_seen(namespace: &str) -> Vec<u8> {
    calendar(CalendarPart::Seen, namespace, "")
}

/// `Meta`: all definitions that use a calendar.
pub fn calendar_users(namespace: &str, calendar_name: &str) -> Vec<u8> {
    let mut key = calendar(CalendarPart::Use, namespace, calendar_name);
    key.push(0);
    key
}

/// `Meta`: one of them.
pub fn calendar_use(namespace: &str, calendar_name: &str, number: u64) -> Vec<u8> {
    [calendar_users(namespace, calendar_name).as_slice(), &number.to_be_bytes()].concat()
}

/// Namespace, name and number of such a key.
pub fn parse_calendar_use(key: &[u8]) -> Result<(&str, &str, u64), DecodeError> {
    let end = key.len().checked_sub(size_of::<u64>() + 1).filter(|end| *end >= 2 && key[*end] == 0);
    let end = end.ok_or_else(|| DecodeError("a use of a calendar has no number".into()))?;
    let (namespace, calendar_name) = parse_name(&key[2..end])?;
    let number = Decoder::new(&key[end + 1..]).array().map(u64::from_be_bytes)?;
    Ok((namespace, calendar_name, number))
}

/// `Meta`: the calendars that a definition uses.
pub fn calendar_names(number: u64) -> Vec<u8> {
    [calendar_part(CalendarPart::Names).as_slice(), &number.to_be_bytes()].concat()
}

/// `Meta`: that a definition is to be looked at again.
pub fn calendar_again(number: u64) -> Vec<u8> {
    [calendar_part(CalendarPart::Again).as_slice(), &number.to_be_bytes()].concat()
}

/// The number of one of these two.
pub fn parse_calendar_names(key: &[u8]) -> Result<u64, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(2)?;
    d.array().map(u64::from_be_bytes)
}
