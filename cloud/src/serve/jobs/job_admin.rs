//! Validates and stores new jobs.
//! Notifications are the caller's task.

use std::collections::HashSet;

use ota_jobs::{FieldError, JobId, RawJson, ThingName};

use super::admin_error::AdminError;
use super::document::{self, DocumentFile};
use super::groups;
use crate::api::{NewFile, NewJob, Protocol};
use crate::clock::now_s;
use crate::ids::stream_name;
use crate::limits::{
    DOCUMENT_BYTES_MAX, FILES_MAX, NAME_BYTES_MAX, SIGNATURE_TEXT_BYTES_MAX, THINGS_MAX, TIMER_MINUTES,
};
use crate::model::{AuditNote, Execution, Image, Job, JobTarget};
use crate::release_plan::ReleasePlan;
use crate::serve::log::quote;
use crate::store::{NewJobRecord, Store, StoreError};

/// Default name of the verification key.
const KEY_NAME_DEFAULT: &str = "main";

fn bad(text: impl Into<String>) -> AdminError {
    AdminError::Bad(text.into())
}

/// The things of a new job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// All of them.
    pub things: Vec<String>,
    /// Those that it passes over.
    pub pinned: Vec<String>,
}

/// Validates and stores a job of the account or token `by`, which is a release if it has a plan; each thing has a queued execution
/// when this returns, or waits for one, unless it is pinned.
///
/// Errors: `Bad` with the reason; `Store` with `JobExists` or `Full`.
pub async fn create(
    store: &Store,
    id: &str,
    new: &NewJob,
    by: &str,
    release: Option<&ReleasePlan>,
) -> Result<Created, AdminError> {
    let Draft { job, files, created } = draft(store, id, new).await?;
    let (things, groups) = (&created.things, &new.groups);
    store.create_job(&NewJobRecord { job: &job, things, files: &files, groups, by, release }).await?;
    Ok(created)
}

/// Validates a job as [`create`] does, and stores nothing. Returns its things.
///
/// Errors: `Bad` with the reason; `Store` with `JobExists`.
pub async fn validate(store: &Store, id: &str, new: &NewJob) -> Result<Created, AdminError> {
    let Draft { created, .. } = draft(store, id, new).await?;
    match store.job(id).await? {
        Some(job) => Err(StoreError::JobExists { id: job.id }.into()),
        None => Ok(created),
    }
}

/// A job that is not stored yet.
struct Draft {
    job: Job,
    /// File ids and images of its stream.
    files: Vec<(u32, String)>,
    created: Created,
}

async fn draft(store: &Store, id: &str, new: &NewJob) -> Result<Draft, AdminError> {
    check(id, new).map_err(AdminError::Bad)?;
    let things = groups::things(store, &new.things, &new.groups).await?;
    if things.len() > THINGS_MAX || things.is_empty() && !new.continuous {
        return Err(bad(format!("{} things with those of the groups, 1 to {THINGS_MAX} are taken", things.len())));
    }
    let pinned = store.pinned_of(&things).await?;
    if pinned.len() == things.len() && !things.is_empty() {
        return Err(bad("all things of the job are pinned"));
    }
    let files = files(store, &new.files).await?;
    let stream = (!files.is_empty()).then(stream_name);
    let document = match (&new.document, &stream) {
        (Some(document), None) => document.get().to_owned(),
        (None, Some(stream)) => write(new, stream, &files)?,
        _ => return Err(bad("a job has either files or a custom document")),
    };
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(bad(format!("a document of {} bytes, at most {DOCUMENT_BYTES_MAX}", document.len())));
    }
    // A document that cannot be sent in a message is rejected here.
    RawJson::parse(document.as_bytes()).map_err(|error| bad(format!("document: {error}")))?;
    let mut details = new.details.clone();
    let groups = new.groups.iter().cloned().map(JobTarget::Group);
    details.add_targets(groups.chain(new.things.iter().cloned().map(JobTarget::Thing)));
    let job = Job {
        id: id.to_owned(),
        document,
        stream,
        timeout_s: new.timeout_minutes.map(|minutes| minutes * 60),
        config: new.config.clone(),
        continuous: new.continuous,
        canceled: false,
        canceled_by_force: false,
        paused: false,
        details,
        created_at_s: now_s(),
    };
    let files = files.iter().map(|f| (u32::from(f.file_id), f.image.id.clone())).collect();
    Ok(Draft { job, files, created: Created { things, pinned } })
}

/// Checks what needs no store; `ota` calls it before it uploads images.
///
/// Errors: the reason.
pub fn check(id: &str, new: &NewJob) -> Result<(), String> {
    JobId::new(id).map_err(|error| format!("job id: {error}"))?;
    if new.continuous && new.groups.is_empty() {
        return Err("a continuous job is for groups".to_owned());
    }
    if new.things.is_empty() && new.groups.is_empty() || new.things.len() > THINGS_MAX {
        return Err(format!("{} things, 1 to {THINGS_MAX} are taken", new.things.len()));
    }
    let mut seen = HashSet::new();
    for (position, thing) in new.things.iter().enumerate() {
        ThingName::new(thing).map_err(|error| invalid_thing(position, thing, &error))?;
        if !seen.insert(thing) {
            return Err(format!("thing {thing} is named twice"));
        }
    }
    if new.files.len() > FILES_MAX {
        return Err(format!("{} files, at most {FILES_MAX}", new.files.len()));
    }
    let mut names = new.files.iter().flat_map(|file| [&file.file_path, &file.key_name]).flatten();
    if let Some(long) = names.find(|name| name.len() > NAME_BYTES_MAX) {
        return Err(format!("a name of {} bytes, at most {NAME_BYTES_MAX}", long.len()));
    }
    let mut signatures = new.files.iter().filter_map(|file| file.signature.as_ref());
    if let Some(long) = signatures.find(|signature| signature.len() > SIGNATURE_TEXT_BYTES_MAX) {
        return Err(format!("signature of {} bytes, at most {SIGNATURE_TEXT_BYTES_MAX}", long.len()));
    }
    if new.document.as_ref().is_some_and(|document| !document.get().starts_with('{')) {
        return Err("a document is a JSON object".to_owned());
    }
    if new.document.is_some() && new.forced {
        return Err("a custom document is not changed: it can have a member of its own for forced jobs".to_owned());
    }
    new.config.check()?;
    match new.timeout_minutes {
        Some(minutes) if !TIMER_MINUTES.contains(&minutes) => {
            Err(format!("timeout of {minutes} minutes, {TIMER_MINUTES:?} are taken"))
        }
        _ => Ok(()),
    }
}

fn invalid_thing(position: usize, thing: &str, error: &FieldError) -> String {
    format!("thing {position}, \"{}\": {error}", quote(thing.as_bytes()))
}

/// A file of the request with its image.
struct JobFile<'a> {
    file_id: u8,
    image: Image,
    request: &'a NewFile,
}

async fn files<'a>(store: &Store, files: &'a [NewFile]) -> Result<Vec<JobFile<'a>>, AdminError> {
    let mut found: Vec<JobFile<'a>> = Vec::new();
    for (position, file) in files.iter().enumerate() {
        let position = u8::try_from(position).expect("at most 50 files are accepted");
        let file_id = file.file_id.unwrap_or(position);
        if found.iter().any(|other| other.file_id == file_id) {
            return Err(bad(format!("file id {file_id} is used twice")));
        }
        let image = store.image(&file.image).await?;
        let mut image = image.ok_or_else(|| bad(format!("there is no image {}", file.image)))?;
        image.signature = file.signature.clone().or(image.signature);
        found.push(JobFile { file_id, image, request: file });
    }
    Ok(found)
}

fn write(new: &NewJob, stream: &str, files: &[JobFile<'_>]) -> Result<String, AdminError> {
    let protocols: &[Protocol] = match new.protocols.as_slice() {
        [] => &[Protocol::Mqtt],
        [_] => &new.protocols,
        [one, other] if one != other => &new.protocols,
        _ => return Err(bad("a protocol is named twice")),
    };
    let documents: Vec<DocumentFile<'_>> = files
        .iter()
        .map(|f| DocumentFile {
            file_id: f.file_id,
            image: &f.image,
            file_path: f.request.file_path.as_deref().unwrap_or(&f.image.name),
            key_name: f.request.key_name.as_deref().unwrap_or(KEY_NAME_DEFAULT),
            file_type: f.request.file_type,
        })
        .collect();
    Ok(document::write(protocols, stream, &documents, new.forced))
}

/// Audit entry for a changed execution; the device's details are truncated.
pub fn audit_note(execution: &Execution) -> AuditNote {
    let status = execution.status.as_str();
    let text = match &execution.details {
        Some(details) => format!("{status} {}", quote(details.as_bytes())),
        None => status.to_owned(),
    };
    AuditNote::new("execution", text).of_job(execution.job_id.as_str()).of_thing(execution.thing.as_str())
}
