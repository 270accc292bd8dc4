//! Converts between the job service and MQTT messages: parses requests, serializes responses and notifications.
//! The message formats are those of `ota-jobs`; their meaning for the service is defined here.

use bytes::Bytes;
use ota_jobs::describe::DescribeResponse;
use ota_jobs::limits::{DETAIL_KEY_BYTES_MAX, TOPIC_BYTES_MAX};
use ota_jobs::{
    Describe, EmitError, ExecutionState, FieldError, Get, JobId, JobRef, JobsTopic, JsonStr, Notify, ParseError,
    PendingJobs, RawJson, RejectCode, Rejected, StartNext, Status, Summaries, Summary, Update, UpdateResponse,
};

use super::messages::{ExecutionView, Notification, Reply, Request};
use super::rules::{Change, Refusal, StepTimer};
use crate::limits::{CLIENT_TOKEN_BYTES_MAX, PENDING_LISTED_MAX, STATUS_DETAILS_BYTES_MAX, TIMER_MINUTES};
use crate::model::Execution;
use crate::serve::mqtt::emit::emit_to_bytes;
use crate::serve::mqtt::transport::Outgoing;

/// Value that stops the step timer. Source: AWS IoT Jobs, UpdateJobExecution, `stepTimeoutInMinutes`.
const TIMER_STOPPED: i64 = -1;

/// Why a message cannot be serialized.
#[derive(Debug)]
pub enum CodecError {
    /// It does not fit into an MQTT packet, or a field is invalid.
    Emit(EmitError),
    /// Stored text is not valid JSON.
    Stored(ParseError),
}

impl std::fmt::Display for CodecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Emit(error) => error.fmt(f),
            Self::Stored(error) => write!(f, "stored: {error}"),
        }
    }
}

impl From<EmitError> for CodecError {
    fn from(error: EmitError) -> Self {
        Self::Emit(error)
    }
}

impl From<FieldError> for CodecError {
    fn from(error: FieldError) -> Self {
        Self::Emit(EmitError::Field(error))
    }
}

impl From<ParseError> for CodecError {
    fn from(error: ParseError) -> Self {
        Self::Stored(error)
    }
}

/// Parses the payload of a request.
///
/// Errors: the rejection to respond with.
pub fn request(topic: JobsTopic<'_>, payload: &[u8]) -> Result<Request, Refusal> {
    // AWS takes an empty payload for a request without members.
    let payload = if payload.is_empty() { b"{}" } else { payload };
    check_token(payload)?;
    match topic {
        JobsTopic::Get(None) => Get::parse(payload).map(|_| Request::Pending).map_err(unreadable),
        JobsTopic::StartNext(None) => start_next(payload),
        JobsTopic::Describe(job, None) => describe(job, payload),
        JobsTopic::Update(job_id, None) => update(job_id, payload),
        _ => Err(Refusal::new(RejectCode::InvalidTopic, "not a request")),
    }
}

fn unreadable(error: ParseError) -> Refusal {
    Refusal::new(RejectCode::from(error), error.to_string())
}

/// Checks the length of the token: a response contains it and must fit into a packet.
fn check_token(payload: &[u8]) -> Result<(), Refusal> {
    match any_token(payload).map(|token| token.len()) {
        Some(got) if got > CLIENT_TOKEN_BYTES_MAX => {
            let text = format!("clientToken has {got} bytes, at most {CLIENT_TOKEN_BYTES_MAX}");
            Err(Refusal::new(RejectCode::InvalidRequest, text))
        }
        _ => Ok(()),
    }
}

fn start_next(payload: &[u8]) -> Result<Request, Refusal> {
    let start = StartNext::parse(payload).map_err(unreadable)?;
    let details = start.status_details.map(details).transpose()?;
    Ok(Request::StartNext { details, step_timer: step_timer(start.step_timeout_minutes)? })
}

fn describe(job: JobRef<'_>, payload: &[u8]) -> Result<Request, Refusal> {
    let describe = Describe::parse(payload).map_err(unreadable)?;
    let job_id = match job {
        JobRef::Next => None,
        JobRef::Id(id) => Some(id.to_owned()),
    };
    Ok(Request::Describe { job_id, number: describe.execution_number, include_document: describe.include_document })
}

fn update(job_id: &str, payload: &[u8]) -> Result<Request, Refusal> {
    let update = Update::parse(payload).map_err(unreadable)?;
    let change = Change {
        status: update.status,
        details: update.status_details.map(details).transpose()?,
        expected_version: update.expected_version,
        number: update.execution_number,
        step_timer: step_timer(update.step_timeout_minutes)?,
    };
    let (include_state, include_document) = (update.include_state, update.include_document);
    Ok(Request::Update { job_id: job_id.to_owned(), change, include_state, include_document })
}

fn step_timer(minutes: Option<i64>) -> Result<StepTimer, Refusal> {
    match minutes {
        None => Ok(StepTimer::Keep),
        Some(TIMER_STOPPED) => Ok(StepTimer::Stop),
        Some(minutes) => match u64::try_from(minutes) {
            Ok(minutes) if TIMER_MINUTES.contains(&minutes) => Ok(StepTimer::Minutes(minutes)),
            _ => {
                let text = format!("stepTimeoutInMinutes is {minutes}, {TIMER_MINUTES:?} are taken");
                Err(Refusal::new(RejectCode::InvalidRequest, text))
            }
        },
    }
}

/// Checks status details as AWS does: an object of strings, keys of a restricted alphabet, no empty or unprintable value.
///
/// Errors: the rejection to respond with.
pub fn details(json: RawJson<'_>) -> Result<String, Refusal> {
    let bad = |text: String| Err(Refusal::new(RejectCode::InvalidRequest, text));
    let text = json.as_str();
    if text.len() > STATUS_DETAILS_BYTES_MAX {
        return bad(format!("statusDetails has {} bytes, at most {STATUS_DETAILS_BYTES_MAX}", text.len()));
    }
    if !json.is_object() {
        return bad("statusDetails is not an object".to_owned());
    }
    for (key, value) in json.members() {
        let key = key.text().map_err(unreadable)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
        if !(1..=DETAIL_KEY_BYTES_MAX).contains(&key.len()) || !key.chars().all(plain) {
            return bad(format!("statusDetails: key {key} is not 1 to {DETAIL_KEY_BYTES_MAX} of [a-zA-Z0-9:_-]"));
        }
        let value = value.text("statusDetails").map_err(unreadable)?;
        if value.is_empty() || value.chars().any(char::is_control) {
            return bad(format!("statusDetails: the value of {key} is empty or unprintable"));
        }
    }
    Ok(text.to_owned())
}

/// Serializes the response to a request: its topic is below the request's, and it contains the client token.
pub fn answer(topic: &str, payload: &[u8], reply: &Reply, now_s: u64) -> Result<Outgoing, CodecError> {
    let client_token = token(payload);
    let timestamp = Some(now_s);
    let bytes = match reply {
        Reply::Refused(refused) => return refusal(topic, payload, refused, now_s),
        Reply::Pending(pending) => {
            let (in_progress, queued) = lists(pending)?;
            let (in_progress, queued) = (Summaries::new(&in_progress), Summaries::new(&queued));
            emit_to_bytes(|out| PendingJobs { in_progress, queued, timestamp, client_token }.emit(out))?
        }
        Reply::Execution(shown) => {
            let execution = shown.as_ref().map(|shown| execution(shown, now_s)).transpose()?;
            emit_to_bytes(|out| DescribeResponse { execution: execution.clone(), timestamp, client_token }.emit(out))?
        }
        Reply::Updated { state: current, document } => {
            let state = current.as_ref().map(state).transpose()?;
            let document = document.as_deref().map(stored).transpose()?;
            emit_to_bytes(|out| UpdateResponse { state: state.clone(), document, timestamp, client_token }.emit(out))?
        }
    };
    Ok(outgoing(format!("{topic}/accepted"), bytes))
}

/// Serializes a rejection; it contains the client token if it is readable.
pub fn refusal(topic: &str, payload: &[u8], refusal: &Refusal, now_s: u64) -> Result<Outgoing, CodecError> {
    let rejected = Rejected {
        code: refusal.code,
        message: Some(JsonStr::plain(&refusal.message)),
        timestamp: Some(now_s),
        client_token: token(payload),
        state: refusal.state.as_deref().map(state).transpose()?,
    };
    Ok(outgoing(format!("{topic}/rejected"), emit_to_bytes(|out| rejected.emit(out))?))
}

/// Serializes a notification.
pub fn notification(message: &Notification, now_s: u64) -> Result<Outgoing, CodecError> {
    let timestamp = Some(now_s);
    let (thing, topic, bytes) = match message {
        Notification::List { thing, pending } => {
            let (in_progress, queued) = lists(pending)?;
            let (in_progress, queued) = (Summaries::new(&in_progress), Summaries::new(&queued));
            (thing, JobsTopic::Notify, emit_to_bytes(|out| Notify { in_progress, queued, timestamp }.emit(out))?)
        }
        Notification::Next { thing, first } => {
            let execution = first.as_ref().map(|shown| execution(shown, now_s)).transpose()?;
            let next = DescribeResponse { execution, timestamp, client_token: None };
            (thing, JobsTopic::NotifyNext, emit_to_bytes(|out| next.emit(out))?)
        }
    };
    let mut topic_bytes = [0; TOPIC_BYTES_MAX];
    let topic = ota_jobs::Topic::Jobs(topic).emit(thing, &mut topic_bytes)?;
    Ok(outgoing(topic.to_owned(), bytes))
}

fn outgoing(topic: String, payload: Bytes) -> Outgoing {
    Outgoing { topic, payload, acknowledged: true }
}

/// Returns the token for a response; a token that was rejected for its length is not sent back.
fn token(payload: &[u8]) -> Option<JsonStr<'_>> {
    any_token(payload).filter(|token| token.len() <= CLIENT_TOKEN_BYTES_MAX)
}

/// Returns the token of a request that may be invalid otherwise.
fn any_token(payload: &[u8]) -> Option<JsonStr<'_>> {
    const FIELD: &str = "clientToken";
    RawJson::parse(payload).ok()?.member(FIELD).ok()??.text(FIELD).ok()
}

fn stored(text: &str) -> Result<RawJson<'_>, ParseError> {
    RawJson::parse(text.as_bytes())
}

fn execution<'a>(shown: &'a ExecutionView, now_s: u64) -> Result<ota_jobs::Execution<'a>, CodecError> {
    let from = &shown.execution;
    Ok(ota_jobs::Execution {
        job_id: JobId::new(&from.job_id)?,
        // AWS omits it over MQTT, as captures show.
        thing_name: None,
        status: from.status,
        status_details: from.details.as_deref().map(stored).transpose()?,
        queued_at: Some(from.queued_at_s),
        started_at: from.started_at_s,
        last_updated_at: Some(from.updated_at_s),
        version_number: from.version,
        execution_number: Some(from.number),
        approximate_seconds_before_timed_out: from.deadline_s().map(|at_s| at_s.saturating_sub(now_s)),
        document: shown.document.as_deref().map(stored).transpose()?,
    })
}

fn state(from: &Execution) -> Result<ExecutionState<'_>, ParseError> {
    Ok(ExecutionState {
        status: from.status,
        status_details: from.details.as_deref().map(stored).transpose()?,
        version_number: from.version,
    })
}

/// Splits executions into those in progress and those queued, at most [`PENDING_LISTED_MAX`] in total.
fn lists(pending: &[Execution]) -> Result<(Vec<Summary>, Vec<Summary>), FieldError> {
    let listed = &pending[..pending.len().min(PENDING_LISTED_MAX)];
    let (running, queued): (Vec<_>, Vec<_>) = listed.iter().partition(|e| e.status == Status::InProgress);
    let all = |list: Vec<&Execution>| list.into_iter().map(summary).collect::<Result<Vec<_>, _>>();
    Ok((all(running)?, all(queued)?))
}

fn summary(from: &Execution) -> Result<Summary, FieldError> {
    Ok(Summary {
        job_id: JobId::new(&from.job_id)?,
        queued_at: Some(from.queued_at_s),
        started_at: from.started_at_s,
        last_updated_at: Some(from.updated_at_s),
        version_number: from.version,
        execution_number: Some(from.number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_jobs::Topic;

    const NOW_S: u64 = 1_602_795_143;

    fn ask(topic: &str, payload: &str) -> Result<Request, Refusal> {
        match Topic::parse(topic).unwrap() {
            (_, Topic::Jobs(topic)) => request(topic, payload.as_bytes()),
            other => panic!("{other:?}"),
        }
    }

    fn text(message: Result<Outgoing, CodecError>) -> (String, String) {
        let message = message.unwrap();
        assert!(message.acknowledged);
        (message.topic, String::from_utf8(message.payload.to_vec()).unwrap())
    }

    fn shown(document: Option<&str>) -> ExecutionView {
        let execution = Execution {
            seq: 1,
            job_id: "one".into(),
            thing: "lamp".into(),
            number: 1,
            status: Status::Queued,
            details: None,
            queued_at_s: NOW_S - 1,
            started_at_s: None,
            updated_at_s: NOW_S - 1,
            version: 1,
            job_deadline_s: None,
            step_deadline_s: None,
        };
        ExecutionView { execution, document: document.map(Into::into) }
    }

    #[test]
    fn empty_queues_have_the_format_of_aws() {
        let thing = "lamp".to_owned();
        let list = notification(&Notification::List { thing: thing.clone(), pending: vec![] }, NOW_S);
        assert_eq!(text(list), ("$aws/things/lamp/jobs/notify".into(), r#"{"timestamp":1602795143,"jobs":{}}"#.into()));
        let first = notification(&Notification::Next { thing, first: None }, NOW_S);
        assert_eq!(text(first), ("$aws/things/lamp/jobs/notify-next".into(), r#"{"timestamp":1602795143}"#.into()));
    }

    #[test]
    fn a_description_has_the_form_of_the_capture() {
        let topic = "$aws/things/lamp/jobs/$next/get";
        let reply = Reply::Execution(Some(shown(Some(r#"{"a": 1}"#))));
        let (to, body) = text(answer(topic, br#"{"clientToken":"t1"}"#, &reply, NOW_S));
        assert_eq!(to, "$aws/things/lamp/jobs/$next/get/accepted");
        // Keys and their order as in captures of AWS.
        let expected = r#"{"clientToken":"t1","timestamp":1602795143,"execution":{"jobId":"one","status":"QUEUED","queuedAt":1602795142,"lastUpdatedAt":1602795142,"versionNumber":1,"executionNumber":1,"jobDocument":{"a": 1}}}"#;
        assert_eq!(body, expected);
        let (_, body) = text(answer(topic, b"{}", &Reply::Execution(None), NOW_S));
        assert_eq!(body, r#"{"timestamp":1602795143}"#);
    }

    #[test]
    fn a_refusal_shows_the_state_and_echoes_what_token_it_can_read() {
        let state = Some(Box::new(shown(None).execution));
        let refusal = Refusal { code: RejectCode::VersionMismatch, message: "no \"2\"".into(), state };
        let topic = "$aws/things/lamp/jobs/one/update";
        let (to, body) = text(super::refusal(topic, br#"{"clientToken":"t"}"#, &refusal, NOW_S));
        assert_eq!(to, "$aws/things/lamp/jobs/one/update/rejected");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["code"], "VersionMismatch");
        assert_eq!(json["message"], "no \"2\"");
        assert_eq!(json["clientToken"], "t");
        assert_eq!(json["executionState"]["versionNumber"], 1);
        let (_, body) = text(super::refusal(topic, b"\xff", &Refusal::new(RejectCode::InvalidJson, "x"), NOW_S));
        assert!(!body.contains("clientToken") && !body.contains("executionState"), "{body}");
    }

    #[test]
    fn requests_are_read_with_the_defaults_of_aws() {
        let get = ask("$aws/things/lamp/jobs/one/get", "{}").unwrap();
        assert_eq!(get, Request::Describe { job_id: Some("one".into()), number: None, include_document: true });
        assert_eq!(ask("$aws/things/lamp/jobs/one/get", "").unwrap(), get);
        assert_eq!(ask("$aws/things/lamp/jobs/get", "").unwrap(), Request::Pending);
        let update =
            r#"{"status":"IN_PROGRESS","statusDetails":{"a":"1"},"expectedVersion":"3","stepTimeoutInMinutes":-1}"#;
        let change = Change {
            status: Status::InProgress,
            details: Some(r#"{"a":"1"}"#.into()),
            expected_version: Some(3),
            number: None,
            step_timer: StepTimer::Stop,
        };
        let expected = Request::Update { job_id: "one".into(), change, include_state: false, include_document: false };
        assert_eq!(ask("$aws/things/lamp/jobs/one/update", update).unwrap(), expected);
    }

    #[test]
    fn bad_requests_are_refused_by_the_code_that_names_them() {
        use RejectCode::{InvalidJson, InvalidRequest};
        let topic = "$aws/things/lamp/jobs/one/update";
        let deep = format!(r#"{{"status":"FAILED","x":{}"#, "[".repeat(50_000));
        for (payload, expected) in [
            ("", InvalidRequest),
            (" ", InvalidJson),
            ("{", InvalidJson),
            (deep.as_str(), InvalidJson),
            ("{}", InvalidRequest),
            (r#"{"status":null}"#, InvalidRequest),
            (r#"{"status":"DONE"}"#, InvalidRequest),
            (r#"{"status":"FAILED","statusDetails":[]}"#, InvalidRequest),
            (r#"{"status":"FAILED","statusDetails":{"a":1}}"#, InvalidRequest),
            (r#"{"status":"FAILED","statusDetails":{"a b":"1"}}"#, InvalidRequest),
            (r#"{"status":"FAILED","statusDetails":{"a":""}}"#, InvalidRequest),
            (r#"{"status":"FAILED","statusDetails":{"a":"\u0007"}}"#, InvalidRequest),
            (r#"{"status":"FAILED","stepTimeoutInMinutes":0}"#, InvalidRequest),
            (r#"{"status":"FAILED","stepTimeoutInMinutes":10081}"#, InvalidRequest),
            (r#"{"status":"FAILED","expectedVersion":"x"}"#, InvalidRequest),
        ] {
            let code = ask(topic, payload).map_err(|refusal| refusal.code);
            assert_eq!(code, Err(expected), "{}", &payload[..payload.len().min(60)]);
        }
    }

    #[test]
    fn a_token_that_no_answer_can_carry_is_refused_and_not_sent_back() {
        let topic = "$aws/things/lamp/jobs/get";
        let with = |len: usize| format!(r#"{{"clientToken":"{}"}}"#, "t".repeat(len));
        assert_eq!(ask(topic, &with(CLIENT_TOKEN_BYTES_MAX)), Ok(Request::Pending));
        let long = with(196_493);
        let refused = ask(topic, &long).unwrap_err();
        assert_eq!(refused.code, RejectCode::InvalidRequest);
        assert_eq!(refused.message, "clientToken has 196493 bytes, at most 64");
        let (_, body) = text(super::refusal(topic, long.as_bytes(), &refused, NOW_S));
        assert!(body.len() < 200 && !body.contains("ttt"), "{} bytes", body.len());
    }

    #[test]
    fn a_list_ends_where_aws_ends_it() {
        let pending = vec![shown(None).execution; 25];
        let (_, body) = text(answer("$aws/things/lamp/jobs/get", b"{}", &Reply::Pending(pending), NOW_S));
        assert_eq!(body.matches("jobId").count(), PENDING_LISTED_MAX);
    }
}
