//! A broker in this process, with the service behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use embassy_futures::yield_now;
use embassy_time::{Duration, Instant as Clock, Timer};
use ota_agent::pump;
use ota_agent::transport::{Activity, Broker, Inbound, Mqtt, QoS};
use ota_tests::service::{Reply, Service};

pub const KEEP_ALIVE_S: u16 = 1;

/// A broker with the service behind it.
pub struct Line {
    pub service: Rc<RefCell<Service>>,
    pub inbox: VecDeque<Reply>,
    pub received: Option<Reply>,
    pub filters: Vec<String>,
    pub published: Vec<QoS>,
    /// Connection attempts that fail first.
    pub refusals: u32,
    /// Messages after which the connection ends, once.
    pub ends_after: Option<usize>,
    /// Messages after which nothing comes back on a connection, once.
    pub dies_after: Option<usize>,
    pub is_dead: bool,
    /// Whether nothing can be sent on a dead connection.
    pub stalls: bool,
    /// Whether it does not answer a device that leaves.
    pub keeps: bool,
    pub keep_alive_s: u16,
    /// How long the stream service answers nothing from the first request for blocks on, while the broker acknowledges.
    pub no_blocks_for: Option<Duration>,
    pub no_blocks_until: Option<Clock>,
    /// Requests for blocks that the broker had to acknowledge, and those that were sent while a block was on its way.
    pub assured_requests: u32,
    pub premature_requests: u32,
    /// Blocks before one that is on its way for [`SLOW`], during which nothing else arrives.
    pub blocks_before_slow: Option<u32>,
    /// When the block that is on its way was sent, and how many of its parts arrived.
    pub on_its_way: Option<(Clock, u32)>,
    /// Whether the blocks of the first request are lost, and messages of the application arrive one behind the other until
    /// blocks are requested again.
    pub is_busy: bool,
    pub lost_blocks: u32,
    pub other_messages: u32,
    pub acknowledgements: usize,
    /// Whether the last packet was an acknowledgement.
    pub acknowledged: bool,
    /// Whether acknowledgements arrive behind messages, in one record with them.
    pub shares_records: bool,
    /// The most messages that waited for their acknowledgement at once.
    pub unacknowledged_max: usize,
    pub connections: usize,
    /// Whether the device left as the protocol has it.
    pub closed: bool,
    /// Whether there is a network; a connection waits for it.
    pub network: Rc<Cell<bool>>,
    /// Whether other tasks run before each message arrives, as on a network.
    pub gives_way: bool,
    /// Messages of other clients, which are delivered when nothing else is.
    pub from_others: Rc<RefCell<VecDeque<Reply>>>,
    /// Requests for the next job.
    pub job_requests: u32,
    /// What happened, in order.
    pub trace: Rc<RefCell<Vec<String>>>,
}

impl Line {
    pub fn new(service: &Rc<RefCell<Service>>) -> Self {
        Self {
            service: service.clone(),
            inbox: VecDeque::new(),
            received: None,
            filters: Vec::new(),
            published: Vec::new(),
            refusals: 0,
            ends_after: None,
            dies_after: None,
            is_dead: false,
            stalls: false,
            keeps: false,
            keep_alive_s: KEEP_ALIVE_S,
            no_blocks_for: None,
            no_blocks_until: None,
            assured_requests: 0,
            premature_requests: 0,
            blocks_before_slow: None,
            on_its_way: None,
            is_busy: false,
            lost_blocks: 0,
            other_messages: 0,
            acknowledgements: 0,
            acknowledged: false,
            shares_records: false,
            unacknowledged_max: 0,
            connections: 0,
            closed: false,
            network: Rc::new(Cell::new(true)),
            gives_way: false,
            from_others: Rc::default(),
            job_requests: 0,
            trace: Rc::default(),
        }
    }

    fn note(&self, what: &str) {
        self.trace.borrow_mut().push(what.into());
    }

    /// The next message of another client on a topic that the device subscribed to.
    fn next_of_others(&self) -> Poll<Reply> {
        let next = self.from_others.borrow_mut().pop_front();
        match next.filter(|reply| self.filters.contains(&reply.topic)) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        }
    }
}

impl Broker for Line {
    type Connection<'c> = Open<'c>;
    type Error<'c> = &'static str;

    fn keep_alive_s(&self) -> u16 {
        self.keep_alive_s
    }

    async fn connect<'c>(&'c mut self, activity: &'c Activity) -> Result<Self::Connection<'c>, &'static str> {
        self.note("connecting");
        poll_fn(|_| if self.network.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        if self.refusals > 0 {
            self.refusals -= 1;
            self.note("refused");
            return Err("refused");
        }
        self.note("connected");
        self.inbox.clear();
        self.filters.clear();
        (self.acknowledgements, self.is_dead) = (0, false);
        self.connections += 1;
        Ok(Open { line: self, activity })
    }
}

/// A connection to it.
pub struct Open<'c> {
    pub line: &'c mut Line,
    pub activity: &'c Activity,
}

impl Mqtt for Open<'_> {
    type Error = &'static str;

    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), &'static str> {
        if filters.contains(&"#/not-valid") {
            return Err("rejected");
        }
        self.line.note("subscribed");
        self.line.filters.extend(filters.iter().map(|filter| String::from(*filter)));
        Ok(())
    }

    async fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), &'static str> {
        if self.line.keeps {
            pending::<()>().await;
        }
        self.line.filters.retain(|filter| !filters.contains(&filter.as_str()));
        Ok(())
    }

    async fn close(&mut self) -> Result<(), &'static str> {
        self.line.closed = true;
        Ok(())
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, _retain: bool) -> Result<(), &'static str> {
        self.line.publish(topic, payload, qos).await;
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, &'static str> {
        let line = &mut *self.line;
        if line.gives_way {
            yield_now().await;
        }
        if line.ends_after.take_if(|after| *after == line.published.len()).is_some() {
            return Err("ended");
        }
        if line.blocks_before_slow == Some(0) && line.inbox.front().is_some_and(is_block) {
            line.arrive(SLOW, self.activity).await;
            line.blocks_before_slow = None;
        }
        // An acknowledgement and a message in turns: neither overtakes more than one of the others.
        let is_behind = line.shares_records && line.received.is_none() && !line.inbox.is_empty();
        line.acknowledged = line.acknowledgements > 0 && !is_behind && (!line.acknowledged || line.inbox.is_empty());
        if line.acknowledged {
            line.acknowledgements -= 1;
            if line.received.take_if(|_| line.shares_records).is_none() {
                self.activity.note();
            }
            return Ok(None);
        }
        if line.is_busy && line.lost_blocks > 0 && line.inbox.is_empty() {
            line.arrive(OTHER, self.activity).await;
            line.on_its_way = None;
            line.other_messages += 1;
            return Ok(Some(Inbound { topic: "kitchen/door", payload: b"open" }));
        }
        let received = match line.inbox.pop_front() {
            Some(reply) => reply,
            None => poll_fn(|_| line.next_of_others()).await,
        };
        if let (Some(before), true) = (&mut line.blocks_before_slow, is_block(&received)) {
            *before -= 1;
        }
        self.activity.note();
        let Reply { topic, payload, .. } = line.received.insert(received);
        Ok(Some(Inbound { topic, payload }))
    }
}

/// How long a block takes on a slow link.
const SLOW: Duration = Duration::from_secs(6 * KEEP_ALIVE_S as u64);
/// How long a message of the application takes there: timeouts of whole seconds end while one is on its way.
const OTHER: Duration = Duration::from_millis(1_300);
/// In how many parts either arrives.
const PARTS: u32 = 12;

fn is_block(reply: &Reply) -> bool {
    reply.topic.contains("/data/")
}

impl Line {
    /// Waits for all parts of a message that takes `slow`. Continues after a call that was cancelled.
    async fn arrive(&mut self, slow: Duration, activity: &Activity) {
        let (sent, parts) = self.on_its_way.get_or_insert((Clock::now(), 0));
        while *parts < PARTS {
            Timer::at(*sent + slow * (*parts + 1) / PARTS).await;
            *parts += 1;
            activity.note();
        }
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        self.published.push(qos);
        self.note(&format!("sent {topic}"));
        self.job_requests += u32::from(topic.ends_with("/$next/get"));
        if topic.ends_with("/get/cbor") {
            self.assured_requests += u32::from(qos == QoS::AtLeastOnce);
            self.premature_requests += u32::from(self.on_its_way.is_some());
            self.no_blocks_until = self.no_blocks_until.or(self.no_blocks_for.map(|wait| Clock::now() + wait));
        }
        self.is_dead |= self.dies_after.take_if(|after| *after == self.published.len()).is_some();
        if self.is_dead {
            return if self.stalls {
                pending().await
            };
        }
        self.acknowledgements += usize::from(qos == QoS::AtLeastOnce);
        self.unacknowledged_max = self.unacknowledged_max.max(self.acknowledgements);
        if !topic.starts_with("$aws/") && self.filters.iter().any(|filter| filter == topic) {
            self.inbox.push_back(Reply { topic: topic.into(), payload: payload.into(), assured: false });
        }
        let mut replies = self.service.borrow_mut().handle(topic, payload, pump::now().as_ms());
        if self.no_blocks_until.is_some_and(|until| Clock::now() < until) {
            replies.retain(|reply| !is_block(reply));
        }
        if self.is_busy && replies.iter().any(is_block) {
            self.is_busy = self.lost_blocks == 0;
            if self.is_busy {
                self.lost_blocks = replies.extract_if(.., |reply| is_block(reply)).count() as u32;
            }
        }
        self.inbox.extend(replies);
    }
}
