//! Stream requests, a lane a thing: within a lane one after the other, in their order and at AWS's pace if asked for;
//! no thing waits for another.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::pace::Pace;
use super::request::StreamRequest;
use super::service::{Streams, serve};
use crate::limits::{AWS_BYTES_PER_SECOND, STREAM_LANE_IDLE, STREAM_LANES_MAX, STREAM_REQUESTS_WAITING_MAX};
use crate::serve::log::{Direction, Log, problem};
use crate::serve::mqtt::transport::Publisher;

/// All lanes. Dropping it ends them.
pub struct Lanes {
    open: HashMap<String, mpsc::Sender<StreamRequest>>,
    tasks: JoinSet<()>,
    worker: Worker,
}

/// What each lane needs.
#[derive(Clone)]
struct Worker {
    streams: Streams,
    publisher: Publisher,
    log: Log,
    aws_limits: bool,
}

impl Worker {
    fn pace(&self, now: Instant) -> Option<Pace> {
        self.aws_limits.then(|| Pace::new(AWS_BYTES_PER_SECOND, now))
    }
}

impl Lanes {
    /// No lanes yet.
    pub fn new(streams: Streams, publisher: Publisher, log: Log, aws_limits: bool) -> Self {
        let worker = Worker { streams, publisher, log, aws_limits };
        Self { open: HashMap::new(), tasks: JoinSet::new(), worker }
    }

    /// Hands a request to the thing's lane; one too many is not answered, and the device asks again.
    pub fn send(&mut self, request: StreamRequest) {
        let request = match self.open.get(&request.thing) {
            None => request,
            Some(lane) => match lane.try_send(request) {
                Ok(()) => return,
                Err(TrySendError::Closed(request)) => request,
                Err(TrySendError::Full(StreamRequest { thing, .. })) => {
                    problem(format_args!("a stream request of {thing} is dropped: {STREAM_REQUESTS_WAITING_MAX} wait"));
                    return;
                }
            },
        };
        self.begin(request);
    }

    fn begin(&mut self, request: StreamRequest) {
        let thing = request.thing.clone();
        while self.tasks.try_join_next().is_some() {}
        if self.open.len() >= STREAM_LANES_MAX {
            self.open.retain(|_, lane| !lane.is_closed());
        }
        if self.open.len() >= STREAM_LANES_MAX {
            problem(format_args!("a stream request of {thing} is dropped: {STREAM_LANES_MAX} things are served"));
            return;
        }
        let (lane, requests) = mpsc::channel(STREAM_REQUESTS_WAITING_MAX);
        lane.try_send(request).expect("a new lane has room");
        self.open.insert(thing, lane);
        self.tasks.spawn(work(self.worker.clone(), requests));
    }
}

/// Serves one thing until it is idle for long.
async fn work(worker: Worker, mut requests: mpsc::Receiver<StreamRequest>) {
    let mut pace = worker.pace(Instant::now());
    loop {
        match tokio::time::timeout(STREAM_LANE_IDLE, requests.recv()).await {
            Ok(Some(request)) => one(&worker, &request, &mut pace).await,
            Ok(None) => return,
            // What came in at the last moment is still served: closing refuses only what comes later.
            Err(_) => requests.close(),
        }
    }
}

async fn one(worker: &Worker, request: &StreamRequest, pace: &mut Option<Pace>) {
    let text = serve(&worker.streams, &worker.publisher, request, pace).await;
    worker.log.message(Direction::In, &request.topic(), &request.thing, &text);
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
    async fn a_lane_has_the_rate_of_aws_only_if_it_is_asked_for() {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let streams = Streams::new(store, Files::open(dir.path()).unwrap());
        let address = BrokerAddress { host: "127.0.0.1".into(), port: 1, tls: None, login: None, resume: false };
        let (publisher, _connection) = connect(&address, &[]);
        let lanes = |limits| Lanes::new(streams.clone(), publisher.clone(), Log::new(Format::Quiet), limits);
        let now = Instant::now();
        assert!(lanes(false).worker.pace(now).is_none());
        let mut pace = lanes(true).worker.pace(now).unwrap();
        assert_eq!(pace.reserve(512 * 1024, now), now);
        assert_eq!(pace.reserve(1, now), now + Duration::from_secs(1));
    }
}
