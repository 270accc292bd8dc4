//! A pump controller that no update disturbs while its pump runs: `cargo run --example hold`. A task of the application holds
//! updates, reads the agent's notices and gives it commands; a job waits until the pump has stopped.

use std::fs;

use clap::Parser;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex as Raw;
use embassy_sync::channel::Channel;
use embassy_time::Timer;
use minimq::{Buffers, ConfigBuilder};
use ota_agent::prelude::*;
use ota_cloud::serve::{Config as Setup, Service};
use ota_cloud::tool;
use ota_examples::bench::{Device, HARDWARE};
use ota_examples::connect::Network;
use ota_examples::device::Error;

/// What the parts of the application share. On a board it is a `static`, with a `CriticalSectionRawMutex`.
struct Shared {
    holds: Holds<Raw>,
    commands: Channel<Raw, Command, 4>,
    notices: Channel<Raw, Notice, 32>,
}

/// The part that the agent calls.
struct Controller<'s>(&'s Shared);

impl Application for Controller<'_> {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Passed
    }

    fn consent(&mut self, step: Step, _forced: bool) -> Consent {
        self.0.holds.consent(step)
    }

    async fn command(&mut self) -> Command {
        match select(self.0.holds.released(), self.0.commands.receive()).await {
            Either::First(command) | Either::Second(command) => command,
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        if self.0.notices.try_send(notice).is_err() {
            println!("a notice is lost: {notice:?}");
        }
    }

    fn on_statistics(&mut self, statistics: &Statistics) {
        println!("{statistics:?}");
    }
}

/// The other part: runs the pump, prints the notices until the device is about to reset.
async fn operate(shared: &Shared) {
    let mut running = Some(shared.holds.hold("pump"));
    loop {
        let notice = shared.notices.receive().await;
        println!("{notice:?}");
        match notice {
            Notice::Postponed(..) => {
                println!("waits for the {}", shared.holds.held_by().unwrap_or("next time"));
                Timer::after_secs(1).await; // the pump stops by itself
                running = None;
            }
            Notice::DownloadStarted { .. } => assert!(running.is_none(), "no update starts while the pump runs"),
            Notice::DownloadSucceeded => shared.commands.send(Command::Statistics).await,
            Notice::Activated => return,
            _ => {}
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Error> {
    let device = Device::new("hold")?;
    let service = Service::start(Setup::local(device.folder())).await?;
    device.install("1.0.0")?;
    create_job(&device, &service.http.to_string())?;

    let shared = Shared { holds: Holds::new(), commands: Channel::new(), notices: Channel::new() };
    let config = AgentConfig::new("kitchen").map_err(|error| format!("{error:?}"))?;
    let start = Start { seed: ota_examples::lines::now_ms(), now: pump::now() };
    let agent = Agent::start(device.platform(device.boot()?)?, Controller(&shared), config, &mut [], start).await;
    let mut agent = agent.map_err(|error| format!("{error:?}"))?;
    let (host, port) = service.mqtt.rsplit_once(':').ok_or("an address without a port")?;
    let (mut receive, mut send) = ([0; 4096 + 512], [0; 2048]);
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen")?;
    let mut broker = Minimq::new(session, 30, Network::plain(), host, port.parse()?).without_tls();
    tokio::select! {
        () = pump::run(&mut agent, &mut broker) => {}
        () = operate(&shared) => {}
    }
    println!("version {} starts next", device.version(device.boot()?)?);
    service.stop().await;
    Ok(())
}

/// Signs an image of version 2.0.0, and creates a job with it.
fn create_job(device: &Device, http: &str) -> Result<(), Error> {
    let (key, token) =
        (device.private_key()?.display().to_string(), device.folder().join("token").display().to_string());
    let [program, image] = ["program", "v2.img"].map(|name| device.folder().join(name).display().to_string());
    fs::write(&program, b"what the board runs")?;
    let server = format!("http://{http}");
    let sign = ["ota", "sign", "--key", &key, "--version", "2.0.0", "--hardware", HARDWARE, &program, &image];
    let to = ["ota", "--server", &server, "--token-file", &token];
    let create = [&to[..], &["job", "create", "--thing", "kitchen", "--image", &image]].concat();
    for words in [&sign[..], &create] {
        let arguments = tool::Arguments::try_parse_from(words)?;
        tokio::task::block_in_place(|| tool::run(arguments)).map_err(|failed| failed.to_string())?;
    }
    Ok(())
}
