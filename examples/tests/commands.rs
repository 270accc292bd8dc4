//! The pump has the agent for good; the application's commands reach it all the same, with a connection and without one.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use ota_agent::Instant;
use ota_agent::prelude::*;
use ota_agent::transport::{Broker, Inbound, Mqtt, QoS};
use ota_examples::device::Error;
use ota_examples::rig::Device;
use ota_jobs::JobId;
use ota_pal::{SlotId, Version};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;

/// Far longer than it takes.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

type Message = (&'static str, &'static str);

/// A job of a cloud's own kind, which has every device erase a version.
const RECALL: Message = (
    "$aws/things/kitchen/jobs/notify-next",
    r#"{"timestamp":1,"execution":{"jobId":"recall","status":"QUEUED","queuedAt":1,"lastUpdatedAt":1,"versionNumber":1,
        "executionNumber":1,"jobDocument":{"erase":"1.0.0"}}}"#,
);

/// An application that commands what it was told to, and what jobs ask for, and tells how that went.
struct Commander {
    commands: VecDeque<Command>,
    told: UnboundedSender<Notice>,
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
            self.told.send(notice).expect("the test listens");
        }
    }

    fn on_custom_job(&mut self, _job: &JobId, document: &[u8]) {
        let version = document.strip_prefix(br#"{"erase":""#).and_then(|rest| rest.strip_suffix(br#""}"#));
        let version: Option<Version> = version.and_then(|version| str::from_utf8(version).ok()?.parse().ok());
        self.commands.extend(version.map(Command::EraseImages));
    }
}

/// A broker that delivers these messages, to a device that may send what it likes.
struct Inbox(Vec<Message>);

impl Broker for Inbox {
    type Connection<'c> = &'c mut Self;
    type Error = &'static str;

    async fn connect(&mut self) -> Result<&mut Self, &'static str> {
        if self.0.is_empty() { Err("nobody there") } else { Ok(self) }
    }
}

impl Mqtt for &mut Inbox {
    type Error = &'static str;

    async fn subscribe(&mut self, _filters: &[&str]) -> Result<(), &'static str> {
        Ok(())
    }

    async fn publish(&mut self, _topic: &str, _payload: &[u8], _qos: QoS) -> Result<(), &'static str> {
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Inbound<'_>>, &'static str> {
        match self.0.pop() {
            Some((topic, payload)) => Ok(Some(Inbound { topic, payload: payload.as_bytes() })),
            None => pending().await,
        }
    }
}

/// Runs a device whose version 2.0.0 came after 1.0.0, until it tells how a command went; that, and what would run next.
async fn told(name: &str, messages: Vec<Message>, commands: &[Command]) -> Result<(Notice, String), Error> {
    let device = Device::new(name)?;
    device.install("1.0.0")?;
    device.activate("2.0.0")?;
    let slot = device.boot()?;
    let (told, mut outcome) = unbounded_channel();
    let application = Commander { commands: commands.iter().copied().collect(), told };
    let config = AgentConfig::new("kitchen").expect("a plain name");
    let start = Start { seed: 1, now: Instant::from_ms(0) };
    let agent = Agent::start(device.platform(slot)?, application, config, &mut [], start).await;
    let mut agent = agent.map_err(|error| format!("{error:?}"))?;
    let mut broker = Inbox(messages);
    let notice = tokio::select! {
        () = pump::run(&mut agent, &mut broker, NoHttp) => Err("reset, and nothing told"),
        () = sleep(TOLD_WITHIN) => Err("nothing told"),
        notice = outcome.recv() => notice.ok_or("the application is gone"),
    };
    Ok((notice?, device.version(device.boot()?)?))
}

#[tokio::test]
async fn without_a_connection_a_command_is_obeyed() -> Result<(), Error> {
    let (notice, runs) = told("offline", Vec::new(), &[Command::RollBack]).await?;
    assert_eq!((notice, runs.as_str()), (Notice::RolledBack { to: SlotId::A.number() }, "1.0.0"));
    Ok(())
}

#[tokio::test]
async fn a_job_of_the_clouds_own_kind_has_a_stored_version_erased() -> Result<(), Error> {
    let (notice, runs) = told("recall", vec![RECALL], &[]).await?;
    assert_eq!((notice, runs.as_str()), (Notice::ImageErased((1, 0, 0)), "2.0.0"));
    Ok(())
}
