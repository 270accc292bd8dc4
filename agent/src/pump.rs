//! Drives an agent over an MQTT connection and an HTTP body: connects, subscribes, passes messages both ways, and sleeps until
//! the agent's next deadline. A publish that times out ends the connection.

use core::future::{Future, pending};
use core::mem;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, Either3, Either4, select, select3, select4};
use embassy_futures::yield_now;
use embassy_time::{Duration, Instant as Clock, TimeoutError, Timer, with_timeout};
use heapless::Vec;
use ota_jobs::Reason;

use super::agent::Agent;
use super::{ImageManagement, wait};
use crate::application::{Application, Shutdown};
use crate::decode::{self, FILTERS_BYTES_MAX};
use crate::encode::{MESSAGE_BYTES_MAX, Outgoing};
use crate::machine::{Backoff, Event, Instant, Notice};
use crate::silence::Silence;
use crate::transport::{Activity, Broker, Filled, HttpBody, HttpSource, Mqtt, NoHttp, Opened, QoS, Range};

/// The timeout of a silence while a connection is made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The timeout of an HTTP request up to the head of its response, with all redirects.
const HTTP_OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout of a silence in an HTTP body.
const HTTP_SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Filters of an application. Source: AWS IoT Core, MQTT limits, subscriptions of one request.
const APPLICATION_FILTERS_MAX: usize = 8;
/// The timeout of a silence before a subscription is accepted.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait, so that no time overflows the clock's ticks.
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// The interval at which the application is asked for its verdict during a trial, and whether it is prepared for a reset.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the agent over `broker`; images are downloaded over MQTT. Returns after a
/// [`Command::Shutdown`](crate::Command::Shutdown), or if the platform's reset returns, as in a simulation.
///
/// # Cancel safety
/// Not cancel-safe: after dropping the future, start a new agent, which resumes as after a reset.
pub async fn run<P: ImageManagement, A: Application, B: Broker>(agent: &mut Agent<'_, P, A>, broker: &mut B) {
    run_with_http(agent, broker, NoHttp).await;
}

/// As [`run`], with `http` for jobs that offer their image over HTTP.
///
/// # Cancel safety
/// As [`run`].
pub fn run_with_http<P, A, B, H>(agent: &mut Agent<'_, P, A>, broker: &mut B, mut http: H) -> impl Future<Output = ()>
where
    P: ImageManagement,
    A: Application,
    B: Broker,
    H: HttpSource,
{
    let silence = Silence::new(broker.keep_alive_s());
    // Not an async fn, which would hold its arguments twice; as some below.
    async move {
        let (mut backoff, activity) = (Backoff::new(), Activity::default());
        agent.shutdown = None;
        let mut pump = Pump { agent, activity: &activity, silence, subscribed_at: None, awaits_acknowledgement: false };
        while pump.agent.is_running() {
            let mut connected = Err(TimeoutError);
            {
                let connect = pin!(broker.connect(&activity));
                let connect = pin!(async { connected = activity.until_silent(CONNECT_TIMEOUT, connect).await });
                pump.drive_while(connect).await;
            }
            match connected {
                Ok(Ok(mut connection)) => {
                    let served = pump.serve(&mut connection, &mut http).await;
                    pump.silence.reset();
                    match served {
                        Err(error) => pump.agent.application().on_disconnected(&error),
                        Ok(()) if pump.agent.is_running() => pump.agent.application().on_disconnected(&TimeoutError),
                        Ok(()) => {}
                    }
                    if let Some(at) = pump.subscribed_at.take() {
                        backoff.held(now().since(at));
                    }
                    wait!(pump.agent.on(Event::Disconnected, now()));
                }
                _ if !pump.agent.is_running() => {}
                Ok(Err(error)) => pump.agent.application().on_disconnected(&error),
                Err(timeout) => pump.agent.application().on_disconnected(&timeout),
            }
            let wait = backoff.next_wait_ms(Clock::now().as_ticks() as u32);
            pump.drive_while(pin!(Timer::after_millis(wait))).await;
        }
    }
}

/// The current time, as [`run`] passes it to the agent.
pub fn now() -> Instant {
    Instant::from_ms(Clock::now().as_millis())
}

struct Pump<'a, 'b, P, A> {
    agent: &'a mut Agent<'b, P, A>,
    activity: &'a Activity,
    silence: Silence,
    /// When the broker accepted the subscriptions of the connection.
    subscribed_at: Option<Instant>,
    /// Nothing was acknowledged since the application's last message.
    awaits_acknowledgement: bool,
}

impl<P: ImageManagement, A: Application> Pump<'_, '_, P, A> {
    /// Serves one connection until it fails, is silent, or the agent ends.
    async fn serve<M: Mqtt, H: HttpSource>(&mut self, connection: &mut M, http: &mut H) -> Result<(), M::Error> {
        if !self.subscribe(connection).await? {
            return Ok(());
        }
        self.subscribed_at = Some(now());
        self.awaits_acknowledgement = false;
        self.activity.take();
        wait!(self.agent.on(Event::Connected, now()));
        while self.is_up() {
            match self.agent.fetch(now()) {
                Some(range) => {
                    if let Err(reason) = self.fetch(connection, range, http).await? {
                        wait!(self.agent.on(Event::FetchFailed(reason), now()));
                    }
                }
                None => _ = self.turn(connection, pin!(pending())).await?,
            }
        }
        match self.agent.shutdown {
            Some(Shutdown { unsubscribe }) => self.leave(connection, unsubscribe).await,
            None => Ok(()),
        }
    }

    /// Whether the connection is to be served further.
    fn is_up(&self) -> bool {
        self.agent.is_running() && !self.silence.is_over()
    }

    /// Subscribes to the agent's topics and the application's; returns false after a timeout.
    async fn subscribe<M: Mqtt>(&mut self, connection: &mut M) -> Result<bool, M::Error> {
        let mut buffer = [0; FILTERS_BYTES_MAX];
        if !self.subscribe_to(connection, &self.agent.filters(&mut buffer)).await? {
            return Ok(false);
        }
        // Last: what the broker kept for these topics arrives next, and no other response is awaited then.
        let (filters, complete) = application_filters(&self.agent.application, &mut buffer);
        if !complete {
            self.agent.application.on_notice(Notice::FiltersTooLong);
        }
        if filters.is_empty() {
            return Ok(true);
        }
        // A typing error in them must not keep the device from its jobs. A connection that ended is noticed by the next call.
        self.subscribe_to(connection, &filters).await.or_else(|error| {
            self.agent.application.on_filter_rejected(&error);
            Ok(true)
        })
    }

    /// Leaves the broker, with or without the subscriptions, unless it takes too long.
    async fn leave<M: Mqtt>(&mut self, connection: &mut M, unsubscribe: bool) -> Result<(), M::Error> {
        let Agent { machine, application, platform, .. } = &mut *self.agent;
        let leave = async {
            if unsubscribe {
                let mut buffer = [0; FILTERS_BYTES_MAX];
                connection.unsubscribe(&decode::filters(&machine.config().thing, &mut buffer)).await?;
                let (filters, _) = application_filters(&*application, &mut buffer);
                if !filters.is_empty() {
                    connection.unsubscribe(&filters).await?;
                }
            }
            connection.close().await
        };
        fed(platform, SUBSCRIBE_TIMEOUT, pin!(leave)).await.unwrap_or(Ok(()))
    }

    /// Subscribes to `filters`; returns false after a timeout.
    async fn subscribe_to<M: Mqtt>(&mut self, connection: &mut M, filters: &[&str]) -> Result<bool, M::Error> {
        let mut subscribed = Err(TimeoutError);
        {
            let (activity, subscribe) = (self.activity, pin!(connection.subscribe(filters)));
            let subscribe = pin!(async { subscribed = activity.until_silent(SUBSCRIBE_TIMEOUT, subscribe).await });
            self.drive_while(subscribe).await;
        }
        subscribed.map_or(Ok(false), |subscribed| subscribed.map(|()| true))
    }

    /// Opens a body and reads it while the agent needs it. The outer result is that of the connection, the inner one that of the
    /// body.
    async fn fetch<M: Mqtt, H: HttpSource>(
        &mut self,
        connection: &mut M,
        range: Range,
        http: &mut H,
    ) -> Result<Result<(), Reason>, M::Error> {
        if let Err(reason) = http.set_url(self.agent.url()) {
            return Ok(Err(reason));
        }
        loop {
            let mut opened = Err(Reason::HttpUnreachable);
            {
                let open = pin!(with_timeout(HTTP_OPEN_TIMEOUT, http.open(range)));
                let open = pin!(async { opened = open.await.unwrap_or(Err(Reason::HttpUnreachable)) });
                if !self.serve_while_needed(connection, open).await? {
                    return Ok(Ok(()));
                }
            }
            match &mut opened {
                Ok(Opened::Body(body)) => return self.read(connection, body).await,
                Ok(Opened::Redirected) => {}
                Err(reason) => return Ok(Err(*reason)),
            }
        }
    }

    /// Passes the blocks of a body to the agent.
    async fn read<M: Mqtt, B: HttpBody>(
        &mut self,
        connection: &mut M,
        body: &mut B,
    ) -> Result<Result<(), Reason>, M::Error> {
        loop {
            body.has_received();
            let mut filled = Ok(Filled::Part);
            {
                let fill = pin!(async {
                    filled = match with_timeout(HTTP_SILENCE_TIMEOUT, body.fill()).await {
                        Ok(filled) => filled,
                        // A part of a TLS record arrived, if no byte of the body did.
                        Err(_) if body.has_received() => Ok(Filled::Part),
                        Err(_) => Err(Reason::HttpUnreachable),
                    };
                });
                if !self.serve_while_needed(connection, fill).await? {
                    return Ok(Ok(()));
                }
            }
            match filled {
                Ok(Filled::Part) => {}
                Ok(Filled::Block) => {
                    let (index, bytes) = body.block();
                    wait!(self.agent.on_block(index, bytes, now()));
                    if !body.advance() {
                        return Ok(Ok(()));
                    }
                }
                Ok(Filled::End) => return Ok(Ok(())),
                Err(reason) => return Ok(Err(reason)),
            }
        }
    }

    /// Serves the connection until `future` ends; returns false as soon as the agent no longer needs a body.
    async fn serve_while_needed<M: Mqtt>(
        &mut self,
        connection: &mut M,
        mut future: Pin<&mut dyn Future<Output = ()>>,
    ) -> Result<bool, M::Error> {
        while self.agent.fetch(now()).is_some() && self.is_up() {
            if self.turn(connection, future.as_mut()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Drives the agent without a connection until `future` ends.
    async fn drive_while(&mut self, mut future: Pin<&mut dyn Future<Output = ()>>) {
        while self.agent.is_running() {
            wait!(self.agent.work(now()));
            let wake = self.wake(false);
            match select3(self.agent.application.command(), future.as_mut(), wake).await {
                Either3::First(command) => _ = wait!(self.agent.execute(command, now())),
                Either3::Second(()) => return,
                Either3::Third(()) => {}
            }
        }
    }

    /// Sends what is due, then waits for a message, a deadline, a command or `future`; returns whether `future` ended.
    async fn turn<M: Mqtt>(
        &mut self,
        connection: &mut M,
        future: Pin<&mut dyn Future<Output = ()>>,
    ) -> Result<bool, M::Error> {
        let more = self.send(connection).await?;
        if !self.is_up() {
            return Ok(false);
        }
        let (begun, wake) = (Clock::now(), self.wake(more));
        let event = select4(self.agent.application.command(), connection.receive(), future, wake).await;
        let received = self.activity.take();
        match received {
            true => self.silence.reset(),
            // Only the time in which a response could have been read counts, and not that of the platform.
            false => self.silence.waited(begun.elapsed().as_micros()),
        }
        if received && !matches!(event, Either4::Second(_)) {
            wait!(self.agent.on(Event::Incoming, now()));
        }
        match event {
            Either4::First(command) => _ = wait!(self.agent.execute(command, now())),
            Either4::Second(message) => match message? {
                Some(message) => wait!(self.agent.on_message(message.topic, message.payload, now())),
                None => {
                    if received {
                        self.agent.machine.received();
                    }
                    // Nothing arrived since the application's message if the silence goes on: the client itself sent something.
                    self.awaits_acknowledgement &= self.silence.left_ms().is_some();
                }
            },
            Either4::Third(()) => return Ok(true),
            Either4::Fourth(()) => {}
        }
        Ok(false)
    }

    /// Executes the operations and publishes the messages that are due, and one message of the application if no acknowledgement is
    /// awaited; returns whether there may be more of these.
    async fn send<M: Mqtt>(&mut self, connection: &mut M) -> Result<bool, M::Error> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            wait!(self.agent.work(now()));
            let own = self.agent.message(now(), &mut buffer); // that may have taken long
            let is_own = own.is_some();
            let message = match own {
                None if !self.awaits_acknowledgement && self.silence.left_ms().is_none() => {
                    self.agent.application.message()
                }
                own => own,
            };
            let Some(Outgoing { topic, payload, qos, retain }) = message else { return Ok(false) };
            let limit = Duration::from_millis(self.silence.limit_ms().into());
            match fed(&mut self.agent.platform, limit, pin!(connection.publish(topic, payload, qos, retain))).await {
                Ok(published) => published?,
                Err(TimeoutError) => {
                    self.silence.expire();
                    return Ok(false);
                }
            }
            self.silence.sent(qos);
            if !is_own {
                self.awaits_acknowledgement = qos == QoS::AtLeastOnce;
                return Ok(true);
            }
        }
    }

    /// Sleeps until the agent's deadline, until the application is to be asked or the watchdog to be fed, or until the connection
    /// has been silent for too long; if `soon`, until other tasks had their turn.
    fn wake(&self, soon: bool) -> impl Future<Output = ()> + use<P, A> {
        let ask = self.agent.awaits_application().then(|| Clock::now() + ASK_INTERVAL);
        let latest = Clock::now() + WAIT_MAX;
        let deadline = self.agent.deadline().map(|at| Clock::from_millis(at.as_ms().min(latest.as_millis())));
        let feed = self.agent.platform.watchdog_ms().map(|ms| Clock::now() + Duration::from_millis(ms.into()));
        let silent = self.silence.left_ms().map(|left_ms| Clock::now() + Duration::from_millis(left_ms.into()));
        let wake = [ask, deadline, feed, silent].into_iter().flatten().min();
        async move {
            match wake {
                _ if soon => yield_now().await,
                Some(at) => Timer::at(at).await,
                None => pending().await,
            }
        }
    }
}

/// Waits for `future`, for `limit` at most, and feeds the watchdog meanwhile.
fn fed<P: ImageManagement, T>(
    platform: &mut P,
    limit: Duration,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, TimeoutError>> {
    let end = Clock::now() + limit;
    async move {
        loop {
            let feed = platform.watchdog_ms().map(|ms| Clock::now() + Duration::from_millis(ms.into()));
            match select(future.as_mut(), Timer::at(feed.map_or(end, |feed| feed.min(end)))).await {
                Either::First(done) => return Ok(done),
                Either::Second(()) if Clock::now() >= end => return Err(TimeoutError),
                Either::Second(()) => platform.feed_watchdog(),
            }
        }
    }
}

/// Copies the application's filters into `buffer`, since the application is called while the broker answers; false if some do not
/// fit.
fn application_filters<'t, A: Application>(
    application: &A,
    mut buffer: &'t mut [u8],
) -> (Vec<&'t str, APPLICATION_FILTERS_MAX>, bool) {
    let mut filters = Vec::new();
    while let Some(filter) = application.filter(filters.len()) {
        let Some((place, rest)) = mem::take(&mut buffer).split_at_mut_checked(filter.len()) else {
            return (filters, false);
        };
        place.copy_from_slice(filter.as_bytes());
        buffer = rest;
        if filters.push(str::from_utf8(place).unwrap_or_default()).is_err() {
            return (filters, false);
        }
    }
    (filters, true)
}
