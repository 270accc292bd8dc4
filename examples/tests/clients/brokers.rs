//! The brokers of these tests: that of the service, and mosquitto where it is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ota_cloud::serve::{Config, Service};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Debian installs it in a directory that is not in the PATH of ordinary users.
const PROGRAMS: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];
/// How often its port is tried.
const TRIES_MAX: u32 = 100;

/// A temporary folder; removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ota-clients-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts a service in `folder`; returns it with the port of its broker.
pub async fn service(folder: &Path) -> (Service, u16) {
    let service = Service::start(Config::local(folder)).await.unwrap();
    let port = service.mqtt.rsplit_once(':').unwrap().1.parse().unwrap();
    (service, port)
}

/// A running mosquitto.
pub struct Mosquitto {
    process: Child,
    pub port: u16,
}

impl Mosquitto {
    /// Returns `None` where it is not installed.
    pub async fn start(folder: &Folder) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        let process = PROGRAMS.iter().find_map(|program| {
            Command::new(program).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        })?;
        let running = Self { process, port };
        for _ in 0..TRIES_MAX {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(running);
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("mosquitto does not accept connections");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
