//! The application: publishes its readings, takes commands from a topic, and decides when an update may disturb.

use core::fmt::{Debug, Write};
use core::task::Poll;

use embassy_futures::select::{Either3, select3};
use embassy_sync::blocking_mutex::raw::NoopRawMutex as Raw;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer};
use heapless::String;
use ota_agent::blocking::prelude::*;
use ota_agent::{Direction, Progress};

use crate::tick::Gap;

/// How often a reading is published.
const READING_INTERVAL: Duration = Duration::from_secs(2);
const TOPIC_BYTES_MAX: usize = 160;
const READING_BYTES_MAX: usize = 64;
/// A line of the console for each percent of a download would take longer than the download.
const PROGRESS_STEP_PERCENT: u64 = 10;

/// How the self-test of a build ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The image is confirmed once the service is reached.
    Pass,
    /// It is not confirmed.
    Fail,
    /// It never ends, with interrupts off: only the watchdog ends it.
    Hang,
}

/// What the parts of the application share.
#[derive(Default)]
pub struct Shared {
    /// Updates wait while there is a hold.
    pub holds: Holds<Raw>,
    /// The delay of the tick.
    pub gap: Gap,
    /// A command of the topic that the agent executes.
    command: Signal<Raw, Command>,
    /// Whether the pump is to run.
    pub pump: Signal<Raw, bool>,
}

/// The part of the application that the agent calls.
pub struct Controller<'s> {
    shared: &'s Shared,
    verdict: Verdict,
    commands: String<TOPIC_BYTES_MAX>,
    readings: String<TOPIC_BYTES_MAX>,
    reading: String<READING_BYTES_MAX>,
    is_reading_due: bool,
    next_reading: Instant,
    printed_step: Option<u64>,
    /// Whether the delay of the tick is that of an update.
    is_measuring: bool,
    deepest_stack_bytes: fn() -> u32,
}

impl<'s> Controller<'s> {
    /// The controller of `thing`; `None` if the name is too long.
    pub fn new(shared: &'s Shared, thing: &str, verdict: Verdict, deepest_stack_bytes: fn() -> u32) -> Option<Self> {
        let topic = |name: &str| {
            let mut topic = String::new();
            write!(topic, "{name}/{thing}").ok()?;
            Some(topic)
        };
        Some(Self {
            shared,
            verdict,
            commands: topic("commands")?,
            readings: topic("readings")?,
            reading: String::new(),
            is_reading_due: false,
            next_reading: Instant::now(),
            printed_step: None,
            is_measuring: false,
            deepest_stack_bytes,
        })
    }

    /// Executes a command of the topic.
    fn order(&mut self, payload: &[u8]) {
        match payload {
            b"pump on" => self.shared.pump.signal(true),
            b"pump off" => self.shared.pump.signal(false),
            b"factory reset" => self.shared.command.signal(Command::FactoryReset),
            b"roll back" => self.shared.command.signal(Command::RollBack),
            _ => print("notice", "", format_args!("unknown command")),
        }
    }
}

impl Application for Controller<'_> {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        match self.verdict {
            Verdict::Pass if connected => SelfTest::Passed,
            Verdict::Fail if connected => SelfTest::Failed,
            Verdict::Pass | Verdict::Fail => SelfTest::Running,
            Verdict::Hang => hang(),
        }
    }

    fn consent(&mut self, step: Step, forced: bool) -> Consent {
        if forced { Consent::Now } else { self.shared.holds.consent(step) }
    }

    fn prepare_for_reset(&mut self) -> Poll<()> {
        // The pump may have started since the consent.
        if self.shared.holds.held_by().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    async fn command(&mut self) -> Command {
        let reading = Timer::at(self.next_reading);
        match select3(self.shared.holds.released(), self.shared.command.wait(), reading).await {
            Either3::First(command) | Either3::Second(command) => command,
            Either3::Third(()) => {
                self.next_reading = Instant::now() + READING_INTERVAL;
                self.is_reading_due = true;
                Command::Publish
            }
        }
    }

    fn on_command(&mut self, command: Command, result: Result<(), CommandRefused>) {
        if command != Command::Publish {
            print("notice", "", format_args!("{command:?}: {result:?}"));
        }
    }

    fn filter(&self, index: usize) -> Option<&str> {
        (index == 0).then_some(&self.commands)
    }

    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        if topic == self.commands {
            self.order(payload);
        }
    }

    fn message(&mut self) -> Option<Outgoing<'_>> {
        if !core::mem::take(&mut self.is_reading_due) {
            return None;
        }
        self.reading.clear();
        write!(self.reading, "{{\"uptime_ms\":{}}}", Instant::now().as_millis()).ok()?;
        let (topic, payload) = (&self.readings, self.reading.as_bytes());
        Some(Outgoing { topic, payload, qos: QoS::AtMostOnce, retain: false })
    }

    fn on_notice(&mut self, notice: Notice) {
        print("notice", "", format_args!("{notice:?}"));
        match notice {
            Notice::DownloadStarted { .. } => {
                self.is_measuring = true;
                self.shared.gap.reset();
            }
            Notice::Activated | Notice::Concluded(_) if self.is_measuring => {
                self.is_measuring = false;
                print("notice", "", format_args!("tick: at most {} us apart", self.shared.gap.longest_us()));
                print("notice", "", format_args!("stack: at most {} bytes", (self.deepest_stack_bytes)()));
            }
            _ => {}
        }
    }

    fn on_progress(&mut self, progress: Progress) {
        let percent = u64::from(progress.done_bytes) * 100 / u64::from(progress.total_bytes);
        let step = percent / PROGRESS_STEP_PERCENT;
        if self.printed_step.replace(step) != Some(step) {
            let Progress { done_bytes, total_bytes, rate_bytes_per_s, .. } = progress;
            print("progress", "", format_args!("{done_bytes} {total_bytes} {rate_bytes_per_s} ?"));
        }
    }

    fn on_disconnected(&mut self, why: &dyn Debug) {
        print("notice", "", format_args!("disconnected: {why:?}"));
    }

    fn on_traffic(&mut self, direction: Direction, topic: &str, payload: &[u8]) {
        if topic.contains("/streams/") {
            return; // a line for each block would hide all others
        }
        let kind = match direction {
            Direction::Out => "out",
            Direction::In => "in",
        };
        print(kind, topic, format_args!("{}", core::str::from_utf8(payload).unwrap_or("not text")));
    }
}

/// A self-test that never ends, as in a program with a fault.
fn hang() -> ! {
    critical_section::with(|_| {
        loop {
            core::hint::spin_loop();
        }
    })
}

/// Prints a line of the console.
pub fn print(kind: &str, topic: &str, text: core::fmt::Arguments<'_>) {
    log::info!(target: kind, "{topic}\t{text}");
}
