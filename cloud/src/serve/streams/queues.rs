//! One queue of stream requests per thing: within a queue requests are served in order, at AWS's rate if configured;
//! different things are served concurrently.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::rate_limit::RateLimit;
use super::request::StreamRequest;
use super::service::{Streams, serve};
use crate::limits::{AWS_BYTES_PER_SECOND, STREAM_QUEUE_IDLE, STREAM_QUEUES_MAX, STREAM_REQUESTS_QUEUED_MAX};
use crate::serve::log::{Direction, Log, report_error};
use crate::serve::mqtt::transport::Publisher;

/// All queues. Dropping it stops their tasks.
pub struct StreamQueues {
    open: HashMap<String, mpsc::Sender<StreamRequest>>,
    tasks: JoinSet<()>,
    server: Server,
}

/// What every queue's task needs.
#[derive(Clone)]
struct Server {
    streams: Streams,
    publisher: Publisher,
    log: Log,
    aws_limits: bool,
}

impl Server {
    fn limit(&self, now: Instant) -> Option<RateLimit> {
        self.aws_limits.then(|| RateLimit::new(AWS_BYTES_PER_SECOND, now))
    }
}

impl StreamQueues {
    /// Creates an empty set of queues.
    pub fn new(streams: Streams, publisher: Publisher, log: Log, aws_limits: bool) -> Self {
        let server = Server { streams, publisher, log, aws_limits };
        Self { open: HashMap::new(), tasks: JoinSet::new(), server }
    }

    /// Adds a request to the thing's queue. If the queue is full, the request is dropped and the device retries.
    pub fn send(&mut self, request: StreamRequest) {
        let request = match self.open.get(&request.thing) {
            None => request,
            Some(queue) => match queue.try_send(request) {
                Ok(()) => return,
                Err(TrySendError::Closed(request)) => request,
                Err(TrySendError::Full(StreamRequest { thing, .. })) => {
                    report_error(format_args!(
                        "a stream request of {thing} is dropped: {STREAM_REQUESTS_QUEUED_MAX} are queued"
                    ));
                    return;
                }
            },
        };
        self.open_queue(request);
    }

    fn open_queue(&mut self, request: StreamRequest) {
        let thing = request.thing.clone();
        while self.tasks.try_join_next().is_some() {}
        if self.open.len() >= STREAM_QUEUES_MAX {
            self.open.retain(|_, queue| !queue.is_closed());
        }
        if self.open.len() >= STREAM_QUEUES_MAX {
            report_error(format_args!(
                "a stream request of {thing} is dropped: {STREAM_QUEUES_MAX} things have a queue"
            ));
            return;
        }
        let (queue, requests) = mpsc::channel(STREAM_REQUESTS_QUEUED_MAX);
        queue.try_send(request).expect("a new queue has room");
        self.open.insert(thing, queue);
        self.tasks.spawn(serve_thing(self.server.clone(), requests));
    }
}

/// Serves one thing until no request arrived for [`STREAM_QUEUE_IDLE`].
async fn serve_thing(server: Server, mut requests: mpsc::Receiver<StreamRequest>) {
    let mut limit = server.limit(Instant::now());
    loop {
        match tokio::time::timeout(STREAM_QUEUE_IDLE, requests.recv()).await {
            Ok(Some(request)) => serve_request(&server, &request, &mut limit).await,
            Ok(None) => return,
            // Closing refuses new requests; those already queued are still served.
            Err(_) => requests.close(),
        }
    }
}

async fn serve_request(server: &Server, request: &StreamRequest, limit: &mut Option<RateLimit>) {
    let text = serve(&server.streams, &server.publisher, request, limit).await;
    server.log.message(Direction::In, &request.topic(), &request.thing, &text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::serve::files::Files;
    use crate::serve::log::Format;
    use crate::serve::mqtt::transport::{BrokerAddress, connect};
    use crate::store::Store;
    use crate::testing::TempDir;

    #[tokio::test]
    async fn a_queue_has_the_rate_of_aws_only_if_configured() {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let streams = Streams::new(store, Files::open(dir.path()).unwrap());
        let address = BrokerAddress { host: "127.0.0.1".into(), port: 1, tls: None, login: None, resume: false };
        let (publisher, _connection) = connect(&address, &[]);
        let queues = |limits| StreamQueues::new(streams.clone(), publisher.clone(), Log::new(Format::Quiet), limits);
        let now = Instant::now();
        assert!(queues(false).server.limit(now).is_none());
        let mut limit = queues(true).server.limit(now).unwrap();
        assert_eq!(limit.reserve(512 * 1024, now), now);
        assert_eq!(limit.reserve(1, now), now + Duration::from_secs(1));
    }
}
