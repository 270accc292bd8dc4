//! Taking a release back: which images the devices that it reached get instead. Reads and decides; `http` and `console` cancel
//! the release, and create what is decided here. Copying an earlier job is in `job_copy.rs`.

use std::collections::{BTreeMap, BTreeSet};

use ota_jobs::limits::JOB_ID_BYTES_MAX;
use ota_pal::{Component, Header, Version};

use super::admin_error::AdminError;
use super::file_types;
use super::job_copy::{like, new_files};
use crate::api::{NewFile, NewJob};
use crate::device::Device;
use crate::model::{Image, Job};
use crate::release_api::REVERTED;
use crate::serve::files::Files;
use crate::store::{Reached, Store};

/// What a revert does.
#[derive(Clone, Debug, Default)]
pub struct Revert {
    /// A job for each set of images that devices get.
    pub jobs: Vec<NewJob>,
    /// Things whose images before are not known: none was recorded, or only some components were updated since.
    pub without: Vec<String>,
    /// Things that get none because they are pinned.
    pub pinned: Vec<String>,
    /// Whether an image is older than the one that it replaces: devices that accept newer versions only reject it.
    pub is_older: bool,
}

/// The images of a job.
struct Images {
    /// The SHA-256 of each, sorted: an image that was uploaded twice has two ids.
    digests: Vec<String>,
    heads: Vec<(String, Option<Header>)>,
}

/// What a thing that a release reached gets instead.
enum Instead {
    /// The images of this job, with these digests.
    Job { id: String, digests: Vec<String> },
    /// No job is known to have the images that it had.
    Unknown,
}

/// Decides what the devices of a release get instead: the images in `to`, or those that each had before. Devices that an earlier
/// revert of this release reached, or will reach, and those that have a later release, get nothing.
///
/// Errors: `NoRelease`; `Bad` if an image has a lower security counter than the release, or than a device reported, and for an
/// image that does not exist, or a release without images; `Ended` if the release was taken back and nothing is left to do; `Store`.
pub async fn decide(store: &Store, files: &Files, id: &str, to: &[NewFile]) -> Result<Revert, AdminError> {
    let release = store.release(id).await?.ok_or_else(|| AdminError::NoRelease(id.to_owned()))?;
    let bad = job(store, id).await?;
    if bad.stream.is_none() {
        return Err(AdminError::Bad(format!("{id} has a document of its own: no image is to be taken back")));
    }
    let images = images(store, files, id).await?;
    let reached = instead(store, files, &images, store.reached(id).await?).await?;
    let revert = match to {
        [] => earlier(store, &bad, reached).await?,
        to => {
            let things = reached.into_iter().map(|(thing, _)| thing).collect();
            Revert { jobs: vec![NewJob { things, files: to.to_vec(), ..like(&bad)? }], ..Revert::default() }
        }
    };
    let revert = pass_over_pinned(store, revert).await?;
    if release.is_reverted && revert.jobs.is_empty() {
        return Err(AdminError::Ended { id: id.to_owned(), status: REVERTED });
    }
    check(store, files, &images, revert).await
}

/// Finds what each thing gets instead, without those that get nothing.
async fn instead(
    store: &Store,
    files: &Files,
    bad: &Images,
    reached: Vec<Reached>,
) -> Result<Vec<(String, Instead)>, AdminError> {
    let mut images_of = BTreeMap::new();
    for id in reached.iter().flat_map(|thing| thing.later.iter().chain(&thing.earlier)).collect::<BTreeSet<_>>() {
        images_of.insert(id.clone(), images(store, files, id).await?);
    }
    let found = reached.into_iter().filter_map(|thing| {
        let instead = thing_instead(&images_of, bad, &thing)?;
        Some((thing.thing, instead))
    });
    Ok(found.collect())
}

/// Decides by the newest job that has a component of the bad images: an older one has images that were replaced. `None` for a thing
/// that has later images of all these components.
fn thing_instead(images_of: &BTreeMap<String, Images>, bad: &Images, thing: &Reached) -> Option<Instead> {
    let components = bad.components();
    let with_component = |id: &String| {
        let images = images_of.get(id).filter(|images| !images.components().is_disjoint(&components))?;
        Some((id.clone(), images))
    };
    let later = thing.later.iter().find_map(with_component);
    if let Some((_, later)) = later.filter(|(_, later)| later.digests != bad.digests) {
        return (!later.components().is_superset(&components)).then_some(Instead::Unknown);
    }
    let mut others =
        thing.earlier.iter().filter_map(with_component).filter(|(_, images)| images.digests != bad.digests);
    Some(match others.next() {
        Some((id, images)) if images.components() == components => Instead::Job { id, digests: images.digests.clone() },
        _ => Instead::Unknown,
    })
}

/// Each thing gets what it had before.
async fn earlier(store: &Store, bad: &Job, reached: Vec<(String, Instead)>) -> Result<Revert, AdminError> {
    let mut revert = Revert::default();
    // One job for the same content, whichever upload of it a thing had.
    let mut jobs = BTreeMap::<Vec<String>, (String, Vec<String>)>::new();
    for (thing, instead) in reached {
        match instead {
            Instead::Job { id, digests } => jobs.entry(digests).or_insert_with(|| (id, Vec::new())).1.push(thing),
            Instead::Unknown => revert.without.push(thing),
        }
    }
    for (job_id, things) in jobs.into_values() {
        let files = new_files(store, &job(store, &job_id).await?).await?;
        // The image ran on these things already, whatever hardware they report.
        revert.jobs.push(NewJob { files, things, any_hardware: true, ..like(bad)? });
    }
    Ok(revert)
}

/// Takes the pinned things out of the jobs, and drops the jobs that are left without things.
async fn pass_over_pinned(store: &Store, mut revert: Revert) -> Result<Revert, AdminError> {
    for job in &mut revert.jobs {
        let pinned = store.pinned_of(&job.things).await?;
        job.things.retain(|thing| pinned.binary_search(thing).is_err());
        revert.pinned.extend(pinned);
    }
    revert.jobs.retain(|job| !job.things.is_empty());
    revert.pinned.sort();
    Ok(revert)
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
    fn components(&self) -> BTreeSet<String> {
        let name =
            |(_, header): &(String, Option<Header>)| header.map_or("none".to_owned(), |h| format!("{:?}", h.component));
        self.heads.iter().map(name).collect()
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
    let images: Vec<Image> = store.job_files(job_id).await?.into_iter().map(|(_, image)| image).collect();
    let heads = heads(store, files, images.iter().map(|image| image.id.as_str())).await?;
    let mut digests: Vec<String> = images.into_iter().map(|image| image.sha256).collect();
    digests.sort();
    Ok(Images { digests, heads })
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

/// The id of the release number `index` that takes back `id`.
pub fn revert_id(id: &str, index: usize) -> String {
    let end = if index == 0 { "-revert".to_owned() } else { format!("-revert-{}", index + 1) };
    let start: String = id.chars().take(JOB_ID_BYTES_MAX - end.len()).collect();
    start + &end
}

#[cfg(test)]
mod tests;
