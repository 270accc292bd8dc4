//! Changes of jobs and executions beside those of devices: what the AWS control API has. Creation and cancellation of whole
//! jobs are in `job_admin.rs` and `service.rs`.

use ota_jobs::Status;

use super::admin_error::AdminError;
use super::groups;
use super::job_admin::audit_note;
use super::notify_queue::{NextChange, PendingNotify};
use super::rules;
use crate::job_config::JobConfig;
use crate::limits::{DESCRIPTION_BYTES_MAX, THINGS_MAX, TIMER_MINUTES};
use crate::model::{Execution, Job, JobTarget, PresignedUrlConfig};
use crate::release_plan::ReleasePlan;
use crate::store::{ExecutionChange, Store};

/// A change.
#[derive(Clone, Debug)]
pub enum JobChange {
    /// Change the settings of a job that has not ended.
    Update {
        /// The job.
        id: String,
        /// The new settings.
        update: Box<JobUpdate>,
    },
    /// Add why a job was cancelled.
    Remark {
        /// The job.
        id: String,
        /// Code of the reason.
        reason_code: Option<String>,
        /// A text for people.
        comment: Option<String>,
    },
    /// Delete a job and its executions; one that has not ended only if forced.
    Delete {
        /// The job.
        id: String,
        /// Whether it may be in progress.
        force: bool,
    },
    /// Give a continuous job further targets.
    Associate {
        /// The job.
        id: String,
        /// Things.
        things: Vec<String>,
        /// Groups, also for things that join them later.
        groups: Vec<String>,
    },
    /// Cancel one execution; one in progress only if forced.
    CancelExecution {
        /// The execution.
        of: ExecutionName,
        /// Its expected version.
        expected_version: Option<u64>,
        /// Replaces the status details. A JSON object of strings.
        details: Option<String>,
        /// Whether it may be in progress.
        force: bool,
    },
    /// Delete one execution; one that has not ended only if forced.
    DeleteExecution {
        /// The execution.
        of: ExecutionName,
        /// Its number.
        number: u64,
        /// Whether it may be pending.
        force: bool,
    },
    /// Delete a thing with its executions.
    DeleteThing {
        /// The thing.
        name: String,
        /// Its expected version.
        expected_version: Option<u64>,
    },
}

/// An execution, by thing and job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionName {
    /// The thing.
    pub thing: String,
    /// The job.
    pub job_id: String,
}

/// New settings of a job; those that are absent stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobUpdate {
    /// Description.
    pub description: Option<String>,
    /// Configuration of signed URLs.
    pub presigned_url_config: Option<PresignedUrlConfig>,
    /// Maximum time that executions may be in progress which start from now on. Unit: minutes.
    pub timeout_minutes: Option<u64>,
    /// Rollout, abort criteria and retries.
    pub config: JobConfig,
}

/// What follows from a change.
#[derive(Debug, Default)]
pub struct Applied {
    /// Notifications owed to things.
    pub due: Vec<PendingNotify>,
    /// What becomes of a rollout.
    pub rollout: Option<RolloutChange>,
}

/// What becomes of a rollout.
#[derive(Debug)]
pub enum RolloutChange {
    /// This job has other settings; if it is a release, its plan stays.
    Replaced(Box<Job>, Option<ReleasePlan>),
    /// The job with this id does not exist any more.
    Removed(String),
}

impl From<Vec<PendingNotify>> for Applied {
    fn from(due: Vec<PendingNotify>) -> Self {
        Self { due, rollout: None }
    }
}

/// Makes a change for the access key `by`; it is on disk when this returns.
///
/// Errors: nothing was changed.
///
/// # Cancel safety
///
/// If the future is dropped, the change may have been made or not.
pub async fn apply(store: &Store, change: JobChange, by: &str, now_s: u64) -> Result<Applied, AdminError> {
    match change {
        JobChange::Update { id, update } => self::update(store, &id, *update, by).await,
        JobChange::Remark { id, reason_code, comment } => remark(store, &id, (reason_code, comment), by).await,
        JobChange::Delete { id, force } => delete(store, &id, force, by).await,
        JobChange::Associate { id, things, groups } => associate(store, &id, (&things, &groups), by, now_s).await,
        JobChange::CancelExecution { of, expected_version, details, force } => {
            let execution = execution(store, &of).await?;
            check_version(expected_version, execution.version)?;
            cancel(store, &execution, (details, force), by, now_s).await
        }
        JobChange::DeleteExecution { of, number, force } => {
            let execution = Some(execution(store, &of).await?).filter(|execution| execution.number == number);
            let gone =
                AdminError::NoExecution { thing: of.thing, job_id: format!("{} with number {number}", of.job_id) };
            delete_execution(store, &execution.ok_or(gone)?, force, by).await
        }
        JobChange::DeleteThing { name, expected_version } => {
            let thing = store.thing(&name).await?.ok_or_else(|| AdminError::NoThing(name.clone()))?;
            check_version(expected_version, thing.version)?;
            // The thing itself is not notified: it does not exist any more.
            store.delete_thing(&name, by).await?;
            Ok(Applied::default())
        }
    }
}

async fn job(store: &Store, id: &str) -> Result<Job, AdminError> {
    store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))
}

async fn execution(store: &Store, of: &ExecutionName) -> Result<Execution, AdminError> {
    let found = store.execution(&of.thing, &of.job_id).await?;
    found.ok_or_else(|| AdminError::NoExecution { thing: of.thing.clone(), job_id: of.job_id.clone() })
}

fn check_version(expected: Option<u64>, got: u64) -> Result<(), AdminError> {
    match expected {
        Some(expected) if expected != got => Err(AdminError::Version { expected, got }),
        _ => Ok(()),
    }
}

/// Returns whether nothing more happens to a job.
async fn has_ended(store: &Store, job: &Job) -> Result<bool, AdminError> {
    let is_open = job.continuous && !job.canceled;
    Ok(!is_open && store.counts(&job.id).await?.is_ended())
}

async fn update(store: &Store, id: &str, update: JobUpdate, by: &str) -> Result<Applied, AdminError> {
    let mut job = job(store, id).await?;
    if job.canceled || has_ended(store, &job).await? {
        return Err(AdminError::Bad(format!("job {id} has ended")));
    }
    let JobUpdate { description, presigned_url_config, timeout_minutes, config } = update;
    if let Some(minutes) = timeout_minutes {
        if !TIMER_MINUTES.contains(&minutes) {
            return Err(AdminError::Bad(format!("timeout of {minutes} minutes, {TIMER_MINUTES:?} are taken")));
        }
        job.timeout_s = Some(minutes * 60);
    }
    config.check().map_err(AdminError::Bad)?;
    job.config.rollout = config.rollout.or(job.config.rollout);
    job.config.abort = config.abort.or(job.config.abort);
    job.config.retry = config.retry.or(job.config.retry);
    job.details.description = description.or(job.details.description);
    job.details.presigned_url_config = presigned_url_config.or(job.details.presigned_url_config);
    check_text("description", job.details.description.as_deref())?;
    store.save_job(&job, "settings changed", by).await?;
    let plan = store.release(&job.id).await?.map(|release| release.plan);
    Ok(Applied { due: Vec::new(), rollout: Some(RolloutChange::Replaced(Box::new(job), plan)) })
}

/// Errors: `Bad` for a text that is too long.
pub fn check_text(name: &str, text: Option<&str>) -> Result<(), AdminError> {
    match text {
        Some(text) if text.len() > DESCRIPTION_BYTES_MAX => {
            Err(AdminError::Bad(format!("{name} of {} bytes, at most {DESCRIPTION_BYTES_MAX}", text.len())))
        }
        _ => Ok(()),
    }
}

async fn remark(
    store: &Store,
    id: &str,
    (reason_code, comment): (Option<String>, Option<String>),
    by: &str,
) -> Result<Applied, AdminError> {
    let mut job = job(store, id).await?;
    let text = [reason_code.as_deref(), comment.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(": ");
    job.details.reason_code = reason_code;
    job.details.comment = comment;
    store.save_job(&job, &text, by).await?;
    Ok(Applied::default())
}

/// Source: AWS IoT API, DeleteJob: only a job that has ended, unless `force` is set.
async fn delete(store: &Store, id: &str, force: bool, by: &str) -> Result<Applied, AdminError> {
    let job = job(store, id).await?;
    if !force && !has_ended(store, &job).await? {
        return Err(AdminError::State(format!("job {id} has not ended: cancel it, or delete it with force")));
    }
    let things = store.delete_job(&job, by).await?;
    let gone = |thing| PendingNotify { thing, list: true, first: NextChange::Other };
    let rollout = Some(RolloutChange::Removed(id.to_owned()));
    Ok(Applied { due: things.into_iter().map(gone).collect(), rollout })
}

/// Source: AWS IoT API, AssociateTargetsWithJob.
async fn associate(
    store: &Store,
    id: &str,
    (things, groups): (&[String], &[String]),
    by: &str,
    now_s: u64,
) -> Result<Applied, AdminError> {
    let mut job = job(store, id).await?;
    if !job.continuous || job.canceled {
        return Err(AdminError::Bad(format!("job {id} is not continuous, or was cancelled")));
    }
    groups::check_things(things)?;
    let all = groups::things(store, things, groups).await?;
    if all.len() > THINGS_MAX {
        return Err(AdminError::Bad(format!("{} things with those of the groups, at most {THINGS_MAX}", all.len())));
    }
    let targets = groups.iter().cloned().map(JobTarget::Group).chain(things.iter().cloned().map(JobTarget::Thing));
    job.details.add_targets(targets);
    let created = store.associate(&job, (&all, groups), by, now_s).await?;
    let first = NextChange::If(id.to_owned());
    let owed = |thing| PendingNotify { thing, list: true, first: first.clone() };
    Ok(created.into_iter().map(owed).collect::<Vec<_>>().into())
}

/// Source: AWS IoT API, CancelJobExecution.
async fn cancel(
    store: &Store,
    execution: &Execution,
    (details, force): (Option<String>, bool),
    by: &str,
    now_s: u64,
) -> Result<Applied, AdminError> {
    let Some(mut next) = rules::cancel(execution, force, now_s) else {
        let status = execution.status;
        let hint = if status == Status::InProgress { ": force is needed" } else { "" };
        return Err(AdminError::State(format!("the execution is {status}{hint}")));
    };
    next.details = details.or(next.details);
    let before = store.pending(&next.thing).await?;
    store.save_execution(&ExecutionChange { note: audit_note(&next).by(by), next: next.clone(), retry: None }).await?;
    Ok(vec![owed(&next.thing, &before, &rules::requeued(&before, &next))].into())
}

/// Source: AWS IoT API, DeleteJobExecution: only an execution that has ended, unless `force` is set.
async fn delete_execution(store: &Store, execution: &Execution, force: bool, by: &str) -> Result<Applied, AdminError> {
    if execution.is_pending() && !force {
        return Err(AdminError::State(format!("the execution is {}: force is needed", execution.status)));
    }
    let before = store.pending(&execution.thing).await?;
    store.delete_execution(execution, by).await?;
    let after: Vec<Execution> = before.iter().filter(|other| other.seq != execution.seq).cloned().collect();
    Ok(vec![owed(&execution.thing, &before, &after)].into())
}

/// The notification owed to a thing whose queue has changed.
fn owed(thing: &str, before: &[Execution], after: &[Execution]) -> PendingNotify {
    let change = rules::queue_change(before, after);
    let first = if change.first { NextChange::Other } else { NextChange::Same };
    PendingNotify { thing: thing.to_owned(), list: change.list, first }
}
