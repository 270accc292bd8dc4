//! Where messages to devices leave: each is published and has a line in the log.

use super::transport::{Outgoing, Publisher};
use crate::serve::log::{Direction, Log, quote};

/// Sends and logs.
#[derive(Clone)]
pub struct Outbox {
    /// Where messages go.
    pub publisher: Publisher,
    /// Where lines go.
    pub log: Log,
}

impl Outbox {
    /// Waits for room.
    pub async fn send(&self, message: Outgoing) {
        self.log_out(&message);
        self.publisher.publish(message).await;
    }

    /// For those who must not wait; false if the connection had no room for it.
    pub fn try_send(&self, message: Outgoing) -> bool {
        let taken = self.publisher.try_publish(message.clone());
        if taken {
            self.log_out(&message);
        }
        taken
    }

    fn log_out(&self, message: &Outgoing) {
        self.log.message(Direction::Out, &message.topic, thing_of_topic(&message.topic), &quote(&message.payload));
    }
}

/// The thing that a topic is about; nothing, if it is about none.
pub fn thing_of_topic(topic: &str) -> &str {
    let rest = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/'));
    rest.map_or("", |(thing, _)| thing)
}
