//! `ota doctor`: connects as a device does, step by step, and names the first thing that is wrong. It changes no job.

mod device;
mod job;
mod place;

use std::path::PathBuf;

use clap::Args;

use self::device::Device;
use self::place::Place;
use super::{ToolError, print_line};

/// Connect as a device does, and name the first thing that is wrong
#[derive(Debug, Args)]
pub struct Doctor {
    /// Host and port of the broker, `HOST:PORT`
    #[arg(long)]
    endpoint: String,
    /// Thing name of the device; no device may be connected under its client id meanwhile
    #[arg(long)]
    thing: String,
    /// MQTT client id; by default the thing name
    #[arg(long)]
    client_id: Option<String>,
    /// CA certificate of the broker, PEM; without it the connection is not encrypted
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Certificate of the device, PEM
    #[arg(long, requires = "key", requires = "ca")]
    cert: Option<PathBuf>,
    /// Private key of the device, PEM
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Public keys of the device, which the signature of a waiting job is tried with
    #[arg(long, num_args = 1.., requires = "image")]
    update_key: Vec<PathBuf>,
    /// The image of the waiting job
    #[arg(long)]
    image: Option<PathBuf>,
}

impl Doctor {
    /// Prints a line for each step that works, and fails with the first one that does not.
    pub fn run(self) -> Result<(), ToolError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ToolError::new(error.to_string()))?;
        runtime.block_on(self.examine())
    }

    async fn examine(self) -> Result<(), ToolError> {
        ota_jobs::ThingName::new(&self.thing).map_err(|error| ToolError::new(format!("--thing: {error}")))?;
        let place = Place::parse(&self.endpoint)?;
        let tls = self.tls()?;
        place.resolve().await?;
        place.connect().await?;
        match &tls {
            Some(tls) => place.encrypt(tls).await?,
            None => print_line("note  the connection is not encrypted: without --ca"),
        }
        let client_id = self.client_id.as_deref().unwrap_or(&self.thing);
        let mut device = Device::connect(&place, client_id, tls).await?;
        device.subscribe(&self.thing).await?;
        let execution = device.next_job(&self.thing).await?;
        let found = job::examine(&execution, self.image.as_deref(), &self.update_key);
        device.disconnect().await;
        found
    }

    fn tls(&self) -> Result<Option<std::sync::Arc<rustls::ClientConfig>>, ToolError> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let own = self.cert.as_deref().zip(self.key.as_deref());
        crate::serve::tls_client(ca, own).map(Some).map_err(|error| ToolError::new(error.to_string()))
    }
}

/// Prints a step that works.
fn ok(text: impl std::fmt::Display) {
    print_line(format_args!("ok    {text}"));
}
