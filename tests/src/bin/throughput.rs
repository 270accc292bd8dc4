//! Compares the rate at which the demo transfers its image with the rate at which plain mosquitto carries blocks of the same
//! size on the same machine, in one run: `cargo run -p ota-tests --bin throughput`. Needs mosquitto.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that the demo requests at once.
const BLOCK: usize = 4096;
/// Messages in one measurement: 16 MiB, about two images of the demo.
const MESSAGES: usize = 4096;
/// Measurements at mosquitto, of which the middle one counts.
const ROUNDS: usize = 5;
/// How long mosquitto may be silent, to start or to carry on.
const PATIENCE: Duration = Duration::from_secs(10);
/// Debian installs it outside an ordinary user's search path.
const MOSQUITTO: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

fn main() -> Result<(), Box<dyn Error>> {
    let demo = demo_rates()?;
    let mosquitto = mosquitto_rate()?;
    println!(
        "{mosquitto:>7.1} MB/s  mosquitto: {MESSAGES} messages of {BLOCK} bytes, QoS 0, no TLS, middle of {ROUNDS}"
    );
    for rate in demo {
        println!("{rate:>7.1} MB/s  demo, over MQTT with TLS, written to flash: 1/{:.1} of it", mosquitto / rate);
    }
    Ok(())
}

/// The rate of each download of the demo over MQTT, in MB/s, from the demo's last line of progress.
fn demo_rates() -> Result<Vec<f64>, Box<dyn Error>> {
    let mut demo = Command::new(env!("CARGO"));
    // Variables that `cargo run` sets for this package would make build scripts of the demo and its dependents run again.
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        demo.env_remove(name);
    }
    let output = demo.args(["demo", "--", "--once", "--protocol", "mqtt"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the demo ended with {}", output.status).into());
    }
    let story = String::from_utf8(output.stdout)?;
    let rates: Vec<f64> = story.lines().filter_map(|line| rate(line.split_once("########## ")?.1)).collect();
    if rates.is_empty() { Err("the demo printed no finished download".into()) } else { Ok(rates) }
}

/// The rate in `8666 kB 17.4 MB/s 0.0 s`.
fn rate(progress: &str) -> Option<f64> {
    progress.split(" MB/s").next()?.rsplit(' ').next()?.parse().ok()
}

/// The rate of mosquitto from one raw socket to another, in MB/s of payload.
fn mosquitto_rate() -> Result<f64, Box<dyn Error>> {
    let broker = Broker::start()?;
    let mut rates = (0..ROUNDS).map(|_| broker.carry()).collect::<Result<Vec<f64>, _>>()?;
    rates.sort_by(f64::total_cmp);
    Ok(rates[ROUNDS / 2])
}

/// A mosquitto of our own on a free port, stopped when this is dropped.
struct Broker {
    process: Child,
    config: PathBuf,
    address: SocketAddr,
}

impl Broker {
    fn start() -> Result<Self, Box<dyn Error>> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = std::env::temp_dir().join(format!("throughput-{}.conf", std::process::id()));
        // Without the last line it drops what a subscriber is slow to take.
        let lines = format!("listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n", address.port());
        std::fs::write(&config, lines)?;
        let start = |program| Command::new(program).arg("-c").arg(&config).stderr(Stdio::null()).spawn();
        let process = MOSQUITTO.into_iter().find_map(|program| start(program).ok()).ok_or("needs mosquitto")?;
        let broker = Self { process, config, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err("mosquitto does not listen".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(broker)
    }

    /// MB/s of one measurement.
    fn carry(&self) -> Result<f64, Box<dyn Error>> {
        let mut subscriber = self.connect("subscriber")?;
        subscriber.write_all(&packet(0x82, &[&[0, 1, 0, 1], b"t", &[0]]))?;
        subscriber.read_exact(&mut [0; 5])?;
        let mut publisher = self.connect("publisher")?;

        let message = packet(0x30, &[&[0, 1], b"t", &[0xA5; BLOCK]]);
        let all = message.len() * MESSAGES;
        let begin = Instant::now();
        let sender =
            thread::spawn(move || (0..MESSAGES).try_for_each(|_| publisher.write_all(&message)).map(|()| publisher));
        let (mut got, mut buffer) = (0, vec![0; 64 * 1024]);
        while got < all {
            match subscriber.read(&mut buffer)? {
                0 => return Err(format!("mosquitto hung up after {got} bytes").into()),
                more => got += more,
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        sender.join().map_err(|_| "the publisher panicked")??;
        Ok((BLOCK * MESSAGES) as f64 / seconds / 1e6)
    }

    /// A connection of MQTT 3.1.1 as a client of that name.
    fn connect(&self, name: &str) -> Result<TcpStream, Box<dyn Error>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let clean_no_keep_alive = [4, 2, 0, 0];
        stream.write_all(&packet(
            0x10,
            &[&[0, 4], b"MQTT", &clean_no_keep_alive, &[0, name.len() as u8], name.as_bytes()],
        ))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer == [0x20, 2, 0, 0] { Ok(stream) } else { Err(format!("mosquitto answered {answer:?}").into()) }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It does not matter whether it has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

/// An MQTT packet: type and flags, length, and the parts of its body.
fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let (low, high) = ((body.len() & 0x7F) as u8, (body.len() >> 7) as u8);
    let length = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    [vec![kind], length, body].concat()
}
