//! `ota job create`: checks images, uploads those that the service does not have, and creates a job.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use ota_jobs::document::SignatureKind;
use p256::ecdsa::DerSignature;
use ring::digest::{SHA256, digest};

use super::client::{Client, escape};
use super::rollout_args::RolloutArgs;
use super::{Output, ToolError, is_image, print_line, print_note, read, signature_path};
use crate::api::{CreateResponse, ImageList, ImageRow, NewFile, NewJob, Protocol, SIGNATURE_HEADER};
use crate::model::Image;
use crate::release::{self, Head};
use crate::serve::check_job;
use crate::signature;

/// Upload images and create a job
#[derive(Debug, Default, Args)]
pub struct Create {
    /// Things that get an execution
    #[arg(long = "thing", required_unless_present = "groups", num_args = 1..)]
    things: Vec<String>,
    /// Groups whose things get an execution
    #[arg(long = "group", num_args = 1..)]
    groups: Vec<String>,
    /// Things that join one of the groups later get the job, too; it ends when it is cancelled
    #[arg(long, requires = "groups")]
    continuous: bool,
    /// Images, in the order of their file ids: one, or one for each slot if they are linked for slots. The signature is read
    /// from the image's name with `.sig`
    #[arg(long = "image", required_unless_present = "document", num_args = 1..)]
    images: Vec<PathBuf>,
    /// Custom job document, a JSON object, instead of images
    #[arg(long, conflicts_with = "images")]
    document: Option<PathBuf>,
    /// Job id; random by default
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    config: RolloutArgs,
    /// Ask devices not to postpone the update: `"forced":true` in the document. Their applications decide
    #[arg(long, conflicts_with = "document")]
    forced: bool,
    #[command(flatten)]
    options: UpdateOptions,
}

/// What is the same for a job and for an update of one thing
#[derive(Debug, Default, Args)]
pub struct UpdateOptions {
    /// Protocols that devices may use for the download
    #[arg(long, value_enum, default_value = "mqtt")]
    protocol: ProtocolName,
    /// Name of the verification key on the device: `certfile` in the document
    #[arg(long)]
    key_name: Option<String>,
    /// Maximum time that an execution may be in progress. Minutes
    #[arg(long)]
    timeout_minutes: Option<u64>,
    /// Accept images without a signature
    #[arg(long)]
    unsigned: bool,
    /// Accept images without an image header, and signatures of other kinds
    #[arg(long)]
    raw: bool,
    /// Accept things of other hardware than the images are for; a device rejects such an image
    #[arg(long)]
    any_hardware: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProtocolName {
    #[default]
    Mqtt,
    Http,
    Both,
}

/// What is printed with `--json`.
#[derive(serde::Serialize)]
struct Created<'a> {
    id: &'a str,
    #[serde(flatten)]
    created: &'a CreateResponse,
}

impl Create {
    /// A job that updates one thing.
    pub fn for_thing(thing: String, images: Vec<PathBuf>, options: UpdateOptions) -> Self {
        Self { things: vec![thing], images, options, ..Self::default() }
    }

    /// Uploads the images, creates the job, and prints its id, which is returned.
    pub fn run(self, client: &Client, output: Output) -> Result<String, ToolError> {
        self.run_as(client, output, |id, job| client.put(&format!("/api/jobs/{}", escape(id)), &job))
    }

    /// As [`run`](Self::run), with the request in `create`.
    pub fn run_as(
        self,
        client: &Client,
        output: Output,
        create: impl FnOnce(&str, NewJob) -> Result<CreateResponse, ToolError>,
    ) -> Result<String, ToolError> {
        // Everything is checked before the first upload: the service keeps each image for a day at least.
        let images = check_all(&self.images, &self.options)?;
        let id = self.id.clone().unwrap_or_else(crate::ids::job_id);
        let mut job = self.job(new_files(&images, &self.options)?)?;
        check_job(&id, &job).map_err(ToolError::new)?;
        for (file, image) in job.files.iter_mut().zip(&images) {
            file.image = upload(client, image)?;
        }
        let created = create(&id, job)?;
        for thing in &created.unseen {
            print_note(format_args!("thing {thing} sent no request since the service started: the job waits for it"));
        }
        for thing in &created.pinned {
            print_note(format_args!("thing {thing} is pinned: the job passes it over"));
        }
        if created.unknown_hardware > 0 {
            let count = created.unknown_hardware;
            print_note(format_args!("the hardware of {count} things is unknown: their devices check the image"));
        }
        output.print(&Created { id: &id, created: &created }, |created| print_line(created.id));
        Ok(id)
    }

    /// Returns the job of these files.
    fn job(&self, files: Vec<NewFile>) -> Result<NewJob, ToolError> {
        let protocols = match self.options.protocol {
            ProtocolName::Mqtt => vec![Protocol::Mqtt],
            ProtocolName::Http => vec![Protocol::Http],
            ProtocolName::Both => vec![Protocol::Mqtt, Protocol::Http],
        };
        Ok(NewJob {
            things: self.things.clone(),
            groups: self.groups.clone(),
            continuous: self.continuous,
            files,
            protocols,
            document: self.document.as_deref().map(document).transpose()?,
            timeout_minutes: self.options.timeout_minutes,
            config: self.config.config()?,
            forced: self.forced,
            any_hardware: self.options.any_hardware,
            ..NewJob::default()
        })
    }
}

/// Checks and uploads images; returns them as files of a job.
pub fn upload_all(client: &Client, images: &[PathBuf], options: &UpdateOptions) -> Result<Vec<NewFile>, ToolError> {
    let images = check_all(images, options)?;
    let mut files = new_files(&images, options)?;
    for (file, image) in files.iter_mut().zip(&images) {
        file.image = upload(client, image)?;
    }
    Ok(files)
}

fn check_all<'a>(images: &'a [PathBuf], options: &UpdateOptions) -> Result<Vec<CheckedImage<'a>>, ToolError> {
    images.iter().map(|path| options.check(path)).collect()
}

/// The images as files of a job; they have no ids yet.
fn new_files(images: &[CheckedImage<'_>], options: &UpdateOptions) -> Result<Vec<NewFile>, ToolError> {
    let heads: Vec<Head> = images.iter().map(CheckedImage::head).collect();
    let types = release::file_types(&heads).map_err(|error| ToolError::new(error.to_string()))?;
    let file = |file_type| NewFile {
        image: String::new(),
        file_id: None,
        file_path: None,
        key_name: options.key_name.clone(),
        signature: None,
        file_type,
    };
    Ok(types.into_iter().map(file).collect())
}

impl UpdateOptions {
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

/// Uploads an image, unless the service has it with this name and this signature; returns its id.
fn upload(client: &Client, image: &CheckedImage<'_>) -> Result<String, ToolError> {
    let sha256 = hex::encode(digest(&SHA256, &image.bytes));
    let stored: ImageList = client.get(&format!("/api/images?sha256={sha256}"))?;
    let is_same = |row: &ImageRow| row.image.name == image.name && row.image.signature == image.signature;
    if let Some(row) = stored.images.into_iter().find(is_same) {
        return Ok(row.image.id);
    }
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

fn document(path: &Path) -> Result<Box<serde_json::value::RawValue>, ToolError> {
    serde_json::from_slice(&read(path)?).map_err(|error| ToolError::file(path, &error))
}
