//! A new job that is as an earlier one, read from what is stored of that: its files with their signatures, protocols and timeout.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::admin_error::AdminError;
use crate::api::{NewFile, NewJob, Protocol};
use crate::model::Job;
use crate::store::{Store, StoreError};

/// What is read of a job document that this service wrote.
#[derive(Deserialize)]
struct Document {
    afr_ota: AfrOta,
}

#[derive(Deserialize)]
struct AfrOta {
    protocols: Vec<Protocol>,
    files: Vec<DocumentFile>,
}

#[derive(Deserialize)]
struct DocumentFile {
    filepath: String,
    fileid: u8,
    #[serde(default)]
    certfile: Option<String>,
    #[serde(default, rename = "fileType")]
    file_type: Option<u32>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl DocumentFile {
    /// The signature, whose member is named by its kind.
    fn signature(&self) -> Option<String> {
        let (_, signature) = self.others.iter().find(|(name, _)| name.starts_with("sig-"))?;
        signature.as_str().map(str::to_owned)
    }
}

fn document(job: &Job) -> Result<AfrOta, StoreError> {
    let document: Result<Document, _> = serde_json::from_str(&job.document);
    document.map(|document| document.afr_ota).map_err(|_| StoreError::Damaged { column: "document" })
}

/// Returns a job without things and files that is otherwise as this one.
///
/// Errors: `Store` for a document that this service did not write.
pub fn like(job: &Job) -> Result<NewJob, AdminError> {
    Ok(NewJob {
        protocols: document(job)?.protocols,
        timeout_minutes: job.timeout_s.map(|timeout_s| timeout_s / 60),
        ..NewJob::default()
    })
}

/// Returns the files of a job, for another one.
///
/// Errors: `Store`.
pub async fn new_files(store: &Store, job: &Job) -> Result<Vec<NewFile>, AdminError> {
    let images = store.job_files(&job.id).await?;
    let document = document(job)?;
    let mut files = Vec::new();
    for (file_id, image) in images {
        let file = document.files.iter().find(|file| u32::from(file.fileid) == file_id);
        let file = file.ok_or(StoreError::Damaged { column: "document" })?;
        files.push(NewFile {
            image: image.id,
            file_id: Some(file.fileid),
            file_path: Some(file.filepath.clone()),
            key_name: file.certfile.clone(),
            signature: file.signature(),
            file_type: file.file_type,
        });
    }
    Ok(files)
}
