//! The job that waits for the device: whether it can be read, and which key its signature is of.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ota_jobs::document::File;
use ota_jobs::{DescribeResponse, Document};

use super::super::verify::{digest_of, public_key, verify};
use super::super::{ToolError, print_line, read};
use super::ok;
use super::place::step;

/// Prints what the response to the first request has, and tries the keys on its signature.
pub fn examine(response: &[u8], image: Option<&Path>, keys: &[PathBuf]) -> Result<(), ToolError> {
    let response = DescribeResponse::parse(response).map_err(|error| step("job", format!("unreadable: {error}")))?;
    let Some(execution) = response.execution else {
        ok("job: none waits for this thing");
        return Ok(());
    };
    let id = execution.job_id.as_str();
    let document = execution.document.ok_or_else(|| step("job", format!("{id} has no document")))?;
    match Document::parse(document).map_err(|error| step("job", format!("document of {id}: {error}")))? {
        None => {
            ok(format_args!("job: {id} is {}, and is not an update: it goes to the application", execution.status));
            Ok(())
        }
        Some(document) => {
            ok(format_args!("job: {id} is {}, an update of {} files", execution.status, document.files.len()));
            document.files.iter().try_for_each(|file| signature(file, image, keys))
        }
    }
}

fn signature(file: &File<'_>, image: Option<&Path>, keys: &[PathBuf]) -> Result<(), ToolError> {
    let name = file.cert_file.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let Some(signature) = &file.signature else {
        print_line("note  signature: none; a device with a key refuses the file");
        return Ok(());
    };
    let kind = signature.kind.as_str();
    let Some(image) = image else {
        print_line(format_args!("note  signature: {kind}, key name {name}; to try keys: --image and --update-key"));
        return Ok(());
    };
    let text: String = signature.base64.to_string().split_whitespace().collect();
    let bytes = STANDARD.decode(text).map_err(|_| step("signature", "not base64"))?;
    let content = read(image)?;
    if content.len() as u64 != u64::from(file.file_size) {
        let (got, want) = (content.len(), file.file_size);
        return Err(step("signature", format!("{} has {got} bytes, the job's file {want}", image.display())));
    }
    for path in keys {
        if verify(public_key(path)?, &digest_of(&content), &bytes).is_ok() {
            ok(format_args!("signature: {kind}, key name {name}, of {}", path.display()));
            return Ok(());
        }
    }
    let tried: Vec<String> = keys.iter().map(|path| path.display().to_string()).collect();
    Err(step("signature", format!("{kind}, key name {name}: not of {} by {}", image.display(), tried.join(", "))))
}
