//! The pump and the HTTP client over a broker and a server in this process: subscription, both sources of an image, requests
//! byte for byte, and the end of a connection. Nothing here waits but the pump itself.

#[path = "pump/agent.rs"]
mod agent;
#[path = "pump/application.rs"]
mod application;
#[path = "pump/broker.rs"]
mod broker;
#[path = "pump/connecting.rs"]
mod connecting;
#[path = "pump/queues.rs"]
mod queues;
#[path = "pump/server.rs"]
mod server;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use embassy_futures::block_on;
use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Timer};
use ota_agent::machine::Event;
use ota_agent::transport::http::{AllowedHosts, HttpClient, Url};
use ota_agent::transport::{Activity, HttpSource, NoHttp, QoS, Range};
use ota_agent::{
    Agent, AgentConfig, AgentState, Application, Command, CommandRefused, Consent, Discovery, Instant,
    MESSAGE_BYTES_MAX, Notice, Outgoing, Progress, SelfTest, Shutdown, Start, Step, WhyLater, pump,
};
use ota_jobs::{JobId, Reason, Status};
use ota_pal::{RollbackCounters, SlotId, Watchdog, poll_ready};
use ota_tests::device::{Board, Device};
use ota_tests::job::{Job, Kind, Order, Route, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::Service;
use ota_tests::setup::Setup;
use ota_tests::verifier::Signer;

use broker::{KEEP_ALIVE_S, Line};
use server::Server;

const IMAGE_BYTES: u32 = 50_000;
/// More turns of the pump than an update takes in which it waits for something each time.
const TURNS_MAX: u32 = 500;
/// How long a device is waited for, at most.
const PATIENCE_S: u64 = 60;

#[derive(Clone, Default)]
struct App {
    disconnections: Rc<RefCell<Vec<String>>>,
    /// With which state of the connection the verdict was asked for; none is given while this is a list.
    asked: Option<Rc<RefCell<Vec<bool>>>>,
    progress: Rc<RefCell<Vec<Progress>>>,
    custom: Rc<RefCell<Vec<String>>>,
    /// Its topic, and the messages that it publishes and receives there.
    topic: Option<&'static str>,
    filters_max: usize,
    rejected: Rc<RefCell<Vec<String>>>,
    /// Whether it always has a message.
    endless: Option<QoS>,
    notices: Rc<RefCell<Vec<Notice>>>,
    outbox: Rc<RefCell<VecDeque<&'static str>>>,
    inbox: Rc<RefCell<Vec<String>>>,
    /// Whether it postpones the reset, and activates the image in the handler of the notice of that.
    waits_for_reset: Rc<Cell<bool>>,
    /// The command that it gives once so many bytes are in flash.
    command_after: Rc<Cell<Option<(u32, Command)>>>,
    /// How often the pump waited.
    turns: Rc<Cell<u32>>,
}

impl Application for App {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        match &self.asked {
            Some(asked) => asked.borrow_mut().push(connected),
            None if connected => return SelfTest::Passed,
            None => {}
        }
        SelfTest::Running
    }

    fn consent(&mut self, step: Step, _forced: bool) -> Consent {
        match (self.waits_for_reset.get(), step) {
            (true, Step::Reset) => Consent::Later { ms: u32::MAX, why: WhyLater::Application },
            _ => Consent::Now,
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        self.notices.borrow_mut().push(notice);
        if matches!(notice, Notice::Postponed(Step::Reset, _)) {
            self.command_after.set(Some((0, Command::Activate)));
        }
    }

    async fn command(&mut self) -> Command {
        self.turns.set(self.turns.get() + 1);
        let done_bytes = self.progress.borrow().last().map_or(0, |progress| progress.done_bytes);
        match self.command_after.get() {
            Some((bytes, command)) if done_bytes >= bytes => {
                self.command_after.set(None);
                command
            }
            _ => pending().await,
        }
    }

    fn filter(&self, index: usize) -> Option<&str> {
        self.topic.filter(|_| index < self.filters_max.max(1))
    }

    fn on_filter_rejected(&mut self, why: &dyn core::fmt::Debug) {
        self.rejected.borrow_mut().push(format!("{why:?}"));
    }

    fn message(&mut self) -> Option<Outgoing<'_>> {
        if let Some(qos) = self.endless {
            return Some(Outgoing { topic: self.topic?, payload: b"again", qos, retain: false });
        }
        let payload = self.outbox.borrow_mut().pop_front()?.as_bytes();
        Some(Outgoing { topic: self.topic?, payload, qos: QoS::AtLeastOnce, retain: false })
    }

    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        self.inbox.borrow_mut().push(format!("{topic} {}", String::from_utf8_lossy(payload)));
    }

    fn on_progress(&mut self, progress: Progress) {
        self.progress.borrow_mut().push(progress);
    }

    fn on_custom_job(&mut self, job: &JobId, _document: &[u8]) {
        self.custom.borrow_mut().push(job.to_string());
    }

    fn on_disconnected(&mut self, why: &dyn core::fmt::Debug) {
        self.disconnections.borrow_mut().push(format!("{why:?}"));
    }
}

struct Bench {
    device: Device,
    service: Rc<RefCell<Service>>,
    job: Job,
    app: App,
}

impl Bench {
    fn new(route: Route) -> Self {
        let (mut rng, signer) = (Rng::new(1), Rc::new(Signer::new("ours", true)));
        let config = AgentConfig::new("thing").expect("a plain name");
        let setup = Setup { config, slot_sectors: 16, ..Setup::new(1) };
        let device = Device::new(&setup, signer.clone(), &mut rng);
        let order = Order {
            id: "job".into(),
            kind: Kind::Good,
            route,
            patch: 2,
            image_bytes: IMAGE_BYTES,
            asks: RollbackCounters::default(),
            component: ota_pal::Component::App,
            by_next_key: false,
        };
        let (job, mut service) = (job(&order, &signer, &mut rng), Service::new("thing", Rng::new(2)));
        service.create(job.clone(), 0);
        Self { device, service: Rc::new(RefCell::new(service)), job, app: App::default() }
    }

    fn status(&self) -> Status {
        self.service.borrow().entries[0].status
    }

    /// Runs the program that the boot selector starts, until it resets the device or the job is over. Returns the slot.
    fn run(&self, line: &mut Line, http: impl HttpSource) -> SlotId {
        self.run_with(async |agent| pump::run_with_http(agent, line, http).await)
    }

    /// As [`Bench::run`], without HTTP.
    fn run_over_mqtt(&self, line: &mut Line) -> SlotId {
        self.run_with(async |agent| pump::run(agent, line).await)
    }

    fn run_with(&self, drive: impl AsyncFnOnce(&mut Agent<'_, Board<PlainView>, App>)) -> SlotId {
        self.run_application(self.app.clone(), drive)
    }

    /// As [`Bench::run`], with another application.
    fn run_application<A: Application>(
        &self,
        application: A,
        drive: impl AsyncFnOnce(&mut Agent<'_, Board<PlainView>, A>),
    ) -> SlotId {
        let mut url = [0; 2_048];
        let (slot, mut agent) = self.boot(application, &mut url, pump::now());
        let over = poll_fn(|_| if self.status().is_terminal() { Poll::Ready(()) } else { Poll::Pending });
        let (driven, patience) = (drive(&mut agent), Timer::after_secs(PATIENCE_S));
        let ended = block_on(select3(driven, over, patience));
        assert!(!matches!(ended, Either3::Third(())), "the device waits for ever");
        assert!(matches!(ended, Either3::Second(())) || agent.is_reset(), "the pump returned before a reset");
        slot
    }

    /// Starts the agent of the program that the boot selector starts; returns its slot, too.
    fn boot<'u, A: Application>(
        &self,
        application: A,
        url: &'u mut [u8],
        now: Instant,
    ) -> (SlotId, Agent<'u, Board<PlainView>, A>) {
        let boot = self.device.boot().expect("the power stays").expect("there is an image");
        let platform = self.device.platform(View(self.device.nor.clone()), boot.slot, 0);
        let start = Agent::start(platform, application, self.device.config.clone(), url, Start { seed: 1, now });
        let agent = poll_ready(start).expect("memory never waits").expect("the device reads its own flash");
        (boot.slot, agent)
    }

    fn server(&self, piece: usize) -> Server {
        Server { file: self.job.file.clone(), piece, requests: Rc::default(), cut_at: None, record: None }
    }
}

const HOSTS: AllowedHosts<'_> = AllowedHosts { names: &["bucket.example"], plain: false };

#[test]
fn an_image_arrives_over_mqtt_and_is_confirmed_by_the_image_itself() {
    let bench = Bench::new(Route::Mqtt);
    let mut line = Line { refusals: 1, ends_after: Some(4), ..Line::new(&bench.service) };
    assert_eq!(bench.run(&mut line, NoHttp), SlotId::A);
    assert_eq!(line.filters.len(), 6);
    assert!(line.filters.contains(&String::from("$aws/things/thing/jobs/notify-next")));
    let at_most_once = line.filters.iter().filter(|filter| QoS::of_subscription(filter) == QoS::AtMostOnce);
    assert_eq!(at_most_once.collect::<Vec<_>>(), ["$aws/things/thing/streams/+/data/cbor"]);
    assert!(line.published.contains(&QoS::AtMostOnce) && line.published.contains(&QoS::AtLeastOnce));
    assert_eq!(*bench.app.disconnections.borrow(), ["\"refused\"", "\"ended\""]);
    assert_eq!(bench.run_over_mqtt(&mut Line::new(&bench.service)), SlotId::B);
    assert_eq!((bench.status(), bench.device.record().confirmed), (Status::Succeeded, SlotId::B));
}

/// The device itself goes on sending, so the keep-alive of MQTT detects nothing.
#[test]
fn a_connection_on_which_nothing_comes_back_is_given_up_and_the_job_goes_on() {
    for (dies_after, stalls) in [(1, false), (2, true), (3, false)] {
        let bench = Bench::new(Route::Mqtt);
        let mut line = Line { dies_after: Some(dies_after), stalls, ..Line::new(&bench.service) };
        assert_eq!(bench.run(&mut line, NoHttp), SlotId::A);
        assert_eq!(*bench.app.disconnections.borrow(), ["TimeoutError"], "message {dies_after}");
        assert_eq!((line.connections, bench.device.record().confirmed), (2, SlotId::A));
        let turns = bench.app.turns.get();
        assert!(turns < TURNS_MAX, "message {dies_after}: {turns} turns");
        assert_eq!(bench.run_over_mqtt(&mut Line::new(&bench.service)), SlotId::B);
        assert_eq!(bench.status(), Status::Succeeded, "message {dies_after}");
    }
}

#[test]
fn a_connection_whose_broker_acknowledges_is_kept_however_long_no_block_arrives() {
    let bench = Bench::new(Route::Mqtt);
    let no_blocks_for = Some(Duration::from_secs(8 * u64::from(KEEP_ALIVE_S)));
    let mut line = Line { no_blocks_for, ..Line::new(&bench.service) };
    assert_eq!(bench.run(&mut line, NoHttp), SlotId::A);
    assert_eq!((line.connections, bench.app.disconnections.borrow().len()), (1, 0));
    assert!(line.assured_requests > 0, "the broker acknowledges no request for blocks");
}

#[test]
fn a_connection_on_which_a_block_takes_longer_than_the_keep_alive_is_kept() {
    let bench = Bench::new(Route::Mqtt);
    let mut line = Line { blocks_before_slow: Some(3), ..Line::new(&bench.service) };
    assert_eq!(bench.run(&mut line, NoHttp), SlotId::A);
    assert_eq!((line.connections, bench.app.disconnections.borrow().len()), (1, 0));
    // After the first silence the agent waits for longer ones.
    assert!(line.premature_requests <= 1, "{} requests while a block is on its way", line.premature_requests);
}

/// More messages than arrive while a response is waited for twice.
const OTHER_MESSAGES_MAX: u32 = 16;

#[test]
fn lost_blocks_are_requested_again_although_messages_of_the_application_arrive_all_the_time() {
    let bench = Bench::new(Route::Mqtt);
    let mut line = Line { is_busy: true, ..Line::new(&bench.service) };
    assert_eq!(bench.run(&mut line, NoHttp), SlotId::A);
    assert!(line.lost_blocks > 0 && line.other_messages > 0);
    assert!(line.other_messages <= OTHER_MESSAGES_MAX, "{} messages", line.other_messages);
}

#[test]
fn an_image_arrives_over_http_in_pieces_and_continues_after_a_connection_that_ended() {
    let bench = Bench::new(Route::Http);
    let server = Server { cut_at: Some(20_000), ..bench.server(1_000) };
    let (requests, mut buffer, activity) = (server.requests.clone(), [0; 4_096], Activity::default());
    let mut line = Line::new(&bench.service);
    assert_eq!(bench.run(&mut line, HttpClient::new(server, HOSTS, &mut buffer, &activity)), SlotId::A);
    let url = Url::parse(&bench.job.url).expect("a URL");
    let request = |from| {
        (
            url.host.to_owned(),
            443,
            true,
            format!("GET {} HTTP/1.1\r\nHost: {}\r\nRange: bytes={from}-", url.target, url.host),
        )
    };
    let heads = requests.borrow();
    let heads = heads.iter().map(|(host, port, tls, head)| {
        let lines: Vec<&str> = head.split("\r\n").take(3).collect();
        (host.clone(), *port, *tls, lines.join("\r\n"))
    });
    let expected = [request(0), request(16_384)];
    assert_eq!(heads.collect::<Vec<_>>(), expected, "four whole blocks of 4,096 bytes arrived first");
    assert_eq!(bench.run(&mut Line::new(&bench.service), NoHttp), SlotId::B);
    assert_eq!(bench.status(), Status::Succeeded);
}

#[test]
fn a_body_whose_record_takes_longer_than_the_timeout_is_read_on() {
    let bench = Bench::new(Route::Http);
    let server = Server { record: Some((Duration::from_secs(12), 4)), ..bench.server(1_000) };
    let (requests, mut buffer, activity) = (server.requests.clone(), [0; 4_096], Activity::default());
    bench.run(&mut Line::new(&bench.service), HttpClient::new(server, HOSTS, &mut buffer, &activity));
    assert_eq!(requests.borrow().len(), 1);
}

#[test]
fn a_wait_is_for_silence_and_six_times_as_long_at_most() {
    let (activity, limit) = (Activity::default(), Duration::from_millis(600));
    let arrive = async |parts| {
        for _ in 0..parts {
            Timer::after(limit / 2).await;
            activity.note();
        }
    };
    assert_eq!(block_on(activity.until_silent(limit, pin!(arrive(5)))), Ok(()));
    assert!(block_on(activity.until_silent(limit, pin!(arrive(u32::MAX)))).is_err());
    assert!(block_on(activity.until_silent(limit, pin!(pending::<()>()))).is_err());
}

#[test]
fn without_http_a_job_that_is_only_there_fails_by_name() {
    let bench = Bench::new(Route::Http);
    bench.run(&mut Line::new(&bench.service), NoHttp);
    let service = bench.service.borrow();
    assert_eq!(service.entries[0].status, Status::Rejected);
    let reason = service.entries[0].detail("reason").expect("a reason");
    assert!(reason.contains("url") || reason.contains("Url"), "{reason}");

    let range = Range { from_bytes: 0, image_bytes: 1, block_bytes: 1 };
    let refused = Err(Reason::UrlNotAllowed);
    assert_eq!(NoHttp.set_url(b""), refused);
    assert!(matches!(poll_ready(NoHttp.open(range)), Some(Err(Reason::UrlNotAllowed))));
}

#[test]
fn limits_of_all_time_fit_the_clock() {
    let mut bench = Bench::new(Route::Mqtt);
    for limit in [u64::MAX, i64::MAX as u64] {
        let config = &mut bench.device.config;
        (config.silence_ms_max, config.trial_ms_max, config.response_timeout_ms) = (limit, limit, limit);
        config.discovery = Discovery::Polled { every_ms: limit, jitter_ms: 0, polls_max: None };
        bench.run_over_mqtt(&mut Line::new(&bench.service));
        assert!(bench.app.turns.take() < TURNS_MAX, "the pump does not spin");
    }
    assert_eq!(bench.status(), Status::Succeeded);
}

/// Counts how often it is fed; needs it every 10 ms.
#[derive(Clone, Default)]
struct Counting(Rc<Cell<u32>>);

impl Watchdog for Counting {
    fn feed(&mut self) {
        self.0.set(self.0.get() + 1);
    }

    fn idle_ms(&self) -> Option<u32> {
        Some(10)
    }
}

/// How often the watchdog is fed at least until a silence, or the wait for the next connection, ends.
const FEEDS: u32 = 20;

#[test]
fn the_watchdog_is_fed_while_the_pump_waits_for_a_message_a_connection_or_a_broker_that_takes_or_answers_nothing() {
    for (what, refusals, dies_after, leaves) in [
        ("message", 0, None, false),
        ("connection", u32::MAX, None, false),
        ("publish", 0, Some(1), false),
        ("leave", 0, None, true),
    ] {
        let bench = Bench::new(Route::Mqtt);
        bench.service.borrow_mut().entries.clear();
        let keep_alive_s = 10 * KEEP_ALIVE_S;
        let new = Line::new(&bench.service);
        let mut line = Line { refusals, dies_after, stalls: true, keeps: leaves, keep_alive_s, ..new };
        let boot = bench.device.boot().expect("the power stays").expect("there is an image");
        let (watchdog, mut url) = (Counting::default(), [0; 64]);
        let flash: PlainView = View(bench.device.nor.clone());
        let platform = bench.device.platform(flash, boot.slot, 0).with_watchdog(watchdog.clone());
        let start = Start { seed: 1, now: pump::now() };
        let agent = Agent::start(platform, bench.app.clone(), bench.device.config.clone(), &mut url, start);
        let mut agent = poll_ready(agent).expect("memory never waits").expect("the device reads its own flash");
        let mut leaving = false;
        let enough = poll_fn(|_| {
            if leaves && !leaving && bench.app.notices.borrow().contains(&Notice::NoUpdate) {
                leaving = true;
                bench.app.command_after.set(Some((0, Command::Shutdown(Shutdown { unsubscribe: true }))));
                watchdog.0.set(0);
            }
            if watchdog.0.get() >= FEEDS && leaving == leaves { Poll::Ready(()) } else { Poll::Pending }
        });
        let ended = block_on(select3(pump::run(&mut agent, &mut line), enough, Timer::after_secs(PATIENCE_S)));
        let disconnections = bench.app.disconnections.borrow().len();
        assert!(matches!(ended, Either3::Second(())) && disconnections <= usize::from(refusals > 0), "{what}");
    }
}
