//! The store: SQLite through `sqlx`. No other file uses either.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqlSafeStr, Sqlite, Transaction};

use weir_pubsub::chain;

use crate::batch::{Batch, Versioned, check_count, conflict};
use crate::error::{ConfigError, DISK_FULL, Result};
use crate::protocol::{Condition, Key, Usage, Value};
use crate::size::{Budget, CachedSize, check_growth, size_of};

/// Everything, by type and key.
pub type Everything = BTreeMap<String, BTreeMap<String, String>>;

/// How long a write waits for another process that is reading the file, for example a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The newest known schema: the number of the last migration.
const SCHEMA: i64 = 1;
const BEGINNING_TO_READ: &str = "starting to read";
/// Keys per statement: each takes two of its parameters. SQLite compares each numbered parameter with all others, so that a statement of 1,000 keys
/// takes longer than twenty of 50.
const KEYS_PER_STATEMENT_COUNT: usize = 50;

/// Maximum number of connections: one in use and one replacing a failed connection, each of which may be in the middle of being replaced.
const MAX_CONNECTIONS_COUNT: u32 = 4;

/// Stores the configuration in one file. A write is durable when it returns.
///
/// Each operation is one transaction, so that it reads one consistent state. A connection that cannot leave its transaction, for example after a
/// failed commit on a full disk, is replaced. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    /// The next write raises the version to at least this: on a full disk it could not be raised on opening.
    least_version: i64,
    /// Maximum number of connections; 1 if the file is locked exclusively, since a second one could not open it.
    connections_count: u32,
    /// The size of everything as of a version.
    total: CachedSize,
}

/// The effect of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The batch was empty: the version is unchanged.
    Nothing,
    /// The version was incremented.
    Step {
        /// The version after it.
        version: u64,
        /// The keys that were written or deleted, by type, including those whose value stayed the same.
        changed: BTreeMap<String, BTreeSet<String>>,
    },
}

impl Store {
    /// Opens the store, creating it if it does not exist, and raises its version to the greater of the stored one plus 1 and the seconds since 1970,
    /// so that a file restored from a backup never falls behind the version that others have seen. On a full disk the first write raises the version,
    /// and until then no other process can read the file.
    ///
    /// # Errors
    /// `StoreNotOpened`.
    pub async fn open(path: &Path) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self::open_at(path, now).await
    }

    /// The same at a given time, in seconds since 1970.
    ///
    /// # Errors
    /// `StoreNotOpened`.
    pub async fn open_at(path: &Path, now_seconds: u64) -> Result<Self> {
        let opened = async {
            match Self::open_and_raise(path, now_seconds).await {
                Err(error) if is_disk_full(&error) => {
                    tracing::warn!(path = %path.display(), error = %chain(&error), "disk full, configuration opened read-only");
                    Self::open_in(path, now_seconds, SqliteLockingMode::Exclusive).await
                }
                opened => opened,
            }
        };
        opened.await.map_err(|source: sqlx::Error| ConfigError::StoreNotOpened { path: path.to_owned(), source: opening_error(source) })
    }

    async fn open_and_raise(path: &Path, now_seconds: u64) -> sqlx::Result<Self> {
        let store = Self::open_in(path, now_seconds, SqliteLockingMode::Normal).await?;
        match store.begin_at(now_seconds).await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Opens the file. With exclusive locking, SQLite needs no shared-memory file, for which a full disk has no space.
    async fn open_in(path: &Path, now_seconds: u64, locking: SqliteLockingMode) -> sqlx::Result<Self> {
        let connections_count = if matches!(locking, SqliteLockingMode::Exclusive) { 1 } else { MAX_CONNECTIONS_COUNT };
        let pool = connect(path, locking, connections_count).await?;
        let least_version = i64::try_from(now_seconds).unwrap_or(0);
        let store = Store { pool, least_version, connections_count, total: CachedSize::default() };
        migrator().run(&store.pool).await?;
        Ok(store)
    }

    async fn begin_at(&self, now_seconds: u64) -> sqlx::Result<()> {
        let now = i64::try_from(now_seconds).unwrap_or(0);
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE config_state SET version = CASE WHEN version + 1 > $1 THEN version + 1 ELSE $1 END")
            .bind(now)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Closes the file. Later operations fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The current version.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn version(&self) -> Result<u64> {
        let mut connection = self.connection().await.map_err(failed(BEGINNING_TO_READ))?;
        let mut tx = connection.begin().await.map_err(failed(BEGINNING_TO_READ))?;
        version_of(&mut tx).await.map_err(failed("reading the version"))
    }

    /// The values of keys, in the same order; `None` for missing ones.
    ///
    /// # Errors
    /// `Refused` for too many keys, `AnswerTooLarge` if the values have more than `limit_bytes`, `StoreFailed`.
    pub async fn get(&self, keys: &[Key], limit_bytes: usize) -> Result<Versioned<Vec<Value>>> {
        check_count(keys.len())?;
        let mut connection = self.connection().await.map_err(failed(BEGINNING_TO_READ))?;
        let mut tx = connection.begin().await.map_err(failed(BEGINNING_TO_READ))?;
        let version = version_of(&mut tx).await.map_err(failed("reading the version"))?;
        let wanted: Vec<&Key> = keys.iter().collect::<HashSet<_>>().into_iter().collect();
        let mut found = HashMap::new();
        let mut budget = Budget::of(limit_bytes);
        for some in wanted.chunks(KEYS_PER_STATEMENT_COUNT) {
            look_up(&mut tx, some, &mut budget, &mut found).await?;
        }
        let mut budget = Budget::of(limit_bytes);
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let value = found.get(key).cloned();
            budget.spend(&[&key.config_type, &key.key, value.as_deref().unwrap_or_default()])?;
            values.push(Value { config_type: key.config_type.clone(), key: key.key.clone(), value });
        }
        Ok(Versioned { version, value: values })
    }

    /// The keys of a type.
    ///
    /// # Errors
    /// `AnswerTooLarge`, `StoreFailed`.
    pub async fn list(&self, config_type: &str, limit_bytes: usize) -> Result<Versioned<Vec<String>>> {
        let mut connection = self.connection().await.map_err(failed(BEGINNING_TO_READ))?;
        let mut tx = connection.begin().await.map_err(failed(BEGINNING_TO_READ))?;
        let version = version_of(&mut tx).await.map_err(failed("reading the version"))?;
        let mut budget = Budget::of(limit_bytes);
        let mut keys = Vec::new();
        let mut rows = sqlx::query("SELECT key FROM config_value WHERE type = $1 ORDER BY key").bind(config_type).fetch(&mut *tx);
        while let Some(row) = rows.try_next().await.map_err(failed("listing keys"))? {
            let key: String = row.try_get(0).map_err(failed("listing keys"))?;
            budget.spend(&[&key])?;
            keys.push(key);
        }
        Ok(Versioned { version, value: keys })
    }

    /// The values of a type, by key.
    ///
    /// # Errors
    /// `AnswerTooLarge`, `StoreFailed`.
    pub async fn values(&self, config_type: &str, limit_bytes: usize) -> Result<Versioned<BTreeMap<String, String>>> {
        let query = sqlx::query("SELECT type, key, value FROM config_value WHERE type = $1").bind(config_type);
        let Versioned { version, mut value } = self.collect(query, limit_bytes).await?;
        Ok(Versioned { version, value: value.remove(config_type).unwrap_or_default() })
    }

    /// Everything.
    ///
    /// # Errors
    /// `AnswerTooLarge`, `StoreFailed`.
    pub async fn everything(&self, limit_bytes: usize) -> Result<Versioned<Everything>> {
        self.collect(sqlx::query("SELECT type, key, value FROM config_value"), limit_bytes).await
    }

    /// The types that have values.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn types(&self) -> Result<Versioned<Vec<String>>> {
        let mut connection = self.connection().await.map_err(failed(BEGINNING_TO_READ))?;
        let mut tx = connection.begin().await.map_err(failed(BEGINNING_TO_READ))?;
        let version = version_of(&mut tx).await.map_err(failed("reading the version"))?;
        let rows = sqlx::query_scalar("SELECT DISTINCT type FROM config_value ORDER BY type").fetch_all(&mut *tx);
        let types: Vec<String> = rows.await.map_err(failed("listing types"))?;
        Ok(Versioned { version, value: types })
    }

    /// The size of everything in an answer, and its limit.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn usage(&self, limit_bytes: usize) -> Result<Usage> {
        let mut connection = self.connection().await.map_err(failed(BEGINNING_TO_READ))?;
        let mut tx = connection.begin().await.map_err(failed(BEGINNING_TO_READ))?;
        let size_bytes = self.total_bytes(&mut tx).await.map_err(failed("measuring the configuration"))?;
        Ok(Usage { size_bytes, limit_bytes: limit_bytes as u64 })
    }

    /// The size of everything as of the transaction. It is only recomputed if another program has written since it was last known.
    async fn total_bytes(&self, tx: &mut Transaction<'_, Sqlite>) -> sqlx::Result<u64> {
        let version = version_of(tx).await?;
        if let Some(bytes) = self.total.of(version) {
            return Ok(bytes);
        }
        let mut bytes = 0;
        let mut rows = sqlx::query("SELECT type, key, value FROM config_value").fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            bytes += size_of(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        }
        drop(rows);
        self.total.note(version, bytes);
        Ok(bytes)
    }

    async fn collect(
        &self,
        query: sqlx::query::Query<'_, Sqlite, sqlx::sqlite::SqliteArguments>,
        limit_bytes: usize,
    ) -> Result<Versioned<Everything>> {
        let mut connection = self.connection().await.map_err(failed(BEGINNING_TO_READ))?;
        let mut tx = connection.begin().await.map_err(failed(BEGINNING_TO_READ))?;
        let version = version_of(&mut tx).await.map_err(failed("reading the version"))?;
        let mut budget = Budget::of(limit_bytes);
        let mut everything = Everything::new();
        let mut rows = query.fetch(&mut *tx);
        while let Some(row) = rows.try_next().await.map_err(failed("reading values"))? {
            let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            let (config_type, key, value): (String, String, String) = read().map_err(failed("reading values"))?;
            budget.spend(&[&key, &value])?;
            everything.entry(config_type).or_default().insert(key, value);
        }
        Ok(Versioned { version, value: everything })
    }

    /// Writes a batch in one transaction, and increments the version. An empty batch changes nothing; its conditions are still checked.
    ///
    /// # Errors
    /// `Refused`, `Conflict`, `StoreFailed`. Nothing was changed then, unless not even the version could be read after a failed commit.
    ///
    /// # Cancel safety
    /// The batch was written completely or not at all.
    pub async fn apply(&self, batch: &Batch) -> Result<Applied> {
        self.apply_within(batch, usize::MAX).await
    }

    /// The same, but fails if everything together would no longer fit into a response of this many bytes.
    ///
    /// # Errors
    /// As [`Store::apply`], and `ConfigurationTooLarge`. Cancel safety is the same, too.
    pub async fn apply_within(&self, batch: &Batch, limit_bytes: usize) -> Result<Applied> {
        batch.check()?;
        let mut connection = self.connection().await.map_err(failed("starting a write"))?;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed("starting a write"))?;
        for condition in &batch.conditions {
            check_condition(&mut tx, condition).await?;
        }
        if batch.is_empty() {
            return Ok(Applied::Nothing);
        }
        let before_bytes = self.total_bytes(&mut tx).await.map_err(failed("measuring the configuration"))?;
        let after_bytes = (before_bytes + batch.put_bytes()).saturating_sub(replaced_bytes(&mut tx, batch).await?);
        check_growth(before_bytes, after_bytes, limit_bytes as u64, batch.capacity)?;
        let step = write(&mut tx, batch, self.least_version).await.map_err(failed("writing a batch"))?;
        match tx.commit().await {
            Ok(()) => {}
            Err(error) if self.is_stored(connection, &step).await => {
                tracing::warn!(error = %chain(&error), "commit of the configuration reported an error but is stored");
            }
            Err(error) => return Err(failed("committing a batch")(error)),
        }
        if let Applied::Step { version, .. } = step {
            self.total.note(version, after_bytes);
        }
        Ok(step)
    }

    /// Whether a batch was stored, according to the version read through another connection than the failed one.
    async fn is_stored(&self, failed: PoolConnection<Sqlite>, step: &Applied) -> bool {
        let found = async {
            let mut connection = self.replaced(failed).await?;
            let mut tx = connection.begin().await?;
            version_of(&mut tx).await
        };
        matches!((found.await, step), (Ok(found), Applied::Step { version, .. }) if found == *version)
    }

    /// A connection without a transaction. After a failed commit SQLite may have ended the transaction itself; the ROLLBACK that follows fails then,
    /// and its connection counts as in a transaction forever.
    async fn connection(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        let connection = self.pool.acquire().await?;
        if connection.is_in_transaction() { self.replaced(connection).await } else { Ok(connection) }
    }

    /// Replaces a failed connection. The new one is opened first: when the last connection closes, SQLite removes files that cannot be recreated on a
    /// full disk.
    async fn replaced(&self, mut failed: PoolConnection<Sqlite>) -> sqlx::Result<PoolConnection<Sqlite>> {
        if self.connections_count == 1 {
            // The failed connection is unusable, so the outcome of closing it does not matter.
            let _ = failed.close().await;
            return self.pool.acquire().await;
        }
        for _ in 0..self.connections_count {
            let next = self.pool.acquire().await;
            // The failed connection is unusable, so the outcome of closing it does not matter.
            let _ = failed.close().await;
            let next = next?;
            if !next.is_in_transaction() {
                return Ok(next);
            }
            failed = next;
        }
        Err(sqlx::Error::PoolTimedOut)
    }
}

async fn connect(path: &Path, locking: SqliteLockingMode, connections_count: u32) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .locking_mode(locking)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // Logging each statement is useless; failures are our own errors.
        .disable_statement_logging();
    // No minimum: the pool would open a second connection, and on a slow disk wait for the locks of the first until the time-out.
    SqlitePoolOptions::new().max_connections(connections_count).max_lifetime(None).idle_timeout(None).connect_with(options).await
}

/// Whether SQLite ran out of disk space: for a page (13), or for its shared-memory file (resizing or opening it).
fn is_disk_full(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Database(error) => error.code(),
        sqlx::Error::Migrate(error) => match &**error {
            MigrateError::Execute(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        },
        _ => None,
    };
    matches!(code.as_deref(), Some("13" | "4874" | "4618"))
}

/// The meaning of a failed opening, if its error does not explain it.
fn opening_error(error: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match &error {
        sqlx::Error::Migrate(migration) => match **migration {
            MigrateError::VersionMissing(found) => format!(
                "it has schema {found}, and this program supports {SCHEMA}: it was written by a newer version; use that version to open it"
            )
            .into(),
            _ => error.into(),
        },
        _ if is_disk_full(&error) => DISK_FULL.into(),
        // Its source repeats the same message.
        sqlx::Error::Database(database) => database.to_string().into(),
        _ => error.into(),
    }
}

fn migrator() -> Migrator {
    let sql = include_str!("../migrations/0001_init.sql").into_sql_str();
    Migrator::with_migrations(vec![Migration::new(SCHEMA, "init".into(), MigrationType::Simple, sql, false)])
}

async fn version_of(tx: &mut Transaction<'_, Sqlite>) -> sqlx::Result<u64> {
    let version: i64 = sqlx::query_scalar("SELECT version FROM config_state").fetch_one(&mut **tx).await?;
    Ok(version.unsigned_abs())
}

async fn value_of(tx: &mut Transaction<'_, Sqlite>, config_type: &str, key: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM config_value WHERE type = $1 AND key = $2")
        .bind(config_type)
        .bind(key)
        .fetch_optional(&mut **tx)
        .await
}

/// Finds values with one statement: one for each key would make reading many keys slow.
async fn look_up(tx: &mut Transaction<'_, Sqlite>, keys: &[&Key], budget: &mut Budget, found: &mut HashMap<Key, String>) -> Result<()> {
    let wanted: Vec<String> = (0..keys.len()).map(|at| format!("(${}, ${})", 2 * at + 1, 2 * at + 2)).collect();
    let sql = format!(
        "SELECT type, key, value FROM (VALUES {}) AS wanted JOIN config_value ON type = wanted.column1 AND key = wanted.column2",
        wanted.join(", ")
    );
    // The statement consists only of placeholders and numbers.
    let query = sqlx::query(AssertSqlSafe(sql)).persistent([1, KEYS_PER_STATEMENT_COUNT].contains(&keys.len()));
    let query = keys.iter().fold(query, |query, key| query.bind(&key.config_type).bind(&key.key));
    let mut rows = query.fetch(&mut **tx);
    while let Some(row) = rows.try_next().await.map_err(failed("reading values"))? {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let (config_type, key, value): (String, String, String) = read().map_err(failed("reading values"))?;
        budget.spend(&[&value])?;
        found.insert(Key { config_type, key }, value);
    }
    Ok(())
}

/// The contribution to the total size of the values that a batch replaces or deletes.
async fn replaced_bytes(tx: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<u64> {
    let keys = batch.changed_keys();
    let mut bytes = 0;
    for some in keys.chunks(KEYS_PER_STATEMENT_COUNT) {
        let mut found = HashMap::new();
        look_up(tx, &some.iter().collect::<Vec<_>>(), &mut Budget::of(usize::MAX), &mut found).await?;
        bytes += found.iter().map(|(key, value)| size_of(&key.config_type, &key.key, value)).sum::<u64>();
    }
    Ok(bytes)
}

async fn check_condition(tx: &mut Transaction<'_, Sqlite>, condition: &Condition) -> Result<()> {
    let Condition { config_type, key, value: wanted } = condition;
    let found = value_of(tx, config_type, key).await.map_err(failed("checking a condition"))?;
    if found == *wanted {
        return Ok(());
    }
    Err(conflict(condition, found.is_some()))
}

async fn write(tx: &mut Transaction<'_, Sqlite>, batch: &Batch, least_version: i64) -> sqlx::Result<Applied> {
    let raised = "UPDATE config_state SET version = CASE WHEN version + 1 > $1 THEN version + 1 ELSE $1 END RETURNING version";
    let version: i64 = sqlx::query_scalar(raised).bind(least_version).fetch_one(&mut **tx).await?;
    let mut changed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Key { config_type, key } in &batch.delete {
        sqlx::query("DELETE FROM config_value WHERE type = $1 AND key = $2").bind(config_type).bind(key).execute(&mut **tx).await?;
        changed.entry(config_type.clone()).or_default().insert(key.clone());
    }
    for Value { config_type, key, value } in &batch.put {
        sqlx::query(
            "INSERT INTO config_value (type, key, value, version) VALUES ($1, $2, $3, $4) ON CONFLICT (type, key) DO UPDATE SET
             value = excluded.value, version = excluded.version WHERE config_value.value <> excluded.value",
        )
        .bind(config_type)
        .bind(key)
        .bind(value.as_deref().unwrap_or_default())
        .bind(version)
        .execute(&mut **tx)
        .await?;
        changed.entry(config_type.clone()).or_default().insert(key.clone());
    }
    for config_type in changed.keys() {
        sqlx::query("INSERT INTO config_type (type, version) VALUES ($1, $2) ON CONFLICT (type) DO UPDATE SET version = excluded.version")
            .bind(config_type)
            .bind(version)
            .execute(&mut **tx)
            .await?;
    }
    Ok(Applied::Step { version: version.unsigned_abs(), changed })
}

fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> ConfigError {
    move |source| ConfigError::StoreFailed { doing, source: opening_error(source) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_of_a_newer_version_is_reported_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.sqlite");
        let store = Store::open(&path).await.unwrap();
        let newer =
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (7, 'later', 1, x'00', 0)";
        sqlx::query(newer).execute(&store.pool).await.unwrap();
        store.close().await;
        let error = weir_pubsub::chain(&Store::open(&path).await.unwrap_err());
        assert!(error.contains("it has schema 7, and this program supports 1: it was written by a newer version"), "{error}");
    }
}
