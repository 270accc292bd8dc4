//! mosquitto as the broker, if it is installed.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{TIMEOUT, TempDir};

/// Debian installs it in a directory that is not in the PATH of ordinary users.
const PROGRAMS: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

/// A running mosquitto; it ends when this is dropped.
pub struct Mosquitto(Child);

impl Mosquitto {
    /// Starts it with this configuration, and waits until it listens on this port; `None` if it is not installed.
    pub async fn start(dir: &TempDir, port: u16, configuration: &str) -> Option<Self> {
        let file = dir.path().join("mosquitto.conf");
        std::fs::write(&file, configuration).unwrap();
        let broker = PROGRAMS.iter().find_map(|program| {
            let quiet = Command::new(program).arg("-c").arg(&file).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
            quiet.ok().map(Self)
        })?;
        let listens = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, listens).await.expect("mosquitto takes the configuration");
        Some(broker)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that no program listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
