//! Publishes messages to devices and logs each of them.

use super::transport::{Outgoing, Publisher};
use crate::serve::log::{Direction, Log, quote};

/// Publisher and log.
#[derive(Clone)]
pub struct Outbox {
    /// Connection to the broker.
    pub publisher: Publisher,
    /// Message log.
    pub log: Log,
}

impl Outbox {
    /// Logs and sends a message; waits while the connection's queue is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message is in the log but not sent.
    pub async fn send(&self, message: Outgoing) {
        self.log_out(&message);
        self.publisher.publish(message).await;
    }

    /// Sends a message without waiting; returns false if the connection's queue is full.
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

/// Returns the thing in a topic, or an empty string.
pub fn thing_of_topic(topic: &str) -> &str {
    let rest = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/'));
    rest.map_or("", |(thing, _)| thing)
}
