//! What people order: a job is checked, written down and queued for its things, or cancelled.
//! Who has to be told is the caller's part.

use std::collections::HashSet;

use ota_jobs::{FieldError, JobId, RawJson, ThingName};

use super::document::{self, DocumentFile};
use crate::api::{NewFile, NewJob, Protocol};
use crate::clock::now_s;
use crate::ids::stream_name;
use crate::limits::{DOCUMENT_BYTES_MAX, FILES_MAX, NAME_BYTES_MAX, THINGS_MAX, TIMER_MINUTES};
use crate::model::{AuditNote, Execution, Image, Job};
use crate::serve::log::quote;
use crate::store::{NewJobRecord, Store, StoreError};

/// The key that a job names unless it is told another.
const KEY_NAME_DEFAULT: &str = "main";

/// Why an order was not carried out.
#[derive(Debug)]
pub enum AdminError {
    /// It makes no sense; the text says what of it.
    Bad(String),
    /// There is no such job.
    NoJob(String),
    /// The job is over already, nothing of it can be cancelled.
    Ended {
        /// The job.
        id: String,
        /// How it ended.
        status: &'static str,
    },
    /// The service is on its way out.
    Stopping,
    /// The store has trouble.
    Store(StoreError),
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn bad(text: impl Into<String>) -> AdminError {
    AdminError::Bad(text.into())
}

/// Checks and stores a job; each thing has a queued execution when this returns.
///
/// Errors: `Bad` with what is wrong; `Store` with `JobExists` or `Full`.
pub async fn create(store: &Store, id: &str, order: &NewJob) -> Result<(), AdminError> {
    check(id, order)?;
    let files = files(store, &order.files).await?;
    let stream = (!files.is_empty()).then(stream_name);
    let document = match (&order.document, &stream) {
        (Some(document), None) => document.get().to_owned(),
        (None, Some(stream)) => write(order, stream, &files)?,
        _ => return Err(bad("a job has either files or a document of its own")),
    };
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(bad(format!("a document of {} bytes, at most {DOCUMENT_BYTES_MAX}", document.len())));
    }
    // What no message can carry later is better refused now.
    RawJson::parse(document.as_bytes()).map_err(|error| bad(format!("document: {error}")))?;
    let job = Job {
        id: id.to_owned(),
        document,
        stream,
        timeout_s: order.timeout_minutes.map(|minutes| minutes * 60),
        canceled: false,
        created_at_s: now_s(),
    };
    let files: Vec<(u32, String)> = files.iter().map(|f| (u32::from(f.file_id), f.image.id.clone())).collect();
    Ok(store.create_job(&NewJobRecord { job: &job, things: &order.things, files: &files }).await?)
}

fn check(id: &str, order: &NewJob) -> Result<(), AdminError> {
    JobId::new(id).map_err(|error| bad(format!("job id: {error}")))?;
    if order.things.is_empty() || order.things.len() > THINGS_MAX {
        return Err(bad(format!("{} things, 1 to {THINGS_MAX} are taken", order.things.len())));
    }
    let mut seen = HashSet::new();
    for (place, thing) in order.things.iter().enumerate() {
        ThingName::new(thing).map_err(|error| bad(unfit(place, thing, &error)))?;
        if !seen.insert(thing) {
            return Err(bad(format!("thing {thing} is named twice")));
        }
    }
    if order.files.len() > FILES_MAX {
        return Err(bad(format!("{} files, at most {FILES_MAX}", order.files.len())));
    }
    if order.document.as_ref().is_some_and(|document| !document.get().starts_with('{')) {
        return Err(bad("a document is a JSON object"));
    }
    match order.timeout_minutes {
        Some(minutes) if !TIMER_MINUTES.contains(&minutes) => {
            Err(bad(format!("timeout of {minutes} minutes, {TIMER_MINUTES:?} are taken")))
        }
        _ => Ok(()),
    }
}

fn unfit(place: usize, thing: &str, error: &FieldError) -> String {
    format!("thing {place}, \"{}\": {error}", quote(thing.as_bytes()))
}

/// A file of the order with the image it names.
struct Found<'a> {
    file_id: u8,
    image: Image,
    order: &'a NewFile,
}

async fn files<'a>(store: &Store, orders: &'a [NewFile]) -> Result<Vec<Found<'a>>, AdminError> {
    let mut found: Vec<Found<'a>> = Vec::new();
    for (place, order) in orders.iter().enumerate() {
        let place = u8::try_from(place).expect("far fewer files than 256 were let in");
        let file_id = order.file_id.unwrap_or(place);
        if found.iter().any(|other| other.file_id == file_id) {
            return Err(bad(format!("file id {file_id} is used twice")));
        }
        let image = store.image(&order.image).await?;
        let image = image.ok_or_else(|| bad(format!("there is no image {}", order.image)))?;
        let names = [order.file_path.as_deref(), order.key_name.as_deref()];
        if let Some(long) = names.into_iter().flatten().find(|name| name.len() > NAME_BYTES_MAX) {
            return Err(bad(format!("a name of {} bytes, at most {NAME_BYTES_MAX}", long.len())));
        }
        found.push(Found { file_id, image, order });
    }
    Ok(found)
}

fn write(order: &NewJob, stream: &str, files: &[Found<'_>]) -> Result<String, AdminError> {
    let protocols: &[Protocol] = match order.protocols.as_slice() {
        [] => &[Protocol::Mqtt],
        [_] => &order.protocols,
        [one, other] if one != other => &order.protocols,
        _ => return Err(bad("a protocol is named twice")),
    };
    let documents: Vec<DocumentFile<'_>> = files
        .iter()
        .map(|f| DocumentFile {
            file_id: f.file_id,
            image: &f.image,
            file_path: f.order.file_path.as_deref().unwrap_or(&f.image.name),
            key_name: f.order.key_name.as_deref().unwrap_or(KEY_NAME_DEFAULT),
            file_type: f.order.file_type,
        })
        .collect();
    Ok(document::write(protocols, stream, &documents))
}

/// What the audit says about an execution that changed; the device's details are quoted, not kept.
pub fn audit_note(execution: &Execution) -> AuditNote {
    let status = execution.status.as_str();
    let text = match &execution.details {
        Some(details) => format!("{status} {}", quote(details.as_bytes())),
        None => status.to_owned(),
    };
    let (job_id, thing) = (Some(execution.job_id.clone()), Some(execution.thing.clone()));
    AuditNote { kind: "execution", job_id, thing, text }
}
