//! Tests of what a revert decides, over a real store and image files, with devices whose reports the test makes.

use std::time::Duration;

use ota_jobs::Status;
use ota_pal::image::header::Body;
use ota_pal::{HardwareId, Link, MajorMinor};

use super::super::fit;
use super::super::messages::Request;
use super::super::rules::{Change, StepTimer};
use super::super::service::JobService;
use super::*;
use crate::clock::now_s;
use crate::job_config::{JobConfig, RetryConfig};
use crate::limits::DATABASE_BYTES_MAX;
use crate::release_plan::{HaltRule, Mode, ReleasePlan};
use crate::serve::signed_url::Signer;
use crate::testing::TempDir;

struct World {
    _dir: TempDir,
    store: Store,
    files: Files,
    jobs: JobService,
}

impl World {
    async fn new() -> Self {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let jobs = JobService::new(store.clone(), Signer::new(&[1; 32], "http://h:1".into(), Duration::from_secs(60)));
        Self { store, files: Files::open(dir.path()).unwrap(), jobs, _dir: dir }
    }

    /// Uploads an image; its content follows from component and version.
    async fn image(&self, component: Component, version: u16) -> String {
        let header = Header {
            component,
            link: Link::Any,
            hardware: HardwareId::new("board-7").unwrap(),
            version: Version::new(version, 0, 0),
            security_counter: 0,
            load_address: 0,
            body: Body::new(512, 100).unwrap(),
            release_id: 9,
            system_min: MajorMinor::default(),
        };
        let mut bytes = header.emit().to_vec();
        bytes.resize(header.image_bytes() as usize, 0xA5);
        let mut upload = self.files.begin().unwrap();
        upload.write(&bytes).unwrap();
        let stored = upload.finish().unwrap();
        let name = format!("{component:?}-{version}");
        let image =
            Image { id: stored.id, name, size_bytes: stored.size_bytes, sha256: stored.sha256, signature: None };
        self.store.add_image(&image, "ann").await.unwrap();
        image.id
    }

    async fn app(&self, version: u16) -> Vec<String> {
        vec![self.image(Component::App, version).await]
    }

    /// Creates a release of these images, which `things` get at once, and takes back `reverts`.
    async fn create(&self, id: &str, images: &[String], things: &[&str], config: JobConfig, reverts: Option<&str>) {
        let file = |image: &String| NewFile {
            image: image.clone(),
            file_id: None,
            file_path: None,
            key_name: None,
            signature: None,
            file_type: None,
        };
        let files = images.iter().map(file).collect();
        let things = things.iter().map(|thing| (*thing).to_owned()).collect();
        let job = NewJob { things, files, config, timeout_minutes: Some(1), ..NewJob::default() };
        let reverts = reverts.map(str::to_owned);
        let plan = ReleasePlan { mode: Mode::Immediate, halt: HaltRule::none(), reverts };
        self.jobs.release(id, &job, &plan, "ann").await.unwrap();
    }

    /// Creates a release, with which all of `things` succeed.
    async fn release(&self, id: &str, images: &[String], things: &[&str]) {
        self.create(id, images, things, JobConfig::default(), None).await;
        for thing in things {
            self.report(thing, id, Status::Succeeded).await;
        }
    }

    async fn report(&self, thing: &str, job_id: &str, status: Status) {
        let change =
            Change { status, details: None, expected_version: None, number: None, step_timer: StepTimer::Keep };
        let job_id = job_id.to_owned();
        let update = Request::Update { job_id, change, include_state: false, include_document: false };
        self.jobs.handle(thing, update, now_s()).await;
    }

    async fn revert(&self, id: &str) -> Result<Revert, AdminError> {
        decide(&self.store, &self.files, id, &[]).await
    }

    /// Reverts `v3`; returns the image and the things of each job.
    async fn instead_of_v3(&self) -> Vec<(String, Vec<String>)> {
        let jobs = self.revert("v3").await.unwrap().jobs;
        jobs.into_iter().map(|job| (job.files[0].image.clone(), job.things)).collect()
    }
}

#[test]
fn the_id_of_a_revert_is_one_of_a_job() {
    assert_eq!((revert_id("v3", 0).as_str(), revert_id("v3", 1).as_str()), ("v3-revert", "v3-revert-2"));
    let long = revert_id(&"j".repeat(JOB_ID_BYTES_MAX), 11);
    assert!(ota_jobs::JobId::new(&long).is_ok() && long.ends_with("j-revert-12"), "{long}");
}

#[tokio::test]
async fn the_same_content_that_was_uploaded_twice_is_not_the_image_before() {
    let world = World::new().await;
    let good = world.app(1).await;
    let (bad, again) = (world.app(3).await, world.app(3).await);
    assert_ne!(bad, again);
    world.release("v1", &good, &["lamp"]).await;
    world.release("v2", &bad, &["lamp"]).await;
    world.release("v3", &again, &["lamp"]).await;
    assert_eq!(world.instead_of_v3().await, [(good[0].clone(), vec!["lamp".to_owned()])]);
}

#[tokio::test]
async fn devices_with_two_uploads_of_the_same_content_get_one_job() {
    let world = World::new().await;
    let (good, again) = (world.app(2).await, world.app(2).await);
    world.release("v1", &good, &["lamp"]).await;
    world.release("v2", &again, &["door"]).await;
    world.release("v3", &world.app(3).await, &["door", "lamp"]).await;
    let jobs = world.instead_of_v3().await;
    assert_eq!((jobs.len(), &jobs[0].1), (1, &vec!["door".to_owned(), "lamp".to_owned()]));
}

#[tokio::test]
async fn a_device_that_rejected_its_revert_is_part_of_the_next_one() {
    let world = World::new().await;
    let good = world.app(2).await;
    world.release("v2", &good, &["door", "lamp", "shed"]).await;
    world.release("v3", &world.app(3).await, &["door", "lamp", "shed"]).await;
    world.create("v3-revert", &good, &["door", "lamp", "shed"], JobConfig::default(), Some("v3")).await;
    world.report("door", "v3-revert", Status::Rejected).await;
    world.report("lamp", "v3-revert", Status::Succeeded).await;
    assert_eq!(world.instead_of_v3().await, [(good[0].clone(), vec!["door".to_owned()])]);
}

#[tokio::test]
async fn a_device_with_a_later_image_keeps_it_unless_that_is_the_bad_one_again() {
    let world = World::new().await;
    let (good, bad) = (world.app(2).await, world.app(3).await);
    let all = ["again", "door", "lamp", "undone"];
    world.release("v2", &good, &all).await;
    world.release("v3", &bad, &all).await;
    world.release("v4", &world.app(4).await, &["lamp"]).await;
    world.release("v5", &world.app(5).await, &["undone"]).await;
    world.create("v5-revert", &bad, &["undone"], JobConfig::default(), Some("v5")).await;
    world.report("undone", "v5-revert", Status::Succeeded).await;
    world.release("v6", &world.app(3).await, &["again"]).await;
    let left = ["again", "door", "undone"].map(str::to_owned).to_vec();
    assert_eq!(world.instead_of_v3().await, [(good[0].clone(), left)]);
}

#[tokio::test]
async fn the_newest_job_with_the_component_decides_and_others_do_not_matter() {
    let world = World::new().await;
    let (app, system) = (world.app(1).await, vec![world.image(Component::System, 2).await]);
    world.release("v1", &app, &["door", "lamp"]).await;
    world.release("system", &system, &["door", "lamp"]).await;
    world.release("both", &[world.app(2).await, system.clone()].concat(), &["lamp"]).await;
    world.release("v3", &world.app(3).await, &["door", "lamp"]).await;
    let revert = world.revert("v3").await.unwrap();
    assert_eq!(revert.without, ["lamp"], "app 1 is older than what it had");
    assert_eq!((revert.jobs.len(), &revert.jobs[0].things), (1, &vec!["door".to_owned()]));
    assert_eq!(revert.jobs[0].files[0].image, app[0]);
}

#[tokio::test]
async fn a_device_that_was_queued_for_a_retry_when_it_was_cancelled_may_have_the_image() {
    let world = World::new().await;
    let good = world.app(2).await;
    world.release("v2", &good, &["door", "lamp"]).await;
    let config = JobConfig { retry: Some(RetryConfig::of_all(1)), ..JobConfig::default() };
    world.create("v3", &world.app(3).await, &["door", "lamp"], config, None).await;
    world.report("lamp", "v3", Status::InProgress).await;
    assert_eq!(world.jobs.time_out(now_s() + 61).await.unwrap().len(), 1);
    let mut cancellation = world.jobs.begin_cancel("v3", true, "ann").await.unwrap();
    while world.jobs.cancel_batch(&mut cancellation, now_s()).await.unwrap().is_some() {}
    assert_eq!(world.instead_of_v3().await, [(good[0].clone(), vec!["lamp".to_owned()])]);
}

#[tokio::test]
async fn the_image_before_is_taken_also_for_other_hardware_than_that_of_its_header() {
    let world = World::new().await;
    world.release("v2", &world.app(2).await, &["lamp"]).await;
    world.release("v3", &world.app(3).await, &["lamp"]).await;
    world.store.set_hardware("lamp", Some("board-8"), "ann", now_s()).await.unwrap();
    let revert = world.revert("v3").await.unwrap();
    assert!(fit::check(&world.store, &world.files, &revert.jobs[0]).await.is_ok());
}

#[tokio::test]
async fn pinned_devices_are_named_and_those_that_are_left_are_taken_back_later() {
    let world = World::new().await;
    let (good, other) = (world.app(1).await, world.app(2).await);
    world.release("v1", &good, &["door"]).await;
    world.release("v2", &other, &["lamp", "shed"]).await;
    let bad = world.app(3).await;
    world.release("v3", &bad, &["door", "lamp", "shed"]).await;
    for thing in ["door", "shed"] {
        world.store.pin(thing, true, "ann", now_s()).await.unwrap();
    }
    let revert = world.revert("v3").await.unwrap();
    assert_eq!((revert.jobs.len(), &revert.jobs[0].things), (1, &vec!["lamp".to_owned()]));
    assert_eq!((revert.pinned, revert.without.len()), (vec!["door".to_owned(), "shed".to_owned()], 0));
    world.create("v3-revert", &other, &["lamp"], JobConfig::default(), Some("v3")).await;
    assert!(matches!(world.revert("v3").await, Err(AdminError::Ended { .. })), "nothing is left but pinned ones");
    world.store.pin("door", false, "ann", now_s()).await.unwrap();
    assert_eq!(world.instead_of_v3().await, [(good[0].clone(), vec!["door".to_owned()])]);
}

#[tokio::test]
async fn a_release_stays_reverted_when_its_revert_is_deleted_and_its_id_can_be_used_again() {
    let world = World::new().await;
    let (good, bad) = (world.app(2).await, world.app(3).await);
    world.release("v3", &bad, &["lamp"]).await;
    let is_reverted = async || world.store.release("v3").await.unwrap().unwrap().is_reverted;
    for revert in ["v3-revert", "v3-revert-2"] {
        world.create(revert, &good, &["lamp"], JobConfig::default(), Some("v3")).await;
        assert!(is_reverted().await);
    }
    world.store.delete_job(&job(&world.store, "v3-revert").await.unwrap(), "ann").await.unwrap();
    assert!(is_reverted().await);
    world.store.delete_job(&job(&world.store, "v3").await.unwrap(), "ann").await.unwrap();
    world.release("v3", &good, &["lamp"]).await;
    assert!(!is_reverted().await);
    assert_eq!(world.store.release("v3-revert-2").await.unwrap().unwrap().plan.reverts, None);
}

/// A retry begins after the releases that came between; the order is that of the device's queue.
#[tokio::test]
async fn a_release_that_was_retried_after_another_one_is_the_later_of_both() {
    let world = World::new().await;
    let (old, good) = (world.app(1).await, world.app(2).await);
    let retry = async |thing: &str, id: &str| {
        world.report(thing, id, Status::Failed).await;
        world.jobs.retry_failed(id, "ann", now_s() + 60).await.unwrap();
        for status in [Status::InProgress, Status::Succeeded] {
            world.report(thing, id, status).await;
        }
    };
    world.release("v1", &old, &["door", "lamp"]).await;
    world.create("v2", &good, &["door"], JobConfig::default(), None).await;
    world.create("v3", &world.app(3).await, &["door", "lamp"], JobConfig::default(), None).await;
    world.report("door", "v3", Status::Succeeded).await;
    retry("door", "v2").await;
    world.release("v4", &good, &["lamp"]).await;
    retry("lamp", "v3").await;
    assert_eq!(world.instead_of_v3().await, [(good[0].clone(), vec!["lamp".to_owned()])], "door has v2 since");
}
