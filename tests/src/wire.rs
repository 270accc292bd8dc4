//! Messages of the service model, built from types of the jobs crate: executions, states, list entries.

use ota_jobs::{Execution, ExecutionState, JobId, RawJson, Summary, details};

use crate::entry::Entry;

/// Seconds since 1970 at the start of the simulation.
const EPOCH_S: u64 = 1_700_000_000;
/// Placeholder for a document that is inserted verbatim, even if our own parser would refuse it.
pub(crate) const PLACE_OF_DOCUMENT: &str = r#""@document@""#;

pub(crate) fn seconds(now_ms: u64) -> u64 {
    EPOCH_S + now_ms / 1_000
}

/// The member of a message that has the time at which an execution was queued.
pub(crate) fn queued_at(queued_ms: u64) -> String {
    format!(r#""queuedAt":{}"#, seconds(queued_ms))
}

pub(crate) fn execution(entry: &Entry, with_document: bool) -> Execution<'_> {
    let place = || RawJson::parse(PLACE_OF_DOCUMENT.as_bytes()).expect("a string");
    Execution {
        job_id: job_id(entry),
        thing_name: None,
        status: entry.status,
        status_details: None,
        queued_at: Some(seconds(entry.queued_ms)),
        started_at: None,
        last_updated_at: Some(EPOCH_S),
        version_number: entry.version,
        execution_number: Some(entry.number),
        approximate_seconds_before_timed_out: None,
        document: with_document.then(place),
    }
}

pub(crate) fn state(entry: &Entry) -> ExecutionState<'static> {
    ExecutionState { status: entry.status, status_details: None, version_number: entry.version }
}

pub(crate) fn summary(entry: &Entry) -> Summary {
    Summary {
        job_id: job_id(entry),
        queued_at: Some(seconds(entry.queued_ms)),
        started_at: None,
        last_updated_at: Some(EPOCH_S),
        version_number: entry.version,
        execution_number: Some(entry.number),
    }
}

fn job_id(entry: &Entry) -> JobId {
    JobId::new(&entry.job.id).expect("the simulation creates valid job ids")
}

pub(crate) fn pairs(details: RawJson<'_>) -> Vec<(String, String)> {
    let pairs = details::details(details).map(|pair| pair.expect("the service takes only such details"));
    pairs.map(|(key, value)| (key.to_owned(), value.chars().collect())).collect()
}
