//! The run log's statements: write a run, read one, list many.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use flintwheel_client::{Run, RunQuery, RunStatus, TriggerKind};
use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::short;
use serde::de::DeserializeOwned;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, Arguments, AssertSqlSafe, ColumnIndex, Decode, Encode, Row, Type};

use super::{RunLog, RunLogError};

const UPSERT: &str = "\
    INSERT INTO runs (run_id, workflow_id, namespace, activity_id, incarnation, version_used, trigger_kind, scheduled_for, \
        fired_at, started_at, ended_at, status, error, context_snapshot, tasks_spawned) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
    ON CONFLICT (run_id) DO UPDATE SET ended_at = excluded.ended_at, status = excluded.status, error = excluded.error, \
        context_snapshot = excluded.context_snapshot, tasks_spawned = excluded.tasks_spawned \
    WHERE runs.status = 'running'";

/// A place in the list: the last run of a page. Its text form is the page token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    fired_at: i64,
    run_id: String,
}

impl Cursor {
    /// The place of this run.
    pub fn of(run: &Run) -> Self {
        Self { fired_at: run.fired_at.timestamp_micros(), run_id: run.run_id.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.fired_at, self.run_id)
    }
}

impl FromStr for Cursor {
    type Err = RunLogError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('.').and_then(|(time, run)| Some((time.parse().ok()?, run)));
        let (fired_at, run_id) = parts.ok_or_else(|| RunLogError::PageToken(short(text)))?;
        Ok(Self { fired_at, run_id: run_id.to_owned() })
    }
}

impl RunLog {
    /// Writes how a run stands. Writing it again changes nothing; a run that has ended stays as it ended.
    pub async fn write(&self, run: &Run) -> Result<(), RunLogError> {
        let mut values = AnyArguments::default();
        let added = bind_run(&mut values, run).map_err(sqlx::Error::Encode);
        added.map_err(|e| self.failed(e))?;
        let pool = self.ready().await?;
        sqlx::query_with(UPSERT, values).execute(pool).await.map_err(|e| self.failed(e))?;
        Ok(())
    }

    /// The run with this id, if there is one.
    pub async fn get(&self, run_id: &str) -> Result<Option<Run>, RunLogError> {
        let pool = self.ready().await?;
        let row =
            sqlx::query("SELECT * FROM runs WHERE run_id = $1").bind(run_id.to_owned()).fetch_optional(pool).await;
        row.map_err(|e| self.failed(e))?.map(|row| self.read(&row)).transpose()
    }

    /// At most `limit` runs, newest firing first, beginning behind the last one of the page before.
    pub async fn list(&self, query: &RunQuery, after: Option<&Cursor>, limit: u32) -> Result<Vec<Run>, RunLogError> {
        let (sql, values) = select(query, after, limit).map_err(|e| self.failed(sqlx::Error::Encode(e)))?;
        let pool = self.ready().await?;
        // The text is put together from literals alone; all values are bound.
        let rows = sqlx::query_with(AssertSqlSafe(sql), values).fetch_all(pool).await;
        rows.map_err(|e| self.failed(e))?.iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: &AnyRow) -> Result<Run, RunLogError> {
        let reader = Reader { log: self, row, run_id: self.column(row, "run_id")? };
        Ok(Run {
            workflow_id: reader.get("workflow_id")?,
            definition: DefinitionKey::new(reader.get::<String>("namespace")?, reader.get::<String>("activity_id")?),
            incarnation: reader.parsed("incarnation", |text| text.parse().ok())?,
            version_used: reader.get::<i64>("version_used")?.cast_unsigned(),
            trigger_kind: reader.parsed("trigger_kind", word::<TriggerKind>)?,
            scheduled_for: reader.time("scheduled_for")?,
            fired_at: reader.time("fired_at")?,
            started_at: reader.time("started_at")?,
            ended_at: reader.optional_time("ended_at")?,
            status: reader.parsed("status", word::<RunStatus>)?,
            error: reader.get::<Option<String>>("error")?.unwrap_or_default(),
            context_snapshot: reader.parsed("context_snapshot", |text| serde_json::from_str(text).ok())?,
            tasks_spawned: reader.parsed("tasks_spawned", |text| serde_json::from_str(text).ok())?,
            run_id: reader.run_id,
        })
    }

    fn column<'r, T>(&self, row: &'r AnyRow, column: &'static str) -> Result<T, RunLogError>
    where
        T: Decode<'r, Any> + Type<Any>,
        &'static str: ColumnIndex<AnyRow>,
    {
        row.try_get(column).map_err(|e| self.failed(e))
    }
}

fn bind_run(values: &mut AnyArguments, run: &Run) -> Result<(), sqlx::error::BoxDynError> {
    values.add(run.run_id.clone())?;
    values.add(run.workflow_id.clone())?;
    values.add(run.definition.namespace.clone())?;
    values.add(run.definition.id.clone())?;
    values.add(run.incarnation.to_string())?;
    values.add(run.version_used.cast_signed())?;
    values.add(run.trigger_kind.as_str().to_owned())?;
    values.add(run.scheduled_for.timestamp_micros())?;
    values.add(run.fired_at.timestamp_micros())?;
    values.add(run.started_at.timestamp_micros())?;
    values.add(run.ended_at.map(|time| time.timestamp_micros()))?;
    values.add(run.status.as_str().to_owned())?;
    values.add(Some(run.error.clone()).filter(|why| !why.is_empty()))?;
    values.add(serde_json::to_string(&run.context_snapshot)?)?;
    values.add(serde_json::to_string(&run.tasks_spawned)?)
}

fn select(
    query: &RunQuery,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<(String, AnyArguments), sqlx::error::BoxDynError> {
    let mut select = Select::default();
    if !query.namespace.is_empty() {
        select.compare("namespace =", query.namespace.clone())?;
    }
    if !query.definition_id.is_empty() {
        select.compare("activity_id =", query.definition_id.clone())?;
    }
    if let Some(since) = query.since {
        select.compare("fired_at >=", since.timestamp_micros())?;
    }
    select.one_of("status", query.statuses.iter().map(|status| status.as_str().to_owned()))?;
    if let Some(after) = after {
        let (time, run) = (select.bind(after.fired_at)?, select.bind(after.run_id.clone())?);
        select.conditions.push(format!("(fired_at, run_id) < ({time}, {run})"));
    }
    let limit = select.bind(i64::from(limit))?;
    let conditions = if select.conditions.is_empty() { "1 = 1".to_owned() } else { select.conditions.join(" AND ") };
    let sql = format!("SELECT * FROM runs WHERE {conditions} ORDER BY fired_at DESC, run_id DESC LIMIT {limit}");
    Ok((sql, select.values))
}

/// A `WHERE` in the making.
#[derive(Default)]
struct Select {
    conditions: Vec<String>,
    values: AnyArguments,
}

impl Select {
    /// Binds a value and returns its place, such as `$3`.
    fn bind<T: for<'q> Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> Result<String, sqlx::error::BoxDynError> {
        self.values.add(value)?;
        Ok(format!("${}", self.values.len()))
    }

    fn compare<T>(&mut self, left: &'static str, value: T) -> Result<(), sqlx::error::BoxDynError>
    where
        T: for<'q> Encode<'q, Any> + Type<Any>,
    {
        let place = self.bind(value)?;
        self.conditions.push(format!("{left} {place}"));
        Ok(())
    }

    /// No values mean no condition.
    fn one_of(
        &mut self,
        column: &'static str,
        values: impl Iterator<Item = String>,
    ) -> Result<(), sqlx::error::BoxDynError> {
        let places = values.map(|value| self.bind(value)).collect::<Result<Vec<_>, _>>()?;
        if !places.is_empty() {
            self.conditions.push(format!("{column} IN ({})", places.join(", ")));
        }
        Ok(())
    }
}

/// Reads the columns of one row, and names row and column where one is not what this program writes.
struct Reader<'r> {
    log: &'r RunLog,
    row: &'r AnyRow,
    run_id: String,
}

impl<'r> Reader<'r> {
    fn get<T: Decode<'r, Any> + Type<Any>>(&self, column: &'static str) -> Result<T, RunLogError> {
        self.log.column(self.row, column)
    }

    fn time(&self, column: &'static str) -> Result<DateTime<Utc>, RunLogError> {
        let micros: i64 = self.get(column)?;
        DateTime::from_timestamp_micros(micros).ok_or_else(|| self.damaged(column, &micros.to_string()))
    }

    fn optional_time(&self, column: &'static str) -> Result<Option<DateTime<Utc>>, RunLogError> {
        let micros: Option<i64> = self.get(column)?;
        micros.map(|_| self.time(column)).transpose()
    }

    fn parsed<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RunLogError> {
        let text: String = self.get(column)?;
        parse(&text).ok_or_else(|| self.damaged(column, &text))
    }

    fn damaged(&self, column: &'static str, value: &str) -> RunLogError {
        RunLogError::Row {
            address: self.log.address(),
            run_id: self.run_id.clone(),
            column,
            why: format!("{:?} is not what flintwheel writes there", short(value)),
        }
    }
}

/// One word of an enumeration, as JSON names it.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}
