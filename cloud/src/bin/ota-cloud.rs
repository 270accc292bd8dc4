//! The `ota-cloud` command: options and signals. Everything else is in `ota_cloud::serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ota_cloud::limits::{DATABASE_BYTES_MAX, URL_LIFETIME_DEFAULT};
use ota_cloud::serve::{Config, ExternalBroker, Format, ServeError, Service, TlsFiles};
use tokio::signal::unix::{SignalKind, signal};

/// A job service for over-the-air updates, compatible with AWS IoT Jobs
#[derive(Debug, Parser)]
#[command(name = "ota-cloud", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve jobs, streams and images until SIGTERM or SIGINT
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Data directory; its file `token` is the credential for admin requests
    #[arg(long)]
    data: PathBuf,
    /// PostgreSQL database of several instances, of which one serves: `postgres://user:password@host/name`. Without it the data
    /// directory has a database
    #[arg(long, env = "OTA_CLOUD_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Address of the embedded broker; port 0 selects a free port. A client id is a thing name, or `name.suffix`
    #[arg(long, default_value = "127.0.0.1:1883")]
    mqtt: SocketAddr,
    /// Address of the image server, the admin requests and the console; port 0 selects a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Certificate chain of the service, PEM. Enables mutual TLS for MQTT: the client certificate's common name is the thing
    #[arg(long, env = "OTA_CLOUD_TLS_CERT", requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// Private key of the service, PEM
    #[arg(long, env = "OTA_CLOUD_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CA certificate of the devices, PEM
    #[arg(long, env = "OTA_CLOUD_TLS_CA", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    /// External MQTT 5 broker to use instead of the embedded one: `mqtt://host:port` or `mqtts://host:port`
    #[arg(long)]
    broker: Option<String>,
    /// CA certificate of the external broker, PEM
    #[arg(long, requires = "broker")]
    broker_ca: Option<PathBuf>,
    /// Client certificate of the service at the external broker, PEM
    #[arg(long, requires_all = ["broker", "broker_key"])]
    broker_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(long, requires = "broker_cert")]
    broker_key: Option<PathBuf>,
    /// Limit each thing to AWS's 512 KiB per second
    #[arg(long)]
    aws_limits: bool,
    /// URL of the image server as devices reach it, for example `https://updates.example:8443`
    #[arg(long, env = "OTA_CLOUD_PUBLIC_HTTP")]
    public_http: Option<String>,
    /// Validity of signed URLs. Seconds
    #[arg(long, default_value_t = URL_LIFETIME_DEFAULT.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    url_seconds: u64,
    /// Maximum size of the database. Bytes
    #[arg(long, default_value_t = DATABASE_BYTES_MAX)]
    database_bytes_max: u64,
    /// Format of log lines
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
    /// Errors: `Option` if `--database` is no URL of PostgreSQL. It is parsed here, since the parser of options prints a value that
    /// it refuses, with the password.
    fn config(self) -> Result<Config, ServeError> {
        let tls = match (self.tls_cert, self.tls_key, self.tls_ca) {
            (Some(cert), Some(key), Some(ca)) => Some(TlsFiles { cert, key, ca }),
            _ => None,
        };
        let database = self.database.map(|url| url.parse()).transpose();
        let (ca, identity) = (self.broker_ca, self.broker_cert.zip(self.broker_key));
        Ok(Config {
            data: self.data,
            database: database.map_err(|why| ServeError::Option(format!("--database: {why}")))?,
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
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Serve(serve) = Arguments::parse().command;
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ota-cloud: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let config = serve.config()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A signal during the start also ends the service.
    let service = tokio::select! {
        started = Service::start(config) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    service.announce();
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = service.wait_until_taken_over() => Err(ServeError::TakenOver.into()),
    };
    service.stop().await;
    ended
}
