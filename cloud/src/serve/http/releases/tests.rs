//! Tests of a revert that is interrupted, with a job service whose responses the test sends.

use std::time::Duration;

use ota_jobs::Status;
use tokio::sync::mpsc;

use super::*;
use crate::api::{CancelResponse, NewFile};
use crate::model::Image;
use crate::serve::jobs::command::{Answer, Command};
use crate::serve::jobs::handle::JobsHandle;
use crate::serve::jobs::messages::Request;
use crate::serve::jobs::presence::Presence;
use crate::serve::jobs::rules::{Change, StepTimer};
use crate::serve::jobs::service::JobService;
use crate::testing::TempDir;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Stores a release of an image with this content, with which `lamp` succeeds.
async fn release(app: &App, id: &str) {
    let mut upload = app.files.begin().unwrap();
    upload.write(id.as_bytes()).unwrap();
    let stored = upload.finish().unwrap();
    let (name, signature) = (id.to_owned(), None);
    let image = Image { id: stored.id, name, size_bytes: stored.size_bytes, sha256: stored.sha256, signature };
    app.store.add_image(&image, "ann").await.unwrap();
    let file: NewFile = serde_json::from_value(serde_json::json!({"image": image.id})).unwrap();
    let job = NewJob { things: vec!["lamp".to_owned()], files: vec![file], ..NewJob::default() };
    let jobs = JobService::new(app.store.clone(), app.signer.clone());
    jobs.release(id, &job, &ReleasePlan { mode: Mode::Immediate, ..ReleasePlan::default() }, "ann").await.unwrap();
    let (status, step_timer) = (Status::Succeeded, StepTimer::Keep);
    let change = Change { status, details: None, expected_version: None, number: None, step_timer };
    let job_id = id.to_owned();
    let update = Request::Update { job_id, change, include_state: false, include_document: false };
    jobs.handle("lamp", update, now_s()).await;
}

async fn command(commands: &mut mpsc::Receiver<Command>) -> Command {
    tokio::time::timeout(TIMEOUT, commands.recv()).await.unwrap().unwrap()
}

async fn cancel(commands: &mut mpsc::Receiver<Command>) -> Answer<CancelResponse> {
    match command(commands).await {
        Command::Cancel { id, force: true, done, .. } if id == "v3" => done,
        _ => panic!("another command"),
    }
}

async fn create(commands: &mut mpsc::Receiver<Command>) -> Answer<Vec<String>> {
    match command(commands).await {
        Command::Release { id, job, plan, done, .. } => {
            assert_eq!((id.as_str(), job.things[0].as_str()), ("v3-revert", "lamp"));
            assert_eq!(plan.reverts.as_deref(), Some("v3"));
            done
        }
        _ => panic!("another command"),
    }
}

#[tokio::test]
async fn a_client_that_disconnects_does_not_stop_a_revert_and_one_that_failed_is_finished_by_the_next() {
    let dir = TempDir::new();
    let (sender, mut commands) = mpsc::channel(1);
    let app = App { jobs: JobsHandle::new(sender, Presence::new(true)), ..App::for_tests(&dir).await };
    let app = Arc::new(app);
    for id in ["v2", "v3"] {
        release(&app, id).await;
    }
    let request = || {
        let app = app.clone();
        tokio::spawn(async move { revert(&app, "v3", &RevertRequest::default(), "ann").await })
    };
    let handler = request();
    let canceled = cancel(&mut commands).await;
    handler.abort();
    assert!(handler.await.is_err_and(|error| error.is_cancelled()));
    canceled.send(Ok(CancelResponse::default())).unwrap();
    create(&mut commands).await.send(Err(AdminError::Store(StoreError::Full))).unwrap();

    let next = request();
    cancel(&mut commands).await.send(Ok(CancelResponse::default())).unwrap();
    create(&mut commands).await.send(Ok(Vec::new())).unwrap();
    assert_eq!(next.await.unwrap().unwrap().releases[0].devices, 1);
}
