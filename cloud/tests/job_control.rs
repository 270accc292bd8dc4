//! What a person does with a job that runs, in the console, over HTTP and on the command line: pause, resume, another attempt,
//! and the cancellation of one execution; and the windows in which devices get it.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/image.rs"]
mod image;
#[path = "common/tool.rs"]
mod tool;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Device, TIMEOUT, TempDir, TestService, request};
use console::{Console, start, with_job};
use serde_json::Value;
use tool::{done, ota, ota_with};

const JSON: &str = "Content-Type: application/json\r\n";

/// A job for three things, of which one a minute gets it.
async fn slow(dir: &TempDir) -> TestService {
    let world = start(dir).await;
    let order = br#"{"things":["lamp","door","fan"],"document":{},
        "config":{"jobExecutionsRolloutConfig":{"maximumPerMinute":1}}}"#;
    world.admin("PUT", "/api/jobs/one", JSON, order).await;
    world
}

async fn job(world: &TestService) -> Value {
    serde_json::from_slice(&world.admin("GET", "/api/jobs/one", "", b"").await).unwrap()
}

/// The events of a job's audit about `text`, by whom.
async fn by(world: &TestService, text: &str) -> Vec<String> {
    let events: Value = serde_json::from_slice(&world.admin("GET", "/api/events?job=one", "", b"").await).unwrap();
    let about = events.as_array().unwrap().iter().filter(|event| event["text"] == text);
    about.map(|event| event["by"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pauses_a_rollout_sees_it_and_resumes_it() {
    let dir = TempDir::new();
    let world = slow(&dir).await;
    let console = Console::sign_in(&world).await;
    let page = console.page("/jobs/one").await;
    assert!(page.contains("id=\"pause\"") && !page.contains("id=\"resume\""), "{page}");
    let paused = console.post("/jobs/one/pause", "").await;
    assert_eq!((paused.status, paused.header("location")), (303, Some("/jobs/one")));
    let page = console.page("/jobs/one").await;
    let parts = ["<span class=\"state paused\">Paused</span>", "No further device gets it until it is resumed."];
    assert!(parts.iter().all(|part| page.contains(part)), "{page}");
    assert!(page.contains("id=\"resume\"") && !page.contains("id=\"pause\""), "{page}");
    assert!(console.page("/").await.contains("Paused"));
    let again = console.post("/jobs/one/pause", "").await;
    assert!(again.status == 409 && again.text().contains("job one is paused already"), "{}", again.text());
    assert_eq!(job(&world).await["paused"], true);
    assert_eq!(console.post("/jobs/one/resume", "").await.status, 303);
    assert!(console.page("/jobs/one").await.contains("In progress"));
    assert_eq!((by(&world, "paused").await.len(), by(&world, "resumed").await.len()), (1, 1));
    assert_eq!(console.post("/jobs/none/pause", "").await.status, 404);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_failed_gets_the_update_again_with_one_click() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp"]).await;
    let console = Console::sign_in(&world).await;
    assert!(!console.page("/jobs/one").await.contains("id=\"retry-confirm\""), "nothing has failed");
    let mut lamp = Device::lamp(&world).await;
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"FAILED"}"#).await;
    lamp.next("/one/update/accepted").await;
    lamp.next("/notify-next").await;
    assert!(console.page("/jobs/one").await.contains("id=\"retry-confirm\""));
    let retried = console.post("/jobs/one/retry", "").await;
    let at = retried.header("location").unwrap();
    assert_eq!((retried.status, at), (303, "/jobs/one?retried=1&pinned=0"));
    let page = console.page(at).await;
    assert!(page.contains("1 device queued again.") && page.contains("0 of 1 device ended."), "{page}");
    assert_eq!(lamp.json("/notify-next").await["execution"]["executionNumber"], 2);
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"SUCCEEDED","executionNumber":2}"#).await;
    lamp.next("/one/update/accepted").await;
    assert!(console.page("/jobs/one").await.contains("1 of 1 device ended: 1 succeeded."));
    let again = console.post("/jobs/one/retry", "").await;
    assert!(again.status == 409 && again.text().contains("no execution of job one has failed"), "{}", again.text());
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_is_cancelled_and_the_others_go_on() {
    let dir = TempDir::new();
    let world = with_job(&dir, &["lamp", "door"]).await;
    let console = Console::sign_in(&world).await;
    assert!(console.page("/devices/door").await.contains("id=\"cancel-one\""));
    let canceled = console.post("/devices/door/cancel", "job=one").await;
    assert_eq!((canceled.status, canceled.header("location")), (303, Some("/devices/door")));
    let page = console.page("/devices/door").await;
    assert!(page.contains("Cancelled") && !page.contains("id=\"cancel-one\""), "{page}");
    let mut lamp = Device::lamp(&world).await;
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"IN_PROGRESS"}"#).await;
    lamp.next("/one/update/accepted").await;
    let refused = console.post("/devices/lamp/cancel", "job=one").await;
    assert!(refused.status == 409 && refused.text().contains("force is needed"), "{}", refused.text());
    assert!(console.page("/devices/lamp").await.contains("name=\"force\" value=\"yes\""));
    done(&world, &dir, "job cancel one --thing lamp --force").await;
    let (code, _, error) = ota(&world, &dir, "job cancel one --thing lamp --force").await;
    assert!(code == 1 && error.contains("the execution is CANCELED"), "{error}");
    assert_eq!(console.post("/devices/door/cancel", "job=none").await.status, 404);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_pauses_resumes_and_retries_and_a_viewer_does_not() {
    let dir = TempDir::new();
    let world = slow(&dir).await;
    let end = Instant::now() + TIMEOUT;
    while job(&world).await["executions"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < end, "the first thing gets it at once");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    done(&world, &dir, "job pause one").await;
    assert!(done(&world, &dir, "job list").await.contains("waiting 2, paused"));
    done(&world, &dir, "job resume one").await;
    let (code, _, error) = ota(&world, &dir, "job resume one").await;
    assert!(code == 1 && error.contains("job one is not paused"), "{error}");
    let (code, _, error) = ota(&world, &dir, "job retry one").await;
    assert!(code == 1 && error.contains("no execution of job one has failed"), "{error}");
    let mut lamp = Device::lamp(&world).await;
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"REJECTED"}"#).await;
    lamp.next("/one/update/accepted").await;
    assert_eq!(done(&world, &dir, "job retry one").await, "1 queued again\n");

    let token = world.admin("PUT", "/api/tokens/eve", JSON, br#"{"role":"viewer"}"#).await;
    let token: Value = serde_json::from_slice(&token).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token["token"].as_str().unwrap());
    for path in ["pause", "resume", "retry", "things/lamp/cancel"] {
        let refused = request(world.service.http, "POST", &format!("/api/jobs/one/{path}"), &headers, b"").await;
        assert_eq!(refused.status, 403, "{path}");
    }
    let console = Console::sign_in_with(&world, token["token"].as_str().unwrap()).await;
    let page = console.page("/jobs/one").await;
    assert!(!page.contains("id=\"pause\"") && !page.contains("id=\"cancel-confirm\""), "{page}");
    for path in ["/jobs/one/pause", "/jobs/one/resume", "/jobs/one/retry", "/devices/lamp/cancel"] {
        assert_eq!(console.post(path, "job=one").await.status, 403, "{path}");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintenance_window_is_set_in_the_form_or_on_the_command_line_and_shown() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    let console = Console::sign_in(&world).await;
    let image = world.upload(b"image").await;
    // A minute on the last day of February: closed in all others.
    let fields = |window: &str, minutes: &str| {
        format!("step=create&id=one&image={image}&thing=lamp&protocols=MQTT&window={window}&window_minutes={minutes}")
    };
    let refused = console.post("/new", &fields("cron(0+2+*+*+*+*)", "60")).await;
    let text = refused.text();
    assert!(refused.status == 422 && text.contains("must be ?") && text.contains("cron(0 2 * * * *)"), "{text}");
    let created = console.post("/new", &fields("cron(0+2+L+2+?+*)", "1")).await;
    assert_eq!((created.status, created.header("location")), (303, Some("/jobs/one")), "{}", created.text());
    let page = console.page("/jobs/one").await;
    assert!(page.contains("The next maintenance window begins at 20"), "{page}");
    let window = &job(&world).await["config"]["schedulingConfig"]["maintenanceWindows"][0];
    assert_eq!((&window["startTime"], &window["durationInMinutes"]), (&"cron(0 2 L 2 ? *)".into(), &1.into()));
    std::fs::write(dir.path().join("job.json"), "{}").unwrap();
    let arguments = ["job", "create", "--id", "two", "--thing", "lamp", "--document", "job.json", "--window"];
    for (start, minutes, word) in [
        ("cron(0 2 * * * *)", "60", "must be ?"),
        ("cron(0 2 ? * SUN *)", "1431", "durationInMinutes of 1431"),
        ("cron(0 2 ? * SUN 1999)", "60", "no maintenance window begins"),
    ] {
        let (code, _, error) =
            ota_with(&world, &dir, [&arguments[..], &[start, "--window-minutes", minutes]].concat()).await;
        assert!(code == 1 && error.contains(word), "{error}");
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let soon = ota_cloud::schedule::written(now_s + 2 * 3600);
    let late = [&arguments[..], &["cron(0 2 L 2 ? *)", "--window-minutes", "1", "--end", &soon]].concat();
    let (code, _, error) = ota_with(&world, &dir, late).await;
    assert!(code == 1 && error.contains("not before endTime"), "{error}");
    let whole_day = [&arguments[..], &["cron(0 0/12 * * ? *)", "--window-minutes", "720"]].concat();
    let (code, _, error) = ota_with(&world, &dir, whole_day).await;
    assert_eq!(code, 0, "{error}");
    Device::lamp(&world).await.next("/notify-next").await;
    world.service.stop().await;
}
