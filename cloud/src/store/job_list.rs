//! A list of jobs in pages that begin after a row, for the AWS control API.

use sqlx::Row;

use super::{Store, StoreError, flag, uint, uint_opt};
use crate::schedule;

/// Which jobs a list has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobFilter<'a> {
    /// Only those in this state: `SCHEDULED`, `IN_PROGRESS`, `COMPLETED` or `CANCELED`.
    pub state: Option<&'a str>,
    /// Only continuous ones, or only others.
    pub continuous: Option<bool>,
    /// Only those for this group.
    pub group: Option<&'a str>,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// Grows from job to job.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// See [`JobFilter::state`].
    pub state: String,
    /// Whether things that join its groups get it.
    pub continuous: bool,
    /// Seconds since 1970.
    pub created_at_s: u64,
    /// Last change of an execution, or the creation. Seconds since 1970.
    pub updated_at_s: u64,
}

impl Store {
    /// Returns jobs before number `before`, newest first, at most `limit`.
    pub async fn listed_jobs(
        &self,
        filter: JobFilter<'_>,
        before: i64,
        limit: i64,
        now_s: u64,
    ) -> Result<Vec<ListedJob>, StoreError> {
        // The states are those of `api::job_status`.
        let rows = sqlx::query(
            "SELECT seq, id, state, continuous, created_at_s, updated_at_s FROM
             (SELECT seq, id, continuous, created_at_s, details,
              CASE WHEN canceled <> 0 THEN 'CANCELED'
              WHEN continuous = 0 AND NOT EXISTS (SELECT 1 FROM waiting WHERE job_id = jobs.id) AND NOT EXISTS
               (SELECT 1 FROM executions WHERE job_id = jobs.id AND status IN ('IN_PROGRESS', 'QUEUED')) THEN 'COMPLETED'
              WHEN replace(json_extract(config, '$.schedulingConfig.startTime'), 'T', ' ') > $2 THEN 'SCHEDULED'
              ELSE 'IN_PROGRESS' END AS state,
              (SELECT MAX(updated_at_s) FROM executions WHERE job_id = jobs.id) AS updated_at_s
              FROM jobs) AS listed
             WHERE seq < $1 AND ($3 IS NULL OR state = $3) AND ($4 IS NULL OR continuous = $4)
             AND ($5 IS NULL OR EXISTS
              (SELECT 1 FROM json_each(json_extract(details, '$.targets')) WHERE json_extract(value, '$.group') = $5))
             ORDER BY seq DESC LIMIT $6",
        )
        .bind(before)
        .bind(schedule::written(now_s))
        .bind(filter.state)
        .bind(filter.continuous.map(i64::from))
        .bind(filter.group)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(listed_job).collect()
    }

    /// Returns when an execution of a job changed last; `None` without executions. Seconds since 1970.
    pub async fn job_updated_at_s(&self, id: &str) -> Result<Option<u64>, StoreError> {
        let row: (Option<i64>,) = sqlx::query_as("SELECT MAX(updated_at_s) FROM executions WHERE job_id = $1")
            .bind(id)
            .fetch_one(&self.pool)
            .await?;
        row.0.map(|at| uint(at, "updated_at_s")).transpose()
    }
}

fn listed_job(row: &sqlx::any::AnyRow) -> Result<ListedJob, StoreError> {
    let created_at_s = uint(row.try_get(4)?, "created_at_s")?;
    let updated_at_s = uint_opt(row.try_get(5)?, "updated_at_s")?;
    Ok(ListedJob {
        seq: row.try_get(0)?,
        id: row.try_get(1)?,
        state: row.try_get(2)?,
        continuous: flag(row, 3)?,
        created_at_s,
        updated_at_s: updated_at_s.unwrap_or(0).max(created_at_s),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::JobRow;
    use crate::job_config::{JobConfig, RolloutConfig};
    use crate::model::{Job, JobDetails};
    use crate::schedule::ScheduleConfig;
    use crate::store::NewJobRecord;
    use crate::testing::on_each_database;

    /// 2023-11-14 22:13:20 UTC.
    const NOW_S: u64 = 1_700_000_000;

    fn job(id: &str, config: JobConfig, continuous: bool) -> Job {
        Job {
            id: id.to_owned(),
            document: "{}".to_owned(),
            stream: None,
            timeout_s: None,
            canceled: false,
            canceled_by_force: false,
            paused: false,
            details: JobDetails::default(),
            config,
            continuous,
            created_at_s: 1,
        }
    }

    #[tokio::test]
    async fn the_states_of_a_list_are_those_of_each_job() {
        on_each_database(async |store| {
            let begin = |text: &str| {
                let schedule = ScheduleConfig { start_time: Some(text.to_owned()), ..ScheduleConfig::default() };
                JobConfig { schedule: Some(schedule), ..JobConfig::default() }
            };
            let rate = JobConfig { rollout: Some(RolloutConfig::constant(1)), ..JobConfig::default() };
            let (lamp, none) = (["lamp".to_owned()], []);
            for (job, things) in [
                (job("queued", JobConfig::default(), false), &lamp[..]),
                (job("waiting", rate, false), &lamp),
                (job("ended", JobConfig::default(), false), &none),
                (job("open", JobConfig::default(), true), &none),
                (job("later", begin("2023-11-14T22:14"), false), &lamp),
                (job("begun", begin("2023-11-14 22:13"), false), &lamp),
                (job("canceled", begin("2023-11-15 22:14"), true), &lamp),
            ] {
                store
                    .create_job(&NewJobRecord { job: &job, things, files: &[], groups: &[], by: "test", release: None })
                    .await
                    .unwrap();
            }
            store.mark_canceled("canceled", false, "cancelled", None).await.unwrap();

            let listed = store.listed_jobs(JobFilter::default(), i64::MAX, 100, NOW_S).await.unwrap();
            let states: Vec<(&str, &str)> = listed.iter().map(|job| (job.id.as_str(), job.state.as_str())).collect();
            let of_each: Vec<JobRow> = store.jobs().await.unwrap().iter().map(|job| JobRow::new(job, NOW_S)).collect();
            let expected: Vec<(&str, &str)> =
                of_each.iter().map(|job| (job.id.as_str(), job.status.as_str())).collect();
            assert_eq!(states, expected);
            for (state, count) in [("IN_PROGRESS", 4), ("SCHEDULED", 1), ("COMPLETED", 1), ("CANCELED", 1)] {
                let filter = JobFilter { state: Some(state), ..JobFilter::default() };
                assert_eq!(store.listed_jobs(filter, i64::MAX, 100, NOW_S).await.unwrap().len(), count, "{state}");
            }
            let continuous = JobFilter { continuous: Some(true), ..JobFilter::default() };
            assert_eq!(store.listed_jobs(continuous, i64::MAX, 1, NOW_S).await.unwrap()[0].id, "canceled");
        })
        .await;
    }
}
