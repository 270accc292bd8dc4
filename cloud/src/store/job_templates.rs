//! Job templates of the AWS control API: settings in JSON under a name.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, int, uint};
use crate::model::JobTemplate;

impl Store {
    /// Stores a job template; returns false if there is one with this id, and then changes nothing.
    pub async fn add_job_template(&self, template: &JobTemplate) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO job_templates (id, settings, created_at_s) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(template.id.as_str())
        .bind(template.settings.as_str())
        .bind(int(template.created_at_s))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Returns the job template with this id.
    pub async fn job_template(&self, id: &str) -> Result<Option<JobTemplate>, StoreError> {
        let row = sqlx::query("SELECT id, settings, created_at_s FROM job_templates WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(template).transpose()
    }

    /// Returns job templates after `after`, sorted by id, at most `limit`.
    pub async fn listed_job_templates(&self, after: &str, limit: i64) -> Result<Vec<JobTemplate>, StoreError> {
        let rows =
            sqlx::query("SELECT id, settings, created_at_s FROM job_templates WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(template).collect()
    }

    /// Removes a job template; returns whether it existed.
    pub async fn delete_job_template(&self, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM job_templates WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn template(row: &AnyRow) -> Result<JobTemplate, StoreError> {
    Ok(JobTemplate {
        id: row.try_get(0)?,
        settings: row.try_get(1)?,
        created_at_s: uint(row.try_get(2)?, "created_at_s")?,
    })
}
