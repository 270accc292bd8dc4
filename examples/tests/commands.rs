//! The pump owns the agent; commands of the application are executed all the same, with and without a connection.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use ota_agent::Instant;
use ota_agent::prelude::*;
use ota_agent::transport::{Activity, Broker, Inbound, Mqtt, QoS};
use ota_examples::bench::Device;
use ota_examples::device::Error;
use ota_jobs::JobId;
use ota_pal::{SlotId, Version};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;

/// Timeout, much longer than needed.
const TIMEOUT: Duration = Duration::from_secs(20);

type Message = (&'static str, &'static str);

/// A custom job that makes every device erase a version.
const RECALL: Message = (
    "$aws/things/kitchen/jobs/notify-next",
    r#"{"timestamp":1,"execution":{"jobId":"recall","status":"QUEUED","queuedAt":1,"lastUpdatedAt":1,"versionNumber":1,
        "executionNumber":1,"jobDocument":{"erase":"1.0.0"}}}"#,
);

/// An application that issues the configured commands and those of custom jobs, and sends the resulting notices.
struct Commander {
    commands: VecDeque<Command>,
    notices: UnboundedSender<Notice>,
}

impl Application for Commander {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Passed
    }

    async fn command(&mut self) -> Command {
        match self.commands.pop_front() {
            Some(command) => command,
            None => pending().await,
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        use Notice::{EraseFailed, ImageErased, RollbackFailed, RolledBack};
        if matches!(notice, EraseFailed(_) | ImageErased(_) | RollbackFailed(_) | RolledBack { .. }) {
            self.notices.send(notice).expect("the receiver exists");
        }
    }

    fn on_custom_job(&mut self, _job: &JobId, document: &[u8]) {
        let version = document.strip_prefix(br#"{"erase":""#).and_then(|rest| rest.strip_suffix(br#""}"#));
        let version: Option<Version> = version.and_then(|version| str::from_utf8(version).ok()?.parse().ok());
        self.commands.extend(version.map(Command::EraseImages));
    }
}

/// A broker that delivers these messages and discards what the device publishes.
struct Inbox(Vec<Message>);

impl Broker for Inbox {
    type Connection<'c> = &'c mut Self;
    type Error<'c> = &'static str;

    fn keep_alive_s(&self) -> u16 {
        0
    }

    async fn connect<'c>(&'c mut self, _activity: &'c Activity) -> Result<&'c mut Self, &'static str> {
        if self.0.is_empty() { Err("no broker") } else { Ok(self) }
    }
}

impl Mqtt for &mut Inbox {
    type Error = &'static str;

    async fn subscribe(&mut self, _filters: &[&str]) -> Result<(), &'static str> {
        Ok(())
    }

    async fn unsubscribe(&mut self, _filters: &[&str]) -> Result<(), &'static str> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), &'static str> {
        Ok(())
    }

    async fn publish(&mut self, _topic: &str, _payload: &[u8], _qos: QoS, _retain: bool) -> Result<(), &'static str> {
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, &'static str> {
        match self.0.pop() {
            Some((topic, payload)) => Ok(Some(Inbound { topic, payload: payload.as_bytes() })),
            None => pending().await,
        }
    }
}

/// Runs a device with version 2.0.0 after 1.0.0 until a command is executed; returns the notice and the version that boots next.
async fn notice_and_next_version(
    name: &str,
    messages: Vec<Message>,
    commands: &[Command],
) -> Result<(Notice, String), Error> {
    let device = Device::new(name)?;
    device.install("1.0.0")?;
    device.activate("2.0.0")?;
    let slot = device.boot()?;
    let (notices, mut outcome) = unbounded_channel();
    let application = Commander { commands: commands.iter().copied().collect(), notices };
    let config = AgentConfig::new("kitchen").expect("a plain name");
    let start = Start { seed: 1, now: Instant::from_ms(0) };
    let agent = Agent::start(device.platform(slot)?, application, config, &mut [], start).await;
    let mut agent = agent.map_err(|error| format!("{error:?}"))?;
    let mut broker = Inbox(messages);
    let notice = tokio::select! {
        biased; // the notice before the reset that it announces
        notice = outcome.recv() => notice.ok_or("the application was dropped"),
        () = pump::run(&mut agent, &mut broker) => outcome.try_recv().map_err(|_| "reset without a notice"),
        () = sleep(TIMEOUT) => Err("no notice in time"),
    };
    Ok((notice?, device.version(device.boot()?)?))
}

#[tokio::test]
async fn a_command_is_executed_without_a_connection() -> Result<(), Error> {
    let (notice, runs) = notice_and_next_version("offline", Vec::new(), &[Command::RollBack]).await?;
    assert_eq!((notice, runs.as_str()), (Notice::RolledBack { to: SlotId::A.number() }, "1.0.0"));
    Ok(())
}

#[tokio::test]
async fn a_custom_job_erases_a_stored_version() -> Result<(), Error> {
    let (notice, runs) = notice_and_next_version("recall", vec![RECALL], &[]).await?;
    assert_eq!((notice, runs.as_str()), (Notice::ImageErased((1, 0, 0)), "2.0.0"));
    Ok(())
}
