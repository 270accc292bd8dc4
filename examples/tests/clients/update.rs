//! A whole update of a device, from the real service: download, reset, self-test, report.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use ota_agent::machine::Outcome;
use ota_agent::prelude::*;
use ota_agent::transport::{Broker, HttpSource};
use ota_cloud::tool;
use ota_examples::bench::{Device, HARDWARE};
use ota_examples::device::Error;
use ota_pal::SlotId;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::brokers::service;

const THING: &str = "kitchen";
/// So small that the image has several blocks.
const BLOCK_BYTES: u32 = 1024;
const LIMIT: Duration = Duration::from_secs(60);

/// Accepts every image, and passes on how the job ended.
struct App(UnboundedSender<Outcome>);

impl Application for App {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        if connected { SelfTest::Passed } else { SelfTest::Running }
    }

    fn on_notice(&mut self, notice: Notice) {
        if let Notice::Concluded(outcome) = notice {
            let _ = self.0.send(outcome); // the receiver is dropped last
        }
    }
}

/// Updates a device over these clients; `protocol` is the only one that the job offers.
pub async fn update<B: Broker, H: HttpSource>(
    protocol: &str,
    adapter: fn(String, u16) -> B,
    client: fn() -> H,
) -> Result<(), Error> {
    let device = Device::new(&format!("clients-{protocol}-{}", std::any::type_name::<(B, H)>().len()))?;
    let (service, port) = service(device.folder()).await;
    device.install("1.0.0")?;
    create_job(device.folder(), &device.private_key()?, &service.http.to_string(), protocol)?;
    let (sender, mut outcomes) = unbounded_channel();
    for slot in [SlotId::A, SlotId::B] {
        assert_eq!(device.boot()?, slot);
        let config = AgentConfig::new(THING).and_then(|config| config.with_block_bytes(BLOCK_BYTES));
        let (start, mut url) = (Start { seed: 1, now: pump::now() }, [0; 2048]);
        let app = App(sender.clone());
        let agent = Agent::start(device.platform(slot)?, app, config.map_err(debug)?, &mut url, start).await;
        let (mut agent, mut broker) = (agent.map_err(debug)?, adapter(THING.into(), port));
        let run = pump::run_with_http(&mut agent, &mut broker, client());
        timeout(LIMIT, async {
            tokio::select! {
                () = run => assert_eq!(slot, SlotId::A, "the new image is reset"),
                outcome = outcomes.recv() => assert_eq!((slot, outcome), (SlotId::B, Some(Outcome::Succeeded))),
            }
        })
        .await?;
    }
    assert_eq!(device.version(device.boot()?)?, "2.0.0");
    service.stop().await;
    Ok(())
}

fn debug(error: impl std::fmt::Debug) -> Error {
    format!("{error:?}").into()
}

/// Signs an image of version 2.0.0, and creates a job with it.
fn create_job(folder: &Path, key: &Path, http: &str, protocol: &str) -> Result<(), Error> {
    let [program, image, token] = ["program", "v2.img", "token"].map(|name| folder.join(name).display().to_string());
    fs::write(&program, [0x5A; 9_000])?;
    let (key, server) = (key.display().to_string(), format!("http://{http}"));
    let sign = ["ota", "sign", "--key", &key, "--version", "2.0.0", "--hardware", HARDWARE, &program, &image];
    let to = ["ota", "--server", &server, "--token-file", &token];
    let job = ["job", "create", "--thing", THING, "--protocol", protocol, "--image", &image];
    for words in [&sign[..], &[&to[..], &job].concat()] {
        let arguments = tool::Arguments::try_parse_from(words)?;
        tokio::task::block_in_place(|| tool::run(arguments)).map_err(|failed| failed.to_string())?;
    }
    Ok(())
}
