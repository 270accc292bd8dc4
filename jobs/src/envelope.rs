//! The plain fields of all messages, as serde-json-core reads and writes them: one struct for what devices ask, one for
//! what the service answers, one for executions. Shared, because each costs a device its code only once.
//! Slices that go through untouched are found by the scanner; here they only go out.

use serde::{Deserialize, Serialize};

use crate::error::{EmitError, ParseError};
use crate::execution::Summaries;
use crate::json::{self, RawJson};
use crate::text;

/// What a device asks.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<&'a str>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) status_details: Option<json::Wire<'a>>,
    /// Comes in as number or as string, so the scanner reads it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) expected_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) include_job_execution_state: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) include_job_document: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step_timeout_in_minutes: Option<i64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) client_token: Option<text::Wire<'a>>,
}

/// What the service answers, or says unasked.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answered<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) client_token: Option<text::Wire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'a str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<text::Wire<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) execution: Option<State<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) execution_state: Option<State<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) job_document: Option<json::Wire<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) in_progress_jobs: Option<Summaries<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) queued_jobs: Option<Summaries<'a>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) jobs: Option<JobsByStatus<'a>>,
}

/// The lists of a notification.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct JobsByStatus<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_progress: Option<Summaries<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queued: Option<Summaries<'a>>,
}

/// An execution, its state, or its summary. Unit of all times: seconds.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<&'a str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) thing_name: Option<&'a str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<&'a str>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) status_details: Option<json::Wire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queued_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approximate_seconds_before_timed_out: Option<u64>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) job_document: Option<json::Wire<'a>>,
}

/// Reads the plain fields of `json`. `field` is the name that a refusal carries.
///
/// serde-json-core recurses into what it skips; a [`RawJson`] is bounded in depth, so its stack is too.
pub(crate) fn read<'a, T: Deserialize<'a>>(json: RawJson<'a>, field: &'static str) -> Result<T, ParseError> {
    match serde_json_core::from_str(json.as_str()) {
        Ok((fields, _)) => Ok(fields),
        Err(_) => Err(ParseError::WrongType { field }),
    }
}

/// Writes a message and returns its length.
pub(crate) fn emit<T: Serialize>(message: &T, out: &mut [u8]) -> Result<usize, EmitError> {
    let have = out.len();
    serde_json_core::to_slice(message, out).map_err(|_| EmitError::BufferTooSmall { have })
}

impl<'a> Asked<'a> {
    pub(crate) fn read(json: RawJson<'a>) -> Result<Self, ParseError> {
        read(json, MESSAGE)
    }
}

impl<'a> Answered<'a> {
    pub(crate) fn read(json: RawJson<'a>) -> Result<Self, ParseError> {
        read(json, MESSAGE)
    }
}

/// The name of the whole in refusals.
pub(crate) const MESSAGE: &str = "message";

/// The text of `clientToken`, where there is one.
pub(crate) fn token(wire: Option<text::Wire<'_>>) -> Result<Option<text::Escaped<'_>>, ParseError> {
    wire.map(|token| token.taken("clientToken")).transpose()
}
