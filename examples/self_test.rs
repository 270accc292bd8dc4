//! A new image decides about itself: `cargo run --example self_test`. It boots on trial, the application looks at its
//! sensor, and its verdict commits the image or brings the previous one back.

use ota_agent::Instant;
use ota_agent::prelude::*;
use ota_examples::device::Error;
use ota_examples::rig::Device;
use ota_pal::now;

/// The application: a thermometer, and what it makes of it.
struct Thermometer {
    celsius: i16,
    seconds_up: u32,
}

impl Application for Thermometer {
    /// Asked again and again until it knows. Being offline is no reason to go back: the old image would be offline, too.
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
        println!("version 2.0.0 on trial, its sensor says {celsius} degrees");
        let device = Device::new("self-test")?;
        device.install("1.0.0")?;
        device.activate("2.0.0")?;
        let slot = device.boot()?;

        let config = AgentConfig::new("kitchen").map_err(|error| format!("{error:?}"))?;
        let application = Thermometer { celsius, seconds_up: 0 };
        let start = Start { seed: 1, now: Instant::from_ms(0) };
        let agent = Agent::start(device.platform(slot)?, application, config, &mut [], start);
        let mut agent = now(agent).ok_or("a file is always ready")?.map_err(|error| format!("{error:?}"))?;

        // A super-loop: no executor, no connection needed for a verdict.
        for second in 1..10 {
            now(agent.work(Instant::from_ms(1_000 * second))).ok_or("a file is always ready")?;
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
