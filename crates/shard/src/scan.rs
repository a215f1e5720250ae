//! Reading ranges of records; a record that can't be read is a fault of the store.

use std::ops::ControlFlow;

use crate::codec::DecodeError;
use crate::keys;
use crate::kv::{Read, ReadError, Table};

/// Visits records in `[from, to)` in order until `visit` breaks.
pub(crate) fn each(
    state: &dyn Read,
    table: Table,
    (from, to): (&[u8], &[u8]),
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, DecodeError>,
) -> Result<(), ReadError> {
    let mut fault = None;
    state.scan(table, from, to, &mut |key, value| match visit(key, value) {
        Ok(flow) => flow,
        Err(error) => {
            fault = Some(corrupt(error));
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(()), Err)
}

/// The first `limit` records in `[from, to)`, in order.
pub(crate) fn first<T>(
    state: &dyn Read,
    table: Table,
    range: (&[u8], &[u8]),
    limit: usize,
    mut read: impl FnMut(&[u8], &[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, ReadError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    each(state, table, range, |key, value| {
        found.push(read(key, value)?);
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// All records of a table, in order.
pub(crate) fn all<T>(
    state: &dyn Read,
    table: Table,
    read: impl FnMut(&[u8], &[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, ReadError> {
    first(state, table, (&[], &keys::after(&[])), usize::MAX, read)
}

/// A record that can't be read.
pub(crate) fn corrupt(error: DecodeError) -> ReadError {
    ReadError(format!("a record can't be read: {error}"))
}
