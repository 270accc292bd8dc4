//! The whole agent over a flash, a clock and a network that exist only as addresses: nothing but the agent and what it needs
//! is linked. Never run.
#![no_std]
#![no_main]

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embassy_time_driver::Driver;
use embedded_io_async::{ErrorType, Read, Write};
use minimq::{Buffers, ConfigBuilder, Session};
use ota_agent::machine::Machine;
use ota_agent::blocking::prelude::*;
use ota_agent::transport::{Observed, QoS};
use ota_agent::{CommandRefused, Discovery, Outgoing, Shutdown, Statistics};
use ota_pal::blocking::{Native, OwnSelector};
use ota_pal::{Blocking, Component, Digest, Geometry, HardwareId, Key, KeySet, Layout, NoWatchdog, Reset, SlotId, Version, VersionRule};
use size::{Flash, read_device, write_device};

const LAYOUT: Layout = match Layout::split(Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 0x10_0000 }) {
    Ok(layout) => layout,
    Err(_) => panic!("a const layout is checked by the compiler"),
};

struct Clock;
embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

impl Driver for Clock {
    fn now(&self) -> u64 {
        let mut bytes = [0; 8];
        read_device(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn schedule_wake(&self, at: u64, _waker: &Waker) {
        write_device(&at.to_le_bytes());
    }
}

/// Waits until the device is ready. Without it the compiler would find that nothing ever waits, and leave code out.
async fn ready() -> u8 {
    let poll = |_: &mut Context<'_>| {
        let mut state = [0];
        read_device(&mut state);
        if state[0] == 0 { Poll::Pending } else { Poll::Ready(state[0]) }
    };
    poll_fn(poll).await
}

struct Wire;

impl ErrorType for Wire {
    type Error = embedded_io_async::ErrorKind;
}

impl Read for Wire {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let len = bytes.len().min(ready().await.into());
        read_device(&mut bytes[..len]);
        Ok(len)
    }
}

impl Write for Wire {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let len = bytes.len().min(ready().await.into());
        write_device(&bytes[..len]);
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        if ready().await == 1 { Ok(()) } else { Err(embedded_io_async::ErrorKind::Other) }
    }
}

struct Network;

impl Connector for Network {
    type Stream<'a> = Observed<'a, Wire>;
    type Error = ();

    async fn connect<'a>(
        &'a mut self,
        host: &str,
        port: u16,
        tls: bool,
        activity: &'a Activity,
    ) -> Result<Observed<'a, Wire>, ()> {
        write_device(host.as_bytes());
        write_device(&[port as u8, tls as u8]);
        if ready().await == 1 { Ok(activity.observe(Wire)) } else { Err(()) }
    }
}

struct Board;

impl Reset for Board {
    fn reset(&mut self) {
        write_device(&[1]);
    }
}

impl Application for Board {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        if connected { SelfTest::Passed } else { SelfTest::Running }
    }

    fn consent(&mut self, step: Step, forced: bool) -> Consent {
        if forced {
            return Consent::Now;
        }
        let mut answer = [0; 4];
        write_device(&[matches!(step, Step::Reset).into()]);
        read_device(&mut answer);
        match u32::from_le_bytes(answer) {
            0 => Consent::Now,
            u32::MAX => Consent::Refused,
            ms => Consent::Later { ms, why: WhyLater::Held },
        }
    }

    fn prepare_for_reset(&mut self) -> Poll<()> {
        let mut prepared = [0];
        read_device(&mut prepared);
        if prepared == [0] { Poll::Pending } else { Poll::Ready(()) }
    }

    fn on_command(&mut self, _command: Command, result: Result<(), CommandRefused>) {
        write_device(&[result.is_ok().into()]);
    }

    fn on_statistics(&mut self, statistics: &Statistics) {
        write_device(&statistics.blocks_received.to_le_bytes());
    }

    fn filter(&self, _index: usize) -> Option<&str> {
        Board::topic()
    }

    fn message(&mut self) -> Option<Outgoing<'_>> {
        Some(Outgoing { topic: Board::topic()?, payload: b"on", qos: QoS::AtLeastOnce, retain: false })
    }

    fn update(&mut self) -> Option<Update<'_>> {
        let url = Board::topic()?;
        let mut digest = [0; 32];
        read_device(&mut digest);
        let version = Version { major: digest[0].into(), minor: 0, patch: 0 };
        Some(Update::Image { url, image_bytes: 100_000, version, digest: Digest(digest) })
    }

    async fn command(&mut self) -> Command {
        match ready().await {
            1 => Command::Abort,
            2 => Command::RollBack,
            3 => Command::FactoryReset,
            4 => Command::Check,
            5 => Command::Ask,
            6 => Command::Download,
            7 => Command::Activate,
            8 => Command::Suspend,
            9 => Command::Resume,
            10 => Command::Accept,
            11 => Command::Reject,
            12 => Command::Discover(Discovery::OnDemand),
            13 => Command::Discover(Discovery::Polled { every_ms: 60_000, jitter_ms: 1_000, polls_max: Some(3) }),
            14 => Command::Statistics,
            15 => Command::Publish,
            16 => Command::Shutdown(Shutdown { unsubscribe: true }),
            17 => Command::Shutdown(Shutdown { unsubscribe: false }),
            18 => Command::Update,
            major => Command::EraseImages(Version { major: major.into(), minor: 0, patch: 0 }),
        }
    }
}

impl Board {
    fn topic() -> Option<&'static str> {
        let mut state = [0];
        read_device(&mut state);
        (state[0] != 0).then_some("board")
    }
}

type Platform = Native<Blocking<Flash>, KeySet<2>, Board>;

fn platform() -> Option<Platform> {
    let config = ota_pal::DeviceConfig {
        layout: LAYOUT,
        hardware: HardwareId::new("board").ok()?,
        component: Component::App,
        version_rule: VersionRule::Newer,
        security_counter_min: 0,
        key_epoch: 0,
        system_version: ota_pal::Version::default(),
        trial_attempts: 3,
    };
    let mut keys = KeySet::new();
    let mut point = [0; 65];
    read_device(&mut point);
    keys.add(Key::new("release", &point).ok()?).ok()?;
    let selector = OwnSelector::new(&config.layout, SlotId::A);
    Native::from_parts(Blocking(Flash), keys, Board, NoWatchdog, config, selector).ok()
}

async fn device(buffers: &mut [[u8; 4608]; 4]) -> Option<()> {
    let [url, receive, send, block] = buffers;
    let start = Start { seed: 1, now: pump::now() };
    let mut agent = Agent::start(platform()?, Board, AgentConfig::new("board").ok()?, url, start).ok()?;
    let session = ConfigBuilder::new(Buffers::new(receive, send)).client_id("board").ok()?;
    let mut broker = Minimq::new(session, 60, Network, "broker", 8883);
    let (hosts, activity) = (AllowedHosts { names: &["images"], plain: false }, Activity::default());
    pump::run_with_http(&mut agent, &mut broker, HttpClient::new(Network, hosts, block, &activity)).await;
    Some(())
}

const fn future_bytes<'a, F: Future>(_: &impl Fn(&'a mut [[u8; 4608]; 4]) -> F) -> usize {
    size_of::<F>()
}

/// Read by the host from the symbols' bytes.
#[used]
#[unsafe(no_mangle)]
static MACHINE_BYTES: usize = size_of::<Machine>();
/// The agent and all that it awaits, the MQTT session included, the caller's buffers not.
#[used]
#[unsafe(no_mangle)]
static FUTURE_BYTES: usize = future_bytes(&device);
#[used]
#[unsafe(no_mangle)]
static SESSION_BYTES: usize = size_of::<Session<'static>>();
#[used]
#[unsafe(no_mangle)]
static PLATFORM_BYTES: usize = size_of::<Platform>();

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut buffers = [[0; 4608]; 4];
    let mut device = pin!(device(&mut buffers));
    let mut context = Context::from_waker(Waker::noop());
    while device.as_mut().poll(&mut context) == Poll::Pending {}
    loop {
        write_device(&[0]);
    }
}
