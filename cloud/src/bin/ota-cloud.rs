//! The `ota-cloud` command: options in, service up, signals out. Everything else is in `ota_cloud::serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ota_cloud::limits::{DATABASE_BYTES_MAX, URL_LIFETIME_DEFAULT};
use ota_cloud::serve::{Config, ExternalBroker, Format, Service, TlsFiles};
use tokio::signal::unix::{SignalKind, signal};

/// A job service for over-the-air updates that speaks AWS IoT Jobs.
#[derive(Debug, Parser)]
#[command(name = "ota-cloud", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve jobs, streams and images until a signal comes.
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Directory for everything durable; `token` in it is the key to the admin requests.
    #[arg(long)]
    data: PathBuf,
    /// Where the embedded broker listens; port 0 takes a free one. Client id is the thing's name, or `name.anything`.
    #[arg(long, default_value = "127.0.0.1:1883")]
    mqtt: SocketAddr,
    /// Where images and admin requests are served; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// The service's certificate chain, PEM. With it MQTT wants a client certificate whose common name is the thing.
    #[arg(long, requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Who signs the devices' certificates, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    /// Use this MQTT 5 broker instead: `mqtt://host:port` or `mqtts://host:port`.
    #[arg(long)]
    broker: Option<String>,
    /// Who signs the broker's certificate, PEM.
    #[arg(long, requires = "broker")]
    broker_ca: Option<PathBuf>,
    /// The service's certificate at the broker, PEM.
    #[arg(long, requires_all = ["broker", "broker_key"])]
    broker_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "broker_cert")]
    broker_key: Option<PathBuf>,
    /// Delay what exceeds AWS's 512 KiB a second and thing.
    #[arg(long)]
    aws_limits: bool,
    /// What devices reach the image server by, for example `https://updates.example:8443`.
    #[arg(long)]
    public_http: Option<String>,
    /// How long a signed URL is good. Seconds.
    #[arg(long, default_value_t = URL_LIFETIME_DEFAULT.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    url_seconds: u64,
    /// How large the database may grow. Bytes.
    #[arg(long, default_value_t = DATABASE_BYTES_MAX)]
    database_bytes_max: u64,
    /// How log lines look.
    #[arg(long, value_enum, default_value = "text")]
    log: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Json,
    Quiet,
    Text,
}

impl Serve {
    fn config(self) -> Config {
        let tls = match (self.tls_cert, self.tls_key, self.tls_ca) {
            (Some(cert), Some(key), Some(ca)) => Some(TlsFiles { cert, key, ca }),
            _ => None,
        };
        let (ca, identity) = (self.broker_ca, self.broker_cert.zip(self.broker_key));
        Config {
            data: self.data,
            mqtt: self.mqtt,
            http: self.http,
            tls,
            broker: self.broker.map(|url| ExternalBroker { url, ca, identity }),
            aws_limits: self.aws_limits,
            public_http: self.public_http,
            format: match self.log {
                LogFormat::Json => Format::Json,
                LogFormat::Quiet => Format::Quiet,
                LogFormat::Text => Format::Text,
            },
            database_bytes_max: self.database_bytes_max,
            url_lifetime: Duration::from_secs(self.url_seconds),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Serve(serve) = Arguments::parse().command;
    match run(serve.config()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ota-cloud: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A signal during the start ends it as well.
    let service = tokio::select! {
        started = Service::start(config) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    service.announce();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    service.stop().await;
    Ok(())
}
