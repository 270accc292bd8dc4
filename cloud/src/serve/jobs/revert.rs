//! Taking a release back: which images the devices that it reached get instead. Reads and decides; `http` and `console` cancel
//! the release, and create what is decided here.

use std::collections::{BTreeMap, BTreeSet};

use ota_jobs::limits::JOB_ID_BYTES_MAX;
use ota_pal::{Component, Header, Version};
use serde::Deserialize;
use serde_json::Value;

use super::admin_error::AdminError;
use super::file_types;
use crate::api::{NewFile, NewJob, Protocol};
use crate::device::Device;
use crate::model::Job;
use crate::serve::files::Files;
use crate::store::{Store, StoreError};

/// What a revert does.
#[derive(Clone, Debug, Default)]
pub struct Revert {
    /// A job for each set of images that devices get.
    pub jobs: Vec<NewJob>,
    /// Things that have the image and had none before, as far as the service has records.
    pub without: Vec<String>,
    /// Whether an image is older than the one that it replaces: devices that accept newer versions only reject it.
    pub is_older: bool,
}

/// The images of a job.
struct Images {
    ids: Vec<String>,
    heads: Vec<(String, Option<Header>)>,
}

/// Decides what the devices of a release get instead: the images in `to`, or those that each had before.
///
/// Errors: `NoRelease`; `Bad` if an image has a lower security counter than the release, or than a device reported, and for an
/// image that does not exist, or a release without images; `Ended` if the release was taken back already; `Store`.
pub async fn decide(store: &Store, files: &Files, id: &str, to: &[NewFile]) -> Result<Revert, AdminError> {
    let release = store.release(id).await?.ok_or_else(|| AdminError::NoRelease(id.to_owned()))?;
    if release.is_reverted {
        return Err(AdminError::Ended { id: id.to_owned(), status: crate::release_api::REVERTED });
    }
    let bad = job(store, id).await?;
    if bad.stream.is_none() {
        return Err(AdminError::Bad(format!("{id} has a document of its own: no image is to be taken back")));
    }
    let reached = store.reached(id).await?;
    let images = images(store, files, id).await?;
    let revert = match to {
        [] => earlier(store, files, &images, &bad, reached).await?,
        to => {
            let things: Vec<String> = reached.into_iter().map(|(thing, _)| thing).collect();
            let job = NewJob { things, files: to.to_vec(), ..like(&bad)? };
            Revert { jobs: Some(job).filter(|job| !job.things.is_empty()).into_iter().collect(), ..Revert::default() }
        }
    };
    check(store, files, &images, revert).await
}

/// Each thing gets what it had before.
async fn earlier(
    store: &Store,
    files: &Files,
    bad: &Images,
    bad_job: &Job,
    reached: Vec<(String, Vec<String>)>,
) -> Result<Revert, AdminError> {
    let mut fitting = BTreeSet::new();
    for id in reached.iter().flat_map(|(_, before)| before).collect::<BTreeSet<_>>() {
        let earlier = images(store, files, id).await?;
        if earlier.ids != bad.ids && earlier.components() == bad.components() {
            fitting.insert(id.clone());
        }
    }
    let (mut things_of, mut without) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
    for (thing, before) in reached {
        match before.into_iter().find(|id| fitting.contains(id)) {
            Some(job_id) => things_of.entry(job_id).or_default().push(thing),
            None => without.push(thing),
        }
    }
    let mut jobs: Vec<NewJob> = Vec::new();
    for (job_id, things) in things_of {
        let before = job(store, &job_id).await?;
        let new = NewJob { files: new_files(store, &before).await?, things, ..like(bad_job)? };
        // Jobs for the same images become one.
        match jobs.iter_mut().find(|job| job.files == new.files) {
            Some(job) => job.things.extend(new.things),
            None => jobs.push(new),
        }
    }
    Ok(Revert { jobs, without, is_older: false })
}

/// Checks the security counters, and whether a version is older.
async fn check(store: &Store, files: &Files, bad: &Images, mut revert: Revert) -> Result<Revert, AdminError> {
    for job in &revert.jobs {
        let heads = heads(store, files, job.files.iter().map(|file| file.image.as_str())).await?;
        let devices = store.devices(&job.things).await?;
        let counter = |device: &Device| device.report.as_ref().and_then(|report| report.security_counter);
        let reported = devices.iter().filter_map(|device| Some((device.thing.as_str(), counter(device)?)));
        let highest = reported.max_by_key(|(_, counter)| *counter);
        for (name, header) in heads.iter().filter_map(|(name, header)| Some((name, header.as_ref()?))) {
            check_counter(name, header, bad, highest).map_err(AdminError::Bad)?;
            revert.is_older |= bad.version_of(header.component).is_some_and(|version| header.version <= version);
        }
    }
    Ok(revert)
}

/// Compares the security counter of an image with that of the release, and with the highest one that a device reported.
///
/// Errors: the reason.
fn check_counter(name: &str, header: &Header, bad: &Images, highest: Option<(&str, u32)>) -> Result<(), String> {
    let counter = header.security_counter;
    if let Some((bad, needed)) = bad.counter_of(header.component).filter(|(_, needed)| *needed > counter) {
        return Err(format!(
            "{name} has security counter {counter}, below {needed} of {bad}: devices with {bad} reject it"
        ));
    }
    match highest.filter(|(_, needed)| *needed > counter) {
        Some((thing, needed)) => {
            Err(format!("{name} has security counter {counter}, {thing} rejects counters below {needed}"))
        }
        None => Ok(()),
    }
}

impl Images {
    /// The components, each once, sorted.
    fn components(&self) -> Vec<String> {
        let name =
            |(_, header): &(String, Option<Header>)| header.map_or("none".to_owned(), |h| format!("{:?}", h.component));
        let mut names: Vec<String> = self.heads.iter().map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    fn of(&self, component: Component) -> Option<(&str, &Header)> {
        let mut headers = self.heads.iter().filter_map(|(name, header)| Some((name.as_str(), header.as_ref()?)));
        headers.find(|(_, header)| header.component == component)
    }

    fn counter_of(&self, component: Component) -> Option<(&str, u32)> {
        self.of(component).map(|(name, header)| (name, header.security_counter))
    }

    fn version_of(&self, component: Component) -> Option<Version> {
        self.of(component).map(|(_, header)| header.version)
    }
}

async fn job(store: &Store, id: &str) -> Result<Job, AdminError> {
    store.job(id).await?.ok_or_else(|| AdminError::NoJob(id.to_owned()))
}

async fn images(store: &Store, files: &Files, job_id: &str) -> Result<Images, AdminError> {
    let ids: Vec<String> = store.job_files(job_id).await?.into_iter().map(|(_, image)| image.id).collect();
    let heads = heads(store, files, ids.iter().map(String::as_str)).await?;
    Ok(Images { ids, heads })
}

/// Name and header of each image.
async fn heads(
    store: &Store,
    files: &Files,
    ids: impl Iterator<Item = &str>,
) -> Result<Vec<(String, Option<Header>)>, AdminError> {
    let mut heads = Vec::new();
    for id in ids {
        let image = store.image(id).await?.ok_or_else(|| AdminError::Bad(format!("there is no image {id}")))?;
        let header = file_types::head(files, &image).await?.header;
        heads.push((image.name, header));
    }
    Ok(heads)
}

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

/// A job without things and files that is otherwise as this one.
fn like(job: &Job) -> Result<NewJob, AdminError> {
    Ok(NewJob {
        protocols: document(job)?.protocols,
        timeout_minutes: job.timeout_s.map(|timeout_s| timeout_s / 60),
        ..NewJob::default()
    })
}

/// The files of a job, for another one.
async fn new_files(store: &Store, job: &Job) -> Result<Vec<NewFile>, AdminError> {
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

/// The id of the release number `index` that takes back `id`.
pub fn revert_id(id: &str, index: usize) -> String {
    let end = if index == 0 { "-revert".to_owned() } else { format!("-revert-{}", index + 1) };
    let start: String = id.chars().take(JOB_ID_BYTES_MAX - end.len()).collect();
    start + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_revert_is_one_of_a_job() {
        assert_eq!((revert_id("v3", 0).as_str(), revert_id("v3", 1).as_str()), ("v3-revert", "v3-revert-2"));
        let long = revert_id(&"j".repeat(JOB_ID_BYTES_MAX), 11);
        assert!(ota_jobs::JobId::new(&long).is_ok() && long.ends_with("j-revert-12"), "{long}");
    }
}
