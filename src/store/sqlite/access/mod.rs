//! Users, sessions, tokens and the audit trail on SQLite: `access.db` beside the message store. Every
//! write is one transaction, synced before it is answered.

mod desk;
mod queries;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};

use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::access::{
    AccessStore, AuditEntry, AuditQuery, AuditRecord, SessionRecord, TokenRecord, UserRecord,
    audit_hash,
};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/access");

/// How long a connection waits for another one's lock, and a caller for a connection.
const WAIT: Duration = Duration::from_secs(5);

/// Users, sessions, tokens and audit in one file.
#[derive(Debug)]
pub struct SqliteAccess {
    readers: SqlitePool,
    /// One connection: the trail has one writer, which links each record to the one before.
    writer: SqlitePool,
}

impl SqliteAccess {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened, or was made by a newer release.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT)
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WAIT)
            .connect_with(options.clone())
            .await?;
        MIGRATIONS.run(&writer).await.map_err(|error| {
            StoreError::Unsafe(format!(
                "{} cannot be brought to this release's schema: {error}",
                path.display()
            ))
        })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(2)
            .acquire_timeout(WAIT)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self { readers, writer })
    }

    /// Opens the file to be read alone: nothing in it changes, not even its schema.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .read_only(true)
            .busy_timeout(WAIT);
        let pool = || SqlitePoolOptions::new().max_connections(1).acquire_timeout(WAIT);
        let readers = pool().connect_with(options.clone()).await?;
        Ok(Self { readers, writer: pool().connect_lazy_with(options) })
    }

    async fn insert_user(
        &self,
        query: &'static str,
        user: &UserRecord,
    ) -> Result<bool, StoreError> {
        let query = with_user(sqlx::query(query), user).bind(user.created_at.0);
        Ok(query.execute(&self.writer).await?.rows_affected() == 1)
    }
}

/// A user's values ?1 to ?12: all but the time of making.
fn with_user<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    user: &'q UserRecord,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(&user.name)
        .bind(&user.display)
        .bind(user.password.as_ref().map(Secret::expose))
        .bind(words(&user.roles))
        .bind(words(&user.groups))
        .bind(&user.view)
        .bind(&user.totp)
        .bind(user.totp_step)
        .bind(&user.subject)
        .bind(user.disabled)
        .bind(user.failures)
        .bind(user.locked_until.0)
}

/// Lists of plain words as one text.
fn words(list: &[String]) -> String {
    list.join(" ")
}

/// Groups limit: what stands here and is no list of names limits to a group that no channel has, never to
/// all channels.
fn groups(words: &str) -> Vec<String> {
    if words.is_empty() { Vec::new() } else { words.split(' ').map(str::to_owned).collect() }
}

fn list(words: &str) -> Vec<String> {
    words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn hash_of(row: &SqliteRow, at: usize) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.try_get(at)?;
    <[u8; 32]>::try_from(bytes)
        .map_err(|_| StoreError::Database("a hash in access.db has a wrong length".to_owned()))
}

fn user_of(row: &SqliteRow) -> Result<UserRecord, StoreError> {
    Ok(UserRecord {
        number: row.try_get(0)?,
        name: row.try_get(1)?,
        display: row.try_get(2)?,
        password: row.try_get::<Option<String>, _>(3)?.map(|text| Secret::new(&text)),
        roles: list(row.try_get(4)?),
        groups: groups(row.try_get(5)?),
        view: row.try_get(6)?,
        totp: row.try_get(7)?,
        totp_step: row.try_get(8)?,
        subject: row.try_get(9)?,
        disabled: row.try_get(10)?,
        created_at: Timestamp(row.try_get(11)?),
        failures: row.try_get(12)?,
        locked_until: Timestamp(row.try_get(13)?),
    })
}

fn session_of(row: &SqliteRow) -> Result<SessionRecord, StoreError> {
    Ok(SessionRecord {
        hash: hash_of(row, 14)?,
        user: row.try_get(15)?,
        created_at: Timestamp(row.try_get(16)?),
        seen_at: Timestamp(row.try_get(17)?),
        ends_at: Timestamp(row.try_get(18)?),
        address: row.try_get(19)?,
        broken_until: Timestamp(row.try_get(20)?),
    })
}

fn token_of(row: &SqliteRow) -> Result<TokenRecord, StoreError> {
    Ok(TokenRecord {
        number: row.try_get(0)?,
        name: row.try_get(1)?,
        hash: hash_of(row, 2)?,
        roles: list(row.try_get(3)?),
        groups: groups(row.try_get(4)?),
        view: row.try_get(5)?,
        created_by: row.try_get(6)?,
        created_at: Timestamp(row.try_get(7)?),
        ends_at: Timestamp(row.try_get(8)?),
        revoked: row.try_get(9)?,
    })
}

fn record_of(row: &SqliteRow) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        number: row.try_get(0)?,
        entry: AuditEntry {
            at: Timestamp(row.try_get(1)?),
            actor: row.try_get(2)?,
            address: row.try_get(3)?,
            action: row.try_get(4)?,
            outcome: row.try_get(5)?,
            object: row.try_get(6)?,
            reason: row.try_get(7)?,
        },
        previous: hash_of(row, 8)?,
        hash: hash_of(row, 9)?,
    })
}

/// Appends records to the chain; answers the number of the last one.
async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    entries: &[AuditEntry],
) -> Result<i64, StoreError> {
    let last = sqlx::query(queries::LAST_AUDIT).fetch_optional(&mut **transaction).await?;
    let (mut number, mut previous) = match &last {
        Some(row) => (row.try_get::<i64, _>(0)?, hash_of(row, 1)?),
        None => (0, [0; 32]),
    };
    // Each statement is a way to the thread of the connection and back: many rows share one.
    for entries in entries.chunks(queries::AUDIT_ROWS) {
        let mut statement = sqlx::QueryBuilder::new(queries::ADD_AUDIT);
        statement.push_values(entries, |mut row, entry| {
            number += 1;
            let hash = audit_hash(number, entry, &previous);
            row.push_bind(number)
                .push_bind(entry.at.0)
                .push_bind(&entry.actor)
                .push_bind(&entry.address)
                .push_bind(&entry.action)
                .push_bind(&entry.outcome)
                .push_bind(&entry.object)
                .push_bind(&entry.reason)
                .push_bind(previous.to_vec())
                .push_bind(hash.to_vec());
            previous = hash;
        });
        statement.build().execute(&mut **transaction).await?;
    }
    Ok(number)
}

#[async_trait]
impl AccessStore for SqliteAccess {
    async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        let rows = sqlx::query(queries::USERS).fetch_all(&self.readers).await?;
        rows.iter().map(user_of).collect()
    }

    async fn user(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        let row = sqlx::query(queries::USER).bind(name).fetch_optional(&self.writer).await?;
        row.as_ref().map(user_of).transpose()
    }

    async fn add_user(&self, user: &UserRecord) -> Result<bool, StoreError> {
        self.insert_user(queries::ADD_USER, user).await
    }

    async fn add_first_user(&self, user: &UserRecord) -> Result<bool, StoreError> {
        self.insert_user(queries::ADD_FIRST_USER, user).await
    }

    async fn put_user(&self, user: &UserRecord) -> Result<(), StoreError> {
        let query = with_user(sqlx::query(queries::PUT_USER), user);
        let done = query.execute(&self.writer).await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Missing) }
    }

    async fn user_failed(
        &self,
        name: &str,
        now: Timestamp,
        limit: u32,
        lock: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query(queries::USER_FAILED)
            .bind(name)
            .bind(now.0)
            .bind(limit)
            .bind(i64::try_from(lock.as_micros()).unwrap_or(i64::MAX))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn user_signed_in(&self, name: &str, totp_step: i64) -> Result<(), StoreError> {
        sqlx::query(queries::USER_SIGNED_IN)
            .bind(name)
            .bind(totp_step)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn add_session(&self, session: &SessionRecord) -> Result<(), StoreError> {
        sqlx::query(queries::ADD_SESSION)
            .bind(session.hash.as_slice())
            .bind(session.user)
            .bind(session.created_at.0)
            .bind(session.seen_at.0)
            .bind(session.ends_at.0)
            .bind(&session.address)
            .bind(session.broken_until.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn session(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<(SessionRecord, UserRecord)>, StoreError> {
        let row = sqlx::query(queries::SESSION)
            .bind(hash.as_slice())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(|row| Ok((session_of(row)?, user_of(row)?))).transpose()
    }

    async fn touch_session(&self, session: &SessionRecord) -> Result<(), StoreError> {
        sqlx::query(queries::TOUCH_SESSION)
            .bind(session.hash.as_slice())
            .bind(session.seen_at.0)
            .bind(session.broken_until.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn end_session(&self, hash: &[u8; 32]) -> Result<(), StoreError> {
        sqlx::query(queries::END_SESSION).bind(hash.as_slice()).execute(&self.writer).await?;
        Ok(())
    }

    async fn end_sessions(&self, user: i64, but: Option<&[u8; 32]>) -> Result<(), StoreError> {
        sqlx::query(queries::END_SESSIONS)
            .bind(user)
            .bind(but.map(<[u8; 32]>::as_slice))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn forget_sessions(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(queries::FORGET_SESSIONS).bind(now.0).execute(&self.writer).await?;
        Ok(())
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = sqlx::query(queries::TOKENS).fetch_all(&self.readers).await?;
        rows.iter().map(token_of).collect()
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>, StoreError> {
        let row =
            sqlx::query(queries::TOKEN).bind(hash.as_slice()).fetch_optional(&self.readers).await?;
        row.as_ref().map(token_of).transpose()
    }

    async fn add_token(&self, token: &TokenRecord) -> Result<bool, StoreError> {
        let done = sqlx::query(queries::ADD_TOKEN)
            .bind(&token.name)
            .bind(token.hash.as_slice())
            .bind(words(&token.roles))
            .bind(words(&token.groups))
            .bind(&token.view)
            .bind(&token.created_by)
            .bind(token.created_at.0)
            .bind(token.ends_at.0)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(queries::REVOKE_TOKEN).bind(name).execute(&self.writer).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<i64, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let number = append(&mut transaction, std::slice::from_ref(entry)).await?;
        transaction.commit().await?;
        Ok(number)
    }

    async fn audit_all(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        append(&mut transaction, entries).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn audit_records(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, StoreError> {
        let family = query.action.as_deref().is_some_and(|action| action.ends_with('.'));
        let statement = match query {
            AuditQuery { object: Some(_), .. } => queries::AUDIT_BY_OBJECT,
            AuditQuery { actor: Some(_), .. } => queries::AUDIT_BY_ACTOR,
            AuditQuery { action: Some(_), .. } if !family => queries::AUDIT_BY_ACTION,
            _ => queries::AUDIT,
        };
        let rows = sqlx::query(statement)
            .bind(query.before.unwrap_or(i64::MAX))
            .bind(&query.actor)
            .bind(&query.action)
            .bind(family)
            .bind(&query.object)
            .bind(query.since.map(|at| at.0))
            .bind(query.until.map(|at| at.0))
            .bind(query.limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(record_of).collect()
    }

    async fn audit_from(&self, from: i64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query(queries::AUDIT_FROM)
            .bind(from)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(record_of).collect()
    }

    async fn term_key(&self) -> Result<[u8; 32], StoreError> {
        let mut drawn = [0_u8; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut drawn)
            .map_err(|_| StoreError::Database("the machine has no randomness".to_owned()))?;
        let mut transaction = self.writer.begin().await?;
        let added = sqlx::query(queries::ADD_TERM_KEY).bind(drawn.as_slice());
        added.execute(&mut *transaction).await?;
        let row = sqlx::query(queries::TERM_KEY).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        hash_of(&row, 0)
    }

    async fn close_access(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
