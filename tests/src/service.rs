//! A model of AWS IoT Jobs for one thing, by AWS's rules for versions, order and notices. It parses and emits with the jobs
//! crate, and fails with the configured probabilities. File delivery is in `stream`.

use std::cell::Cell;

use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::{
    Describe, DescribeResponse, ExecutionState, JobRef, JobsTopic, JsonStr, Notify, RejectCode, Rejected, Response,
    Status, Summaries, Summary, Topic, Update, UpdateResponse,
};

pub use crate::entry::Entry;
use crate::job::Job;
use crate::rng::Rng;
use crate::wire::{PLACE_OF_DOCUMENT, execution, pairs, seconds, state, summary};

/// Room for the largest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A message to the device.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Whether it arrives unless the connection is lost.
    pub assured: bool,
}

/// Probabilities with which requests fail. All in per cent.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailureRates {
    /// Refused with InternalError or RequestThrottled.
    pub refuses: u64,
    /// Updates refused with a VersionMismatch although the version matches.
    pub mismatches: u64,
    /// Carried out and never answered.
    pub forgets: u64,
    /// Neither carried out nor answered.
    pub ignores: u64,
}

/// An update as the device sent it.
#[derive(Clone, Debug)]
pub struct StatusUpdate {
    /// About this job.
    pub job: String,
    /// Number and time of the job's newest execution when it arrived; the number alone if it names an earlier one.
    pub execution: Option<(u64, u64)>,
    /// Whether the document of that execution was sent to the device before.
    pub offered: bool,
    /// Its status.
    pub status: Status,
    /// Its details.
    pub details: Vec<(String, String)>,
    /// Its client token.
    pub client_token: String,
    /// The version that it expects.
    pub expected_version: Option<u64>,
    /// Whether it was taken.
    pub taken: bool,
    /// When it arrived.
    pub at_ms: u64,
}

/// The service.
pub struct Service {
    thing: String,
    rng: Rng,
    /// The probabilities of failures.
    pub failure_rates: FailureRates,
    /// It restarts until this time: requests that arrive before are lost, and the executions are kept.
    pub restarts_until_ms: u64,
    /// It refuses each request until this time, as one of too many.
    pub throttles_until_ms: u64,
    /// All executions, oldest first.
    pub entries: Vec<Entry>,
    /// All updates that arrived.
    pub updates: Vec<StatusUpdate>,
    /// Bytes of the largest request for blocks.
    pub largest_request_bytes: u64,
    /// Number of requests for a job.
    pub questions: u32,
    /// Number of responses that carried a job document.
    pub documents: Cell<u32>,
    first: Option<(String, u64)>,
}

impl Entry {
    /// The value of a detail.
    pub fn detail(&self, key: &str) -> Option<&str> {
        self.details.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

impl Service {
    /// A service without failures, for the thing `thing`.
    pub fn new(thing: &str, rng: Rng) -> Self {
        let (failure_rates, thing) = (FailureRates::default(), thing.to_owned());
        Self {
            thing,
            rng,
            failure_rates,
            restarts_until_ms: 0,
            throttles_until_ms: 0,
            entries: Vec::new(),
            updates: Vec::new(),
            largest_request_bytes: 0,
            questions: 0,
            documents: Cell::new(0),
            first: None,
        }
    }

    /// The newest execution of a job.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.job.id == id)
    }

    /// Whether no execution is open.
    pub fn is_settled(&self) -> bool {
        self.entries.iter().all(|entry| entry.status.is_terminal())
    }

    /// Queues a job, or another execution of it.
    pub fn create(&mut self, job: Job, now_ms: u64) -> Vec<Reply> {
        let number = self.entry(&job.id).map_or(1, |entry| entry.number + 1);
        let (status, version, details, taken_back_ms) = (Status::Queued, 1, Vec::new(), None);
        let (queued_ms, offered) = (now_ms, Cell::new(false));
        self.entries.push(Entry { job, number, queued_ms, offered, status, version, details, taken_back_ms });
        self.changed(true, now_ms)
    }

    /// Deletes a job and creates it again under its id, in a later second.
    pub fn create_again(&mut self, id: &str, now_ms: u64) -> Vec<Reply> {
        let Entry { job, queued_ms, .. } = self.entry(id).expect("there is such a job");
        // In another second: the devices could not distinguish the executions otherwise.
        let (job, queued_ms) = (job.clone(), now_ms.max(*queued_ms) + 1_000);
        self.entries.retain(|entry| entry.job.id != id);
        self.create(job, queued_ms)
    }

    /// Ends a job at the service, as a forced cancellation. Has no effect on one that has ended.
    pub fn take_back(&mut self, id: &str, status: Status, now_ms: u64) -> Vec<Reply> {
        let Some(entry) = self.open(id) else { return Vec::new() };
        entry.status = status;
        entry.version += 1;
        entry.taken_back_ms = Some(now_ms);
        self.changed(true, now_ms)
    }

    /// Answers a request of the device.
    pub fn handle(&mut self, topic: &str, payload: &[u8], now_ms: u64) -> Vec<Reply> {
        let Ok((thing, topic)) = Topic::parse(topic) else { return Vec::new() };
        if thing != self.thing || now_ms < self.restarts_until_ms || self.rng.percent(self.failure_rates.ignores) {
            return Vec::new();
        }
        let replies = match topic {
            Topic::Jobs(JobsTopic::Describe(job, None)) => self.describe(job, payload, now_ms),
            Topic::Jobs(JobsTopic::Update(job, None)) => self.update(job, payload, now_ms),
            Topic::Stream { stream, topic, encoding } => self.deliver(stream, topic, encoding, payload, now_ms),
            Topic::Jobs(_) => Vec::new(), // the agent sends no other request
        };
        if self.rng.percent(self.failure_rates.forgets) { Vec::new() } else { replies }
    }

    fn describe(&mut self, job: JobRef<'_>, payload: &[u8], now_ms: u64) -> Vec<Reply> {
        self.questions += 1;
        let Ok(request) = Describe::parse(payload) else { return Vec::new() };
        let topic = |answer| Topic::Jobs(JobsTopic::Describe(job, Some(answer)));
        if let Some(code) = self.temper(now_ms) {
            return vec![self.rejected(topic(Response::Rejected), code, request.client_token, None, now_ms)];
        }
        let entry = match job {
            JobRef::Next => self.next(),
            JobRef::Id(id) => self.entry(id),
        };
        let refusal = match (job, entry) {
            (JobRef::Id(_), None) => Some(RejectCode::ResourceNotFound),
            (JobRef::Id(_), Some(entry)) if entry.status.is_terminal() => Some(RejectCode::TerminalStateReached),
            _ => None,
        };
        if let Some(code) = refusal {
            return vec![self.rejected(topic(Response::Rejected), code, request.client_token, None, now_ms)];
        }
        let entry = entry.map(|entry| (entry, request.include_document));
        vec![self.described(topic(Response::Accepted), entry, request.client_token, now_ms)]
    }

    fn update(&mut self, id: &str, payload: &[u8], now_ms: u64) -> Vec<Reply> {
        let Ok(update) = Update::parse(payload) else { return Vec::new() };
        let topic = |answer| Topic::Jobs(JobsTopic::Update(id, Some(answer)));
        let refusal = self.update_refusal(id, &update, now_ms);
        let taken = refusal.is_none();
        let details = update.status_details.map_or_else(Vec::new, pairs);
        let entry = self.entry(id);
        let newest = entry.map(|entry| (entry.number, entry.queued_ms));
        let named = update.execution_number.filter(|number| newest.is_none_or(|(newest, _)| newest != *number));
        self.updates.push(StatusUpdate {
            job: id.to_owned(),
            execution: named.map(|number| (number, 0)).or(newest),
            offered: entry.is_some_and(|entry| entry.offered.get()),
            status: update.status,
            details: details.clone(),
            client_token: update.client_token.and_then(|token| token.as_plain()).unwrap_or_default().to_owned(),
            expected_version: update.expected_version,
            taken,
            at_ms: now_ms,
        });
        if let Some(code) = refusal {
            let with_state = matches!(code, RejectCode::VersionMismatch | RejectCode::InvalidStateTransition);
            let state = self.entry(id).filter(|_| with_state).map(state);
            return vec![self.rejected(topic(Response::Rejected), code, update.client_token, state, now_ms)];
        }
        let entry = self.open(id).expect("it was not refused");
        entry.status = update.status;
        entry.version += 1;
        entry.details = details;
        let state = update.include_state.then(|| state(entry));
        let answer = UpdateResponse {
            state,
            document: None,
            timestamp: Some(seconds(now_ms)),
            client_token: update.client_token,
        };
        let mut replies = vec![self.reply(topic(Response::Accepted), |out| answer.emit(out))];
        replies.extend(self.changed(update.status.is_terminal(), now_ms));
        replies
    }

    fn update_refusal(&mut self, id: &str, update: &Update<'_>, now_ms: u64) -> Option<RejectCode> {
        if let Some(code) = self.temper(now_ms) {
            return Some(code);
        }
        let spiteful = self.rng.percent(self.failure_rates.mismatches);
        let Some(entry) = self.entry(id) else { return Some(RejectCode::ResourceNotFound) };
        let device_may_set =
            matches!(update.status, Status::InProgress | Status::Succeeded | Status::Failed | Status::Rejected);
        match update.expected_version {
            _ if !device_may_set => Some(RejectCode::InvalidRequest),
            _ if update.execution_number.is_some_and(|number| number != entry.number) => {
                Some(RejectCode::ResourceNotFound)
            }
            _ if entry.status.is_terminal() => Some(RejectCode::InvalidStateTransition),
            Some(version) if version != entry.version => Some(RejectCode::VersionMismatch),
            _ if spiteful => Some(RejectCode::VersionMismatch),
            _ => None,
        }
    }

    fn temper(&mut self, now_ms: u64) -> Option<RejectCode> {
        if now_ms < self.throttles_until_ms {
            return Some(RejectCode::RequestThrottled);
        }
        let code = self.rng.pick(&[RejectCode::InternalError, RejectCode::RequestThrottled]);
        self.rng.percent(self.failure_rates.refuses).then_some(code)
    }

    /// IN_PROGRESS before QUEUED, then the oldest.
    fn next(&self) -> Option<&Entry> {
        let with = |status| self.entries.iter().find(move |entry| entry.status == status);
        with(Status::InProgress).or_else(|| with(Status::Queued))
    }

    fn open(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.job.id == id && !entry.status.is_terminal())
    }

    /// The notices that a change causes: one if the length of the list changed, one if its first member did.
    fn changed(&mut self, members: bool, now_ms: u64) -> Vec<Reply> {
        let mut replies = Vec::new();
        let timestamp = Some(seconds(now_ms));
        if members {
            let listed = |status| -> Vec<Summary> {
                self.entries.iter().filter(|entry| entry.status == status).map(summary).collect()
            };
            let (started, queued) = (listed(Status::InProgress), listed(Status::Queued));
            let notify = Notify { in_progress: Summaries::new(&started), queued: Summaries::new(&queued), timestamp };
            replies.push(self.reply(Topic::Jobs(JobsTopic::Notify), |out| notify.emit(out)));
        }
        let first = self.next().map(|entry| (entry.job.id.clone(), entry.number));
        if first != self.first {
            let next = self.next().map(|entry| (entry, true));
            replies.push(self.described(Topic::Jobs(JobsTopic::NotifyNext), next, None, now_ms));
            self.first = first;
        }
        replies
    }

    /// Describes an execution, with its document if requested: verbatim, even if our own parser would refuse it.
    fn described(
        &self,
        topic: Topic<'_>,
        entry: Option<(&Entry, bool)>,
        client_token: Option<JsonStr<'_>>,
        now_ms: u64,
    ) -> Reply {
        let execution = entry.map(|(entry, with_document)| execution(entry, with_document));
        let answer = DescribeResponse { execution, timestamp: Some(seconds(now_ms)), client_token };
        let mut reply = self.reply(topic, |out| answer.emit(out));
        if let Some((entry, true)) = entry {
            self.documents.set(self.documents.get() + 1);
            entry.offered.set(true);
            let text = String::from_utf8(reply.payload).expect("JSON is text");
            reply.payload = text.replace(PLACE_OF_DOCUMENT, &entry.job.document).into_bytes();
        }
        reply
    }

    fn rejected(
        &self,
        topic: Topic<'_>,
        code: RejectCode,
        client_token: Option<JsonStr<'_>>,
        state: Option<ExecutionState<'_>>,
        now_ms: u64,
    ) -> Reply {
        let message = Some(JsonStr::plain("no"));
        let rejected = Rejected { code, message, timestamp: Some(seconds(now_ms)), client_token, state };
        self.reply(topic, |out| rejected.emit(out))
    }

    fn reply<E: std::fmt::Debug>(&self, topic: Topic<'_>, emit: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Reply {
        let mut payload = vec![0; ANSWER_BYTES_MAX];
        let len = emit(&mut payload).expect("there is room");
        payload.truncate(len);
        Reply { topic: self.topic(topic), payload, assured: true }
    }

    /// The topic's text for the thing.
    pub(crate) fn topic(&self, topic: Topic<'_>) -> String {
        topic.emit(&self.thing, &mut [0; TOPIC_BYTES_MAX]).expect("there is room").to_owned()
    }

    /// A random failure of the stream service, as probable as one of the job service, or one of too many requests.
    pub(crate) fn stream_accident(&mut self, now_ms: u64) -> bool {
        now_ms < self.throttles_until_ms || self.rng.percent(self.failure_rates.refuses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The topics of the responses to a request for the next job.
    fn ask(service: &mut Service, now_ms: u64) -> Vec<String> {
        let replies = service.handle("$aws/things/thing/jobs/$next/get", b"{}", now_ms);
        replies.into_iter().map(|reply| reply.topic).collect()
    }

    #[test]
    fn a_service_that_restarts_loses_requests_and_one_that_throttles_refuses_them() {
        let mut service = Service::new("thing", Rng::new(1));
        (service.restarts_until_ms, service.throttles_until_ms) = (1_000, 2_000);
        assert!(ask(&mut service, 999).is_empty());
        assert_eq!(ask(&mut service, 1_999), ["$aws/things/thing/jobs/$next/get/rejected"]);
        assert_eq!(ask(&mut service, 2_000), ["$aws/things/thing/jobs/$next/get/accepted"]);
    }
}
