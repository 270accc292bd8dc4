//! Whether images fit the hardware of the things that a job is for, by the images' own headers. Checked before the job is
//! stored; a device checks it again before it writes a block.

use std::collections::BTreeSet;

use super::admin_error::AdminError;
use super::{file_types, groups};
use crate::api::NewJob;
use crate::limits::{FILES_MAX, UNSEEN_LISTED_MAX};
use crate::serve::files::Files;
use crate::store::Store;

/// Checks a job whose files are images; returns the number of its things whose hardware the service does not have.
///
/// A thing fits if one of the images is for its hardware. Things without a hardware id pass, and so do files without an image
/// header, and every thing if `any_hardware` is set. A group's things are those of this moment.
///
/// Errors: `Misfit` with the things; `NoGroup`; `Store`.
pub async fn check(store: &Store, files: &Files, job: &NewJob) -> Result<u64, AdminError> {
    let wanted = hardware(store, files, job).await?;
    if wanted.is_empty() {
        return Ok(0);
    }
    let things = groups::things(store, &job.things, &job.groups).await?;
    let devices = store.devices(&things).await?;
    let has_hardware = devices.iter().filter(|device| device.hardware().is_some()).count();
    let misfits = devices.iter().filter_map(|device| {
        let hardware = device.hardware().filter(|hardware| !wanted.contains(*hardware))?;
        Some(format!("{} ({hardware})", device.thing))
    });
    let misfits: Vec<String> = misfits.collect();
    if !misfits.is_empty() && !job.any_hardware {
        return Err(misfit(&wanted, &misfits));
    }
    Ok((things.len() - has_hardware) as u64)
}

/// The hardware ids of the images; empty if one has no header, which may be for any hardware.
async fn hardware(store: &Store, files: &Files, job: &NewJob) -> Result<BTreeSet<String>, AdminError> {
    let mut ids = BTreeSet::new();
    // Too many files and missing images are reported when the job is created.
    for file in job.files.iter().take(FILES_MAX) {
        let Some(image) = store.image(&file.image).await? else { return Ok(BTreeSet::new()) };
        match file_types::head(files, &image).await?.header {
            Some(header) => _ = ids.insert(header.hardware.to_string()),
            None => return Ok(BTreeSet::new()),
        }
    }
    Ok(ids)
}

fn misfit(wanted: &BTreeSet<String>, misfits: &[String]) -> AdminError {
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let more = match misfits.len().saturating_sub(UNSEEN_LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let listed = &misfits[..misfits.len().min(UNSEEN_LISTED_MAX)];
    AdminError::Misfit(format!("the image is for {}, not for {}{more}", wanted.join(" or "), listed.join(", ")))
}
