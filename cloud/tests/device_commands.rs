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
use console::start;
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
    done(&world, &dir, "device set lamp --hardware=").await;
    assert!(done(&world, &dir, "device list lamp").await.contains("since the service started  -"));
    world.service.stop().await;
}
