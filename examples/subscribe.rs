//! A device that subscribes to its job topics and requests its next job: `cargo run --example subscribe`.
//! The service runs in this program; replace its address by that of your service.

use minimq::{Buffers, ConfigBuilder};
use ota_agent::Direction;
use ota_agent::prelude::*;
use ota_cloud::serve::{Config as Setup, Service};
use ota_examples::bench::Device;
use ota_examples::connect::Network;
use ota_examples::device::Error;

/// Prints all events, and ends the program after the response of the service.
struct Listener {
    answered: tokio::sync::mpsc::UnboundedSender<()>,
}

impl Application for Listener {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Passed
    }

    fn on_traffic(&mut self, direction: Direction, topic: &str, payload: &[u8]) {
        println!("{direction:?} {topic} {}", String::from_utf8_lossy(payload));
    }

    fn on_notice(&mut self, notice: Notice) {
        println!("{notice:?}");
        if notice == Notice::NoUpdate {
            // The receiver is dropped only at the end of the program.
            let _ = self.answered.send(());
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let device = Device::new("subscribe")?;
    let service = Service::start(Setup::local(device.folder())).await?;
    let (host, port) = service.mqtt.rsplit_once(':').ok_or("an address without a port")?;

    // 1. The agent: a platform, your application, a configuration with the thing's name, a buffer for URLs.
    let (answered, mut until) = tokio::sync::mpsc::unbounded_channel();
    let mut url = [0; 2048];
    let config = AgentConfig::new("kitchen").map_err(|error| format!("{error:?}"))?;
    let platform = device.platform(ota_pal::SlotId::A)?;
    let start = Start { seed: ota_examples::lines::now_ms(), now: pump::now() };
    let agent = Agent::start(platform, Listener { answered }, config, &mut url, start).await;
    let mut agent = agent.map_err(|error| format!("{error:?}"))?;

    // 2. Configure a connection: receive buffer of one block and 512 bytes, any transport.
    let (mut receive, mut send) = ([0; 4096 + 512], [0; 2048]);
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen")?;
    let mut broker = Minimq::new(session, 30, Network::plain(), host, port.parse()?).without_tls();

    // 3. Run the pump: it connects, subscribes and requests the next job, and does not return.
    tokio::select! {
        () = pump::run(&mut agent, &mut broker) => {}
        _ = until.recv() => {}
    }
    service.stop().await;
    Ok(())
}
