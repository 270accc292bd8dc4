//! Updates that the device sent before it could detect that their job had been deleted and created again under its id: the
//! service takes them for updates of the new execution.

use std::collections::HashSet;

use ota_jobs::{JobsTopic, Topic, Update};

use crate::service::StatusUpdate;
use crate::wire::queued_at;

#[derive(Default)]
pub(super) struct Unaware {
    /// Jobs and client tokens of the updates that were sent.
    sent: Vec<(String, String)>,
    /// Jobs that were created again, each with what identifies the new execution, until a message with that is received.
    unseen: Vec<(String, String)>,
    /// Client tokens of updates for an execution that no longer exists.
    tokens: HashSet<String>,
}

impl Unaware {
    pub(super) fn created_again(&mut self, id: &str, queued_ms: u64) {
        let earlier = self.sent.iter().filter(|(job, _)| job == id);
        self.tokens.extend(earlier.map(|(_, token)| token.clone()));
        self.unseen.push((id.to_owned(), queued_at(queued_ms)));
    }

    pub(super) fn sent(&mut self, topic: &str, payload: &[u8]) {
        let Ok((_, Topic::Jobs(JobsTopic::Update(id, None)))) = Topic::parse(topic) else { return };
        let token = Update::parse(payload).ok().and_then(|update| update.client_token);
        let Some(token) = token.and_then(|token| token.as_plain().map(str::to_owned)) else { return };
        if self.unseen.iter().any(|(unseen, _)| unseen == id) {
            self.tokens.insert(token.clone());
        }
        self.sent.push((id.to_owned(), token));
    }

    /// The list of jobs in a notification is not read by the agent.
    pub(super) fn received(&mut self, topic: &str, payload: &[u8]) {
        let is_list = matches!(Topic::parse(topic), Ok((_, Topic::Jobs(JobsTopic::Notify))));
        if !is_list {
            let text = String::from_utf8_lossy(payload);
            self.unseen.retain(|(id, queued_at)| !(text.contains(id.as_str()) && text.contains(queued_at.as_str())));
        }
    }

    pub(super) fn has_sent(&self, update: &StatusUpdate) -> bool {
        self.tokens.contains(&update.client_token)
    }
}
