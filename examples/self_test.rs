//! The self-test of a new image: `cargo run --example self_test`. The image boots on trial, the application checks its sensor,
//! and the verdict commits the image or rolls back to the previous one.

use ota_agent::Instant;
use ota_agent::prelude::*;
use ota_examples::bench::Device;
use ota_examples::device::Error;
use ota_pal::poll_ready;

/// The application: a thermometer.
struct Thermometer {
    celsius: i16,
    seconds_up: u32,
}

impl Application for Thermometer {
    /// Called until it returns a verdict. Being offline is no reason to roll back: the old image would be offline too.
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        self.seconds_up += 1;
        match self.celsius {
            _ if self.seconds_up < 3 => SelfTest::Running, // the sensor warms up
            -40..=85 => SelfTest::Passed,
            _ => SelfTest::Failed,
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        println!("  {notice:?}");
    }
}

fn main() -> Result<(), Error> {
    for (celsius, version) in [(21, "2.0.0"), (999, "1.0.0")] {
        println!("version 2.0.0 on trial, its sensor reads {celsius} degrees");
        let device = Device::new("self-test")?;
        device.install("1.0.0")?;
        device.activate("2.0.0")?;
        let slot = device.boot()?;

        let config = AgentConfig::new("kitchen").map_err(|error| format!("{error:?}"))?;
        let application = Thermometer { celsius, seconds_up: 0 };
        let start = Start { seed: 1, now: Instant::from_ms(0) };
        let agent = Agent::start(device.platform(slot)?, application, config, &mut [], start);
        let mut agent = poll_ready(agent).ok_or("a file is always ready")?.map_err(|error| format!("{error:?}"))?;

        // A super-loop: a verdict needs neither an executor nor a connection.
        for second in 1..10 {
            poll_ready(agent.work(Instant::from_ms(1_000 * second))).ok_or("a file is always ready")?;
            if agent.is_reset() {
                println!("  reset");
                break;
            }
        }
        let runs = device.version(device.boot()?)?;
        println!("version {runs} runs now");
        assert_eq!(runs, version);
    }
    Ok(())
}
