//! Answers and saved views in `access.db`.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::message::time::Timestamp;
use crate::store::StoreError;
use crate::store::desk::{DeskStore, GivenAnswer, KeptAnswer, SavedView};
use crate::store::sqlite::access::{SqliteAccess, hash_of};

const FORGET: &str = "DELETE FROM answer WHERE at <= ?1";
const ANSWER: &str = "SELECT request, status, content_type, body FROM answer WHERE key = ?1";
const BEGIN: &str = "INSERT INTO answer (key, request, at) VALUES (?1, ?2, ?3)";
const KEEP: &str = "UPDATE answer SET status = ?2, content_type = ?3, body = ?4 WHERE key = ?1";
const DROP: &str = "DELETE FROM answer WHERE key = ?1";
const VIEWS: &str = "SELECT no, owner, name, page, query, shared, groups, changed_at \
    FROM saved_view ORDER BY name, no";
const ADD_VIEW: &str = "INSERT OR IGNORE INTO saved_view \
    (owner, name, page, query, shared, groups, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const PUT_VIEW: &str = "UPDATE OR IGNORE saved_view SET owner = ?1, name = ?2, page = ?3, \
    query = ?4, shared = ?5, groups = ?6, changed_at = ?7 WHERE no = ?8";
const REMOVE_VIEW: &str = "DELETE FROM saved_view WHERE no = ?1";

fn answer_of(row: &SqliteRow) -> Result<KeptAnswer, StoreError> {
    let status: Option<u16> = row.try_get(1)?;
    let given = match status {
        Some(status) => {
            let (content_type, body) = (row.try_get(2)?, row.try_get(3)?);
            Some(GivenAnswer { status, content_type, body })
        }
        None => None,
    };
    Ok(KeptAnswer { request: hash_of(row, 0)?, given })
}

fn groups_of(text: &str) -> Vec<String> {
    // A group may have a blank in it, and no line break.
    text.split('\n').filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

fn view_of(row: &SqliteRow) -> Result<SavedView, StoreError> {
    Ok(SavedView {
        number: row.try_get(0)?,
        owner: row.try_get(1)?,
        name: row.try_get(2)?,
        page: row.try_get(3)?,
        query: row.try_get(4)?,
        shared: row.try_get(5)?,
        groups: groups_of(row.try_get(6)?),
        changed_at: Timestamp(row.try_get(7)?),
    })
}

impl SqliteAccess {
    async fn write_view(&self, query: &'static str, view: &SavedView) -> Result<i64, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let done = sqlx::query(query)
            .bind(&view.owner)
            .bind(&view.name)
            .bind(&view.page)
            .bind(&view.query)
            .bind(view.shared)
            .bind(view.groups.join("\n"))
            .bind(view.changed_at.0);
        let done = if view.number == 0 { done } else { done.bind(view.number) };
        let done = done.execute(&mut *transaction).await?;
        transaction.commit().await?;
        let number = if view.number == 0 { done.last_insert_rowid() } else { view.number };
        Ok(if done.rows_affected() == 1 { number } else { 0 })
    }
}

#[async_trait]
impl DeskStore for SqliteAccess {
    async fn begin_answer(
        &self,
        key: &[u8; 32],
        request: &[u8; 32],
        now: Timestamp,
        oldest: Timestamp,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query(FORGET).bind(oldest.0).execute(&mut *transaction).await?;
        let row =
            sqlx::query(ANSWER).bind(key.as_slice()).fetch_optional(&mut *transaction).await?;
        if let Some(row) = row {
            return answer_of(&row).map(Some);
        }
        let begun = sqlx::query(BEGIN).bind(key.as_slice()).bind(request.as_slice()).bind(now.0);
        begun.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(None)
    }

    async fn keep_answer(&self, key: &[u8; 32], given: &GivenAnswer) -> Result<(), StoreError> {
        sqlx::query(KEEP)
            .bind(key.as_slice())
            .bind(given.status)
            .bind(&given.content_type)
            .bind(&given.body)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn forget_answer(&self, key: &[u8; 32]) -> Result<(), StoreError> {
        sqlx::query(DROP).bind(key.as_slice()).execute(&self.writer).await?;
        Ok(())
    }

    async fn views(&self) -> Result<Vec<SavedView>, StoreError> {
        let rows = sqlx::query(VIEWS).fetch_all(&self.readers).await?;
        rows.iter().map(view_of).collect()
    }

    async fn add_view(&self, view: &SavedView) -> Result<Option<i64>, StoreError> {
        let number = self.write_view(ADD_VIEW, view).await?;
        Ok((number != 0).then_some(number))
    }

    async fn put_view(&self, view: &SavedView) -> Result<bool, StoreError> {
        Ok(self.write_view(PUT_VIEW, view).await? != 0)
    }

    async fn remove_view(&self, number: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(REMOVE_VIEW).bind(number).execute(&self.writer).await?;
        Ok(done.rows_affected() == 1)
    }
}
