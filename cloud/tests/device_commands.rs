//! `ota device`, and images for other hardware, as processes.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/image.rs"]
mod image;
#[path = "common/tool.rs"]
mod tool;

use common::TempDir;
use console::{Console, start};
use ota_pal::{HardwareId, Header};
use tool::{done, ota, write};

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_an_image_for_other_hardware_is_refused_unless_it_is_asked_for() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    write(&dir, "v2.img", &Header { hardware: HardwareId::new("board-8").unwrap(), ..image::header(2, 0) });
    done(&world, &dir, "device set lamp --hardware board-7").await;
    done(&world, &dir, "device pin door").await;
    let list = done(&world, &dir, "device list").await;
    let absent = "not connected, no contact recorded since the service started";
    assert_eq!(list, format!("door  {absent}  -  -  pinned\nlamp  {absent}  board-7  -\n"));
    let create = "job create --unsigned --thing lamp --image v2.img --id v2";
    let refused = ota(&world, &dir, create).await;
    assert!(refused.0 == 1 && refused.2.contains("the image is for board-8, not for lamp (board-7)"), "{}", refused.2);
    assert_eq!(done(&world, &dir, "job list").await, "");
    done(&world, &dir, &format!("{create} --any-hardware")).await;
    let shown = done(&world, &dir, "device show lamp").await;
    assert!(
        shown.contains("first in its queue: v2, QUEUED since 2") && shown.contains("; 0 jobs behind it\n"),
        "{shown}"
    );
    done(&world, &dir, "device set lamp --hardware=").await;
    assert!(done(&world, &dir, "device list lamp").await.contains("since the service started  -"));
    world.service.stop().await;
}

/// A job that the agent leaves to the application, which does nothing with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_jobs_behind_it_wait_for_is_named() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    std::fs::write(dir.path().join("blink.json"), r#"{"do":"blink"}"#).unwrap();
    write(&dir, "v2.img", &image::header(2, 0));
    done(&world, &dir, "job create --id blink --document blink.json --thing lamp").await;
    for id in ["v2", "v3"] {
        done(&world, &dir, &format!("job create --unsigned --id {id} --image v2.img --thing lamp")).await;
    }
    let hint = "it is for the application of the device: the others wait until that reports its end";
    let shown = done(&world, &dir, "device show lamp").await;
    assert!(shown.contains("first in its queue: blink, QUEUED since 2") && shown.contains(hint), "{shown}");
    assert!(shown.contains("; 2 jobs behind it"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&done(&world, &dir, "device show lamp --json").await).unwrap();
    assert_eq!(
        (&json["queue"]["first"], &json["queue"]["custom"], &json["queue"]["behind"]),
        (&"blink".into(), &true.into(), &2.into())
    );
    let console = Console::sign_in(&world).await;
    let page = console.page("/devices/lamp").await;
    assert!(page.contains("<a href=\"/jobs/blink\">blink</a>, queued since 2"), "{page}");
    assert!(page.contains("2 updates behind it") && page.contains(hint), "{page}");
    done(&world, &dir, "job cancel blink").await;
    let shown = done(&world, &dir, "device show lamp").await;
    assert!(
        shown.contains("first in its queue: v2") && shown.contains("The others begin when it has ended"),
        "{shown}"
    );
    for id in ["v2", "v3"] {
        done(&world, &dir, &format!("job cancel {id}")).await;
    }
    assert!(!done(&world, &dir, "device show lamp").await.contains("queue"));
    assert!(!console.page("/devices/lamp").await.contains("id=\"queue\""));
    world.service.stop().await;
}
