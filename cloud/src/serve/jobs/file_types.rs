//! The file types of a new job, from the headers of its images. The rules are in `release`.

use ota_pal::HEADER_BYTES;

use super::admin_error::AdminError;
use crate::api::NewJob;
use crate::limits::FILES_MAX;
use crate::model::Image;
use crate::release::{self, Head};
use crate::serve::files::{Files, read_at};
use crate::store::{Store, StoreError};

/// Sets the type of each file that has none in the request and whose image is linked for one slot, or is of the system.
///
/// Errors: `Bad` if one of these images has another length than its header states, or if they are not one release; `Store`.
pub async fn set(store: &Store, files: &Files, job: &mut NewJob) -> Result<(), AdminError> {
    if job.files.len() > FILES_MAX {
        return Ok(()); // reported when the job is created
    }
    let mut heads = Vec::new();
    let mut untyped = Vec::new();
    for file in job.files.iter_mut().filter(|file| file.file_type.is_none()) {
        // An image that does not exist is reported when the job is created.
        let Some(image) = store.image(&file.image).await? else { return Ok(()) };
        heads.push(head(files, &image).await?);
        untyped.push(file);
    }
    let types = release::file_types(&heads).map_err(|error| AdminError::Bad(error.to_string()))?;
    untyped.into_iter().zip(types).for_each(|(file, file_type)| file.file_type = file_type);
    Ok(())
}

/// Reads the start of an image.
///
/// Errors: `Io` if its file is missing or cannot be read.
pub async fn head(files: &Files, image: &Image) -> Result<Head, StoreError> {
    let len_bytes = HEADER_BYTES.min(usize::try_from(image.size_bytes).unwrap_or(HEADER_BYTES));
    let bytes = read_at(&files.image(&image.id).await?, 0, len_bytes).await?;
    Ok(Head::read(&image.name, &bytes, image.size_bytes))
}
