//! `ota job`: create, list, show, watch and cancel, through the admin requests of the service.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use ota_jobs::Reason;
use ota_jobs::document::SignatureKind;
use p256::ecdsa::DerSignature;

use super::client::{Client, Server, escape};
use super::{ToolError, is_image, print_line, print_note, read, signature_path};
use crate::api::{
    CancelResponse, CreateResponse, ExecutionRow, JobList, JobView, NewFile, NewJob, Protocol, SIGNATURE_HEADER,
};
use crate::limits::EVENTS_WAIT_MAX;
use crate::model::{Event, Image};
use crate::reason;
use crate::release::{self, Head};
use crate::serve::check_job;
use crate::signature;

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Upload images and create a job
    Create(Create),
    /// List the newest jobs
    List,
    /// Show a job with its document and executions
    Show {
        /// Job id
        id: String,
    },
    /// Follow a job until all executions have ended; succeeds only if all of them succeeded
    Watch {
        /// Job id
        id: String,
    },
    /// Cancel the queued executions of a job
    Cancel {
        /// Job id
        id: String,
        /// Also cancel executions in progress
        #[arg(long)]
        force: bool,
    },
}

/// Upload images and create a job
#[derive(Debug, Args)]
pub struct Create {
    /// Things that get an execution
    #[arg(long = "thing", required = true, num_args = 1..)]
    things: Vec<String>,
    /// Images, in the order of their file ids: one, or one for each slot if they are linked for slots. The signature is read
    /// from the image's name with `.sig`
    #[arg(long = "image", required_unless_present = "document", num_args = 1..)]
    images: Vec<PathBuf>,
    /// Custom job document, a JSON object, instead of images
    #[arg(long, conflicts_with = "images")]
    document: Option<PathBuf>,
    /// Protocols that devices may use for the download
    #[arg(long, value_enum, default_value = "mqtt")]
    protocol: ProtocolName,
    /// Job id; random by default
    #[arg(long)]
    id: Option<String>,
    /// Name of the verification key on the device: `certfile` in the document
    #[arg(long)]
    key_name: Option<String>,
    /// Maximum time that an execution may be in progress. Minutes
    #[arg(long)]
    timeout_minutes: Option<u64>,
    /// Ask devices not to postpone the update: `"forced":true` in the document. Their applications decide
    #[arg(long, conflicts_with = "document")]
    forced: bool,
    /// Accept images without a signature
    #[arg(long)]
    unsigned: bool,
    /// Accept images without an image header, and signatures of other kinds
    #[arg(long)]
    raw: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProtocolName {
    Mqtt,
    Http,
    Both,
}

impl JobCommand {
    /// Runs the command.
    pub fn run(self, server: &Server) -> Result<(), ToolError> {
        let client = server.client()?;
        match self {
            Self::Create(create) => create.run(&client),
            Self::List => list(&client),
            Self::Show { id } => show(&client, &id),
            Self::Watch { id } => watch(&client, &id),
            Self::Cancel { id, force } => cancel(&client, &id, force),
        }
    }
}

impl Create {
    fn run(self, client: &Client) -> Result<(), ToolError> {
        // Everything is checked before the first upload: the service keeps each image for a day at least.
        let images: Vec<CheckedImage<'_>> =
            self.images.iter().map(|path| self.check(path)).collect::<Result<_, _>>()?;
        let heads: Vec<Head> = images.iter().map(CheckedImage::head).collect();
        let types = release::file_types(&heads).map_err(|error| ToolError::new(error.to_string()))?;
        let id = self.id.clone().unwrap_or_else(crate::ids::job_id);
        let mut job = self.job(types)?;
        check_job(&id, &job).map_err(ToolError::new)?;
        for (file, image) in job.files.iter_mut().zip(&images) {
            file.image = upload(client, image)?;
        }
        let created: CreateResponse = client.put(&format!("/api/jobs/{}", escape(&id)), &job)?;
        for thing in &created.unseen {
            print_note(format_args!("thing {thing} sent no request since the service started: the job waits for it"));
        }
        print_line(id);
        Ok(())
    }

    /// Returns the job; its images have no ids yet.
    fn job(&self, types: impl IntoIterator<Item = Option<u32>>) -> Result<NewJob, ToolError> {
        let protocols = match self.protocol {
            ProtocolName::Mqtt => vec![Protocol::Mqtt],
            ProtocolName::Http => vec![Protocol::Http],
            ProtocolName::Both => vec![Protocol::Mqtt, Protocol::Http],
        };
        let file = |file_type| NewFile {
            image: String::new(),
            file_id: None,
            file_path: None,
            key_name: self.key_name.clone(),
            file_type,
        };
        Ok(NewJob {
            things: self.things.clone(),
            files: types.into_iter().map(file).collect(),
            protocols,
            document: self.document.as_deref().map(document).transpose()?,
            timeout_minutes: self.timeout_minutes,
            forced: self.forced,
        })
    }

    fn check<'a>(&self, path: &'a Path) -> Result<CheckedImage<'a>, ToolError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| ToolError::file(path, &"not a file name"))?;
        let bytes = read(path)?;
        if !self.raw && !is_image(&bytes) {
            return Err(ToolError::file(path, &"not an image made by `ota sign`: sign the file, or use --raw"));
        }
        Ok(CheckedImage { name, bytes, signature: self.signature(path)? })
    }

    fn signature(&self, image: &Path) -> Result<Option<String>, ToolError> {
        let path = signature_path(image);
        match std::fs::read_to_string(&path) {
            Ok(text) if self.raw || is_signature(text.trim()) => Ok(Some(text.trim().to_owned())),
            Ok(_) => Err(ToolError::file(&path, &"not a signature in base64: sign the image again, or use --raw")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.unsigned => Ok(None),
            Err(error) => Err(ToolError::file(&path, &format!("{error}; sign the image, or use --unsigned"))),
        }
    }
}

/// A checked image.
struct CheckedImage<'a> {
    name: &'a str,
    bytes: Vec<u8>,
    signature: Option<String>,
}

impl CheckedImage<'_> {
    fn head(&self) -> Head {
        Head::read(self.name, &self.bytes, self.bytes.len() as u64)
    }
}

/// Uploads an image; returns its id.
fn upload(client: &Client, image: &CheckedImage<'_>) -> Result<String, ToolError> {
    let extra = image.signature.as_deref().map(|text| (SIGNATURE_HEADER, text));
    let stored: Image = client.upload(&format!("/api/images/{}", escape(image.name)), &image.bytes, extra)?;
    Ok(stored.id)
}

/// Returns whether the text has the format of a supported signature. Its validity is verified by the device.
fn is_signature(text: &str) -> bool {
    match signature::kind(text) {
        SignatureKind::Sha256Ecdsa => STANDARD.decode(text).is_ok_and(|der| DerSignature::from_bytes(&der).is_ok()),
        _ => true,
    }
}

fn cancel(client: &Client, id: &str, force: bool) -> Result<(), ToolError> {
    let done: CancelResponse = client.post(&format!("/api/jobs/{}/cancel?force={force}", escape(id)))?;
    print_line(format_args!("{} cancelled", done.canceled));
    if done.left_in_progress > 0 {
        print_line(format_args!("{} left IN_PROGRESS, use --force to cancel them", done.left_in_progress));
    }
    Ok(())
}

fn document(path: &Path) -> Result<Box<serde_json::value::RawValue>, ToolError> {
    serde_json::from_slice(&read(path)?).map_err(|error| ToolError::file(path, &error))
}

fn list(client: &Client) -> Result<(), ToolError> {
    let list: JobList = client.get("/api/jobs")?;
    for job in list.jobs {
        let counts: Vec<String> = job.executions.iter().map(|(status, count)| format!("{status} {count}")).collect();
        print_line(format_args!("{}  {}  {}", job.id, job.status, counts.join(", ")));
    }
    Ok(())
}

fn show(client: &Client, id: &str) -> Result<(), ToolError> {
    let job: JobView = client.get(&format!("/api/jobs/{}", escape(id)))?;
    print_line(format_args!("{}  {}", job.id, job.status));
    print_line(format_args!("document {}", job.document));
    for execution in &job.executions {
        print_line(line(execution));
    }
    Ok(())
}

/// The execution in one line, with the meaning of the reason code that it reports.
fn line(execution: &ExecutionRow) -> String {
    let details = execution.details.as_ref().map_or("", |details| details.get());
    let meaning = meaning(details).map(|meaning| format!("  {meaning}")).unwrap_or_default();
    format!("{}  {}  version {}  {details}{meaning}", execution.thing, execution.status, execution.version)
}

/// The meaning of the code in status details; `None` without a code, or with one that is not in the list.
fn meaning(details: &str) -> Option<&'static str> {
    let details: serde_json::Value = serde_json::from_str(details).ok()?;
    reason::find(details.get("code")?.as_str()?).map(Reason::description)
}

fn watch(client: &Client, id: &str) -> Result<(), ToolError> {
    let id = escape(id);
    let mut after = 0;
    loop {
        // The job is read before the events: an event between the two requests is printed in the next round.
        let job: JobView = client.get(&format!("/api/jobs/{id}"))?;
        let ended = job.executions.iter().all(|execution| execution.terminal);
        let wait_s = if ended { 0 } else { EVENTS_WAIT_MAX.as_secs() };
        let events: Vec<Event> = client.get(&format!("/api/events?job={id}&after={after}&wait_s={wait_s}"))?;
        for event in &events {
            print_line(format_args!("{}  {}", event.thing.as_deref().unwrap_or("-"), event.text));
            after = event.seq;
        }
        if ended && events.is_empty() {
            return verdict(&job);
        }
    }
}

fn verdict(job: &JobView) -> Result<(), ToolError> {
    let failed: Vec<String> = job.executions.iter().filter(|e| e.status != "SUCCEEDED").map(line).collect();
    match failed.is_empty() && !job.executions.is_empty() {
        true => Ok(()),
        false => Err(ToolError::new(format!("{} did not succeed: {}", job.id, failed.join("; ")))),
    }
}
