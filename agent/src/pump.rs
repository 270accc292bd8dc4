//! The loop that owns the connection: connects, subscribes, carries messages between broker and agent, reads the HTTP
//! body beside it, and sleeps until the agent's next deadline. A publish is never cancelled.

use core::future::{Future, pending};
use core::pin::pin;

use embassy_futures::select::{Either3, Either4, select3, select4};
use embassy_time::{Duration, Instant as Clock, Timer, with_timeout};
use ota_jobs::Reason;
use ota_pal::ImageManagement;

use crate::agent::{Agent, MESSAGE_BYTES_MAX, Outgoing};
use crate::application::Application;
use crate::machine::{Backoff, Event, Instant};
use crate::transport::http::{self, AllowedHosts, Body, Range};
use crate::transport::{Broker, Connector, Mqtt};

/// A connection that takes longer to make is given up.
const CONNECT_WAIT: Duration = Duration::from_secs(20);
/// An HTTP server that sends nothing for so long is given up.
const HTTP_WAIT: Duration = Duration::from_secs(10);
/// A broker that does not answer a subscription for so long is left.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(30);
/// How often the application is asked for its verdict.
const TRIAL_TURN: Duration = Duration::from_millis(100);

/// Where images come from over HTTP; `None` on a device that takes them over MQTT only.
pub struct Web<'b, C> {
    /// Makes the connections.
    pub connector: C,
    /// The servers that they may go to.
    pub hosts: AllowedHosts<'b>,
    /// Holds one block; and the URL before it, and the response's head.
    pub buffer: &'b mut [u8],
}

/// Runs the agent over `broker` for good; returns only when the platform's reset does, which it does in simulations.
///
/// Dropping the future stops the agent where it is: like a power cut, nothing is lost.
pub async fn run<P, A, B, C>(agent: &mut Agent<'_, P, A>, broker: &mut B, web: Option<&mut Web<'_, C>>)
where
    P: ImageManagement,
    A: Application,
    B: Broker,
    C: Connector,
{
    let mut web = web;
    let mut backoff = Backoff::new();
    while !agent.is_reset() {
        match alongside(agent, with_timeout(CONNECT_WAIT, broker.connect())).await {
            Ok(Ok(mut connection)) => {
                let mut pump = Pump { agent: &mut *agent, connection: &mut connection };
                if let Err(error) = pump.serve(&mut backoff, web.as_deref_mut()).await {
                    agent.application().on_disconnected(&error);
                }
                agent.on(Event::Disconnected, now()).await;
            }
            Ok(Err(error)) => agent.application().on_disconnected(&error),
            Err(timeout) => agent.application().on_disconnected(&timeout),
        }
        let wait = backoff.next_wait_ms(Clock::now().as_ticks() as u32);
        alongside(agent, Timer::after_millis(wait)).await;
    }
}

/// Lets the agent go on with what needs no connection, and obey its application, until `future` is done.
async fn alongside<P: ImageManagement, A: Application, F: Future>(agent: &mut Agent<'_, P, A>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        agent.work(now()).await;
        let wake = agent_wake(agent);
        match select3(agent.application.command(), future.as_mut(), wake).await {
            Either3::First(command) => agent.obey(command, now()).await,
            Either3::Second(output) => return output,
            Either3::Third(()) => {}
        }
    }
}

/// Sleeps until time alone changes something for the agent.
fn agent_wake<P: ImageManagement, A: Application>(agent: &Agent<'_, P, A>) -> impl Future<Output = ()> + use<P, A> {
    let trial = agent.is_testing().then(|| Clock::now() + TRIAL_TURN);
    let deadline = agent.deadline().map(|at| Clock::from_millis(at.as_ms()));
    let wake = [trial, deadline].into_iter().flatten().min();
    async move {
        match wake {
            Some(at) => Timer::at(at).await,
            None => pending().await,
        }
    }
}

/// One live connection.
struct Pump<'a, 'b, P, A, M> {
    agent: &'a mut Agent<'b, P, A>,
    connection: &'a mut M,
}

impl<P: ImageManagement, A: Application, M: Mqtt> Pump<'_, '_, P, A, M> {
    async fn serve<C: Connector>(
        &mut self,
        backoff: &mut Backoff,
        web: Option<&mut Web<'_, C>>,
    ) -> Result<(), M::Error> {
        let mut web = web;
        let filters = self.agent.filters();
        let mut names: heapless::Vec<&str, 8> = heapless::Vec::new();
        names.extend(filters.iter().map(|filter| filter.as_str()));
        let subscribed = with_timeout(SUBSCRIBE_WAIT, self.connection.subscribe(&names));
        let Ok(subscribed) = alongside(self.agent, subscribed).await else { return Ok(()) };
        subscribed?;
        backoff.reset();
        self.agent.on(Event::Connected, now()).await;
        while !self.agent.is_reset() {
            match (self.agent.fetch(now()), web.as_deref_mut()) {
                (Some(range), Some(web)) => self.fetch(range, web).await?,
                (Some(_), None) => self.agent.on(Event::FetchFailed(Reason::UrlNotAllowed), now()).await,
                (None, _) => _ = self.turn(pending::<()>()).await?,
            }
        }
        Ok(())
    }

    /// Reads one HTTP body, for as long as the agent wants it.
    async fn fetch<C: Connector>(&mut self, range: Range, web: &mut Web<'_, C>) -> Result<(), M::Error> {
        let body = match self.agent.url_into(web.buffer) {
            Ok(url_len) => {
                let open = http::open(&mut web.connector, web.hosts, web.buffer, url_len, range);
                match self.until(with_timeout(HTTP_WAIT, open)).await? {
                    None => return Ok(()),
                    Some(body) => body.unwrap_or(Err(Reason::HttpUnreachable)),
                }
            }
            Err(reason) => Err(reason),
        };
        let failure = match body {
            Ok(body) => self.read(body).await?,
            Err(reason) => Some(reason),
        };
        if let Some(reason) = failure {
            self.agent.on(Event::FetchFailed(reason), now()).await;
        }
        Ok(())
    }

    async fn read<S: embedded_io_async::Read>(&mut self, mut body: Body<'_, S>) -> Result<Option<Reason>, M::Error> {
        while !body.is_over() {
            match self.until(with_timeout(HTTP_WAIT, body.fill())).await? {
                None => return Ok(None),
                Some(Err(_)) => return Ok(Some(Reason::HttpUnreachable)),
                Some(Ok(Err(reason))) => return Ok(Some(reason)),
                Some(Ok(Ok(()))) => {}
            }
            let (index, bytes) = body.block();
            self.agent.on_block(index, bytes, now()).await;
            body.next();
        }
        Ok(None)
    }

    /// Serves the connection until `future` is done; `None` when the agent wants no body any more.
    async fn until<F: Future>(&mut self, future: F) -> Result<Option<F::Output>, M::Error> {
        let mut future = pin!(future);
        while self.agent.fetch(now()).is_some() && !self.agent.is_reset() {
            if let Some(output) = self.turn(future.as_mut()).await? {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    /// Sends what is due, then waits for a message, for time, for a command, or for `future`, whose output it returns.
    async fn turn<F: Future>(&mut self, future: F) -> Result<Option<F::Output>, M::Error> {
        self.send().await?;
        if self.agent.is_reset() {
            return Ok(None);
        }
        let wake = agent_wake(self.agent);
        let command = self.agent.application.command();
        match select4(command, self.connection.receive(), future, wake).await {
            Either4::First(command) => self.agent.obey(command, now()).await,
            Either4::Second(message) => {
                if let Some(message) = message? {
                    self.agent.on_message(message.topic, message.payload, now()).await;
                }
            }
            Either4::Third(output) => return Ok(Some(output)),
            Either4::Fourth(()) => {}
        }
        Ok(None)
    }

    async fn send(&mut self) -> Result<(), M::Error> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            let now = now();
            self.agent.work(now).await;
            let Some(Outgoing { topic, len, assured }) = self.agent.message(now, &mut buffer) else { return Ok(()) };
            self.connection.publish(&topic, &buffer[..len], assured).await?;
        }
    }
}

fn now() -> Instant {
    Instant::from_ms(Clock::now().as_millis())
}
