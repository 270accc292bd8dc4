//! How the devices of a release are, counted from the reports of their executions.

use ota_jobs::Reason;
use ota_jobs::details::{CODE, WAITING};
use sqlx::Row;

use super::{Store, StoreError, int, uint};
use crate::health::Health;
use crate::model::Counts;

/// The family of the reasons why an image was left again: its self-test failed, or the device went back.
const SELF_TEST_FAMILY: u16 = 0x06;

impl Store {
    /// Returns how the devices of a job with these counts are. One in progress that reported nothing since `silent_s`,
    /// in seconds since 1970, is silent.
    pub async fn health(&self, job_id: &str, counts: Counts, silent_s: u64) -> Result<Health, StoreError> {
        let codes: Vec<String> = Reason::all()
            .filter(|reason| reason.code() >> 8 == SELF_TEST_FAMILY)
            .map(|reason| reason.code_text().as_str().to_owned())
            .collect();
        let row = sqlx::query(
            "SELECT
             COUNT(*) FILTER (WHERE status = 'FAILED' AND code IN (SELECT value FROM json_each($2))),
             COUNT(*) FILTER (WHERE status = 'IN_PROGRESS' AND postpones IS NULL AND updated_at_s <= $3),
             COUNT(*) FILTER (WHERE status IN ('IN_PROGRESS', 'QUEUED') AND (postpones IS NOT NULL OR available = 0))
             + (SELECT COUNT(*) FROM waiting w JOIN reports r ON r.thing = w.thing AND r.available = 0 WHERE w.job_id = $1),
             (SELECT COUNT(*) FROM executions WHERE job_id = $1 AND started_at_s <= $3)
             FROM (SELECT e.status, e.updated_at_s, json_extract(e.details, '$.' || $4) AS code,
              json_extract(e.details, '$.' || $5) AS postpones, r.available
              FROM executions e LEFT JOIN reports r ON r.thing = e.thing
              WHERE e.job_id = $1 AND e.status IN ('FAILED', 'IN_PROGRESS', 'QUEUED')) AS counted",
        )
        .bind(job_id)
        .bind(serde_json::json!(codes).to_string())
        .bind(int(silent_s))
        .bind(CODE)
        .bind(WAITING)
        .fetch_one(&self.pool)
        .await?;
        Ok(Health {
            counts,
            self_test_failed: uint(row.try_get(0)?, "self_test_failed")?,
            silent: uint(row.try_get(1)?, "silent")?,
            on_hold: uint(row.try_get(2)?, "on_hold")?,
            begun: uint(row.try_get(3)?, "begun")?,
        })
    }
}
