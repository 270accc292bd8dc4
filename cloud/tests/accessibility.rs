//! Every page of the console, on a phone and on a desk, dark and light, has no violation of the rules of axe-core
//! (<https://github.com/dequelabs/axe-core>), which runs in a real browser. Rules that need a person are not among them.

#![allow(clippy::unwrap_used)]

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/image.rs"]
mod image;

use std::path::{Path, PathBuf};

use browser::{Browser, is_installed};
use common::{Device, TempDir, TestService, config, skip};
use serde_json::{Value, json};

/// Widths of a phone and of a desk. Unit: CSS pixels.
const WIDTHS: [u32; 2] = [360, 1280];

/// Where `.ci/tools` installs axe-core.
fn axe() -> Option<String> {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/lib");
    let versions = std::fs::read_dir(libraries).ok()?;
    let places =
        versions.filter_map(Result::ok).map(|python| python.path().join("site-packages/axe_playwright_python"));
    let files: Vec<PathBuf> = places.map(|place| place.join("axe.min.js")).filter(|file| file.exists()).collect();
    std::fs::read_to_string(files.first()?).ok()
}

/// The pages under test.
struct Pages {
    browser: Browser,
    axe: String,
    base: String,
    /// The violations, each with its page.
    found: Vec<String>,
}

impl Pages {
    /// Opens a page and checks it.
    async fn check(&mut self, path: &str) {
        self.browser.open(&format!("{}{path}", self.base)).await;
        self.check_open(path).await;
    }

    /// Checks the page that is open, with all that can be unfolded.
    async fn check_open(&mut self, name: &str) {
        self.browser.eval("document.querySelectorAll('details').forEach(details => details.open = true)").await;
        for width in WIDTHS {
            for scheme in ["light", "dark"] {
                self.browser.look(width, scheme).await;
                let found = self.browser.violations(&self.axe).await;
                self.found.extend(found.iter().map(|text| format!("{name} at {width} px, {scheme}: {text}")));
            }
        }
    }
}

async fn put(world: &TestService, path: &str, body: &Value) {
    world.admin("PUT", path, "Content-Type: application/json\r\n", body.to_string().as_bytes()).await;
}

/// A device that sent a request.
async fn device(world: &TestService, name: &str) -> Device {
    let (mut device, granted) = Device::connect(world.port(), name, &format!("$aws/things/{name}/#")).await;
    assert!(granted);
    device.publish(&format!("$aws/things/{name}/jobs/get"), "{}").await;
    device.next("/get/accepted").await;
    device
}

/// The device reports this about the update `lamps-2`.
async fn report(device: &mut Device, name: &str, update: Value) {
    device.publish(&format!("$aws/things/{name}/jobs/lamps-2/update"), update.to_string()).await;
    device.next("/update/accepted").await;
}

/// A release; an update with devices in most states, which is paused; one that was cancelled; devices that are pinned or on hold.
async fn fill(world: &TestService) -> [Device; 4] {
    let image = image::upload(world, "lamp-2.0.0.img", &image::header(2, 0)).await;
    let mut devices = [
        device(world, "lamp").await,
        device(world, "door").await,
        device(world, "fan").await,
        device(world, "shed").await,
    ];
    put(world, "/api/groups/garden", &json!({})).await;
    put(world, "/api/things/shed/pin", &json!({})).await;
    let (things, files) = (json!(["lamp", "door", "fan", "attic"]), json!([{"image": image}]));
    let rate = json!({"jobExecutionsRolloutConfig": {"maximumPerMinute": 1000}});
    put(
        world,
        "/api/jobs/lamps-2",
        &json!({"things": things, "files": files, "groups": ["garden"], "continuous": true}),
    )
    .await;
    let progress = json!({"self_test": "receiving", "receive": "40/100"});
    report(&mut devices[0], "lamp", json!({"status": "IN_PROGRESS", "statusDetails": progress})).await;
    let failed = json!({"self_test": "rejected", "reason": "ImageHeaderInvalid", "code": "0x0203"});
    report(&mut devices[1], "door", json!({"status": "FAILED", "statusDetails": failed})).await;
    report(&mut devices[2], "fan", json!({"status": "SUCCEEDED", "statusDetails": {"version": "2.0.0"}})).await;
    world.admin("POST", "/api/jobs/lamps-2/pause", "", b"").await;
    put(world, "/api/jobs/canceled", &json!({"things": things, "files": files, "config": rate})).await;
    world.admin("POST", "/api/jobs/canceled/cancel", "", b"").await;
    put(world, "/api/releases/v2", &json!({"job": {"things": things, "files": files}})).await;
    put(world, "/api/releases/halted", &json!({"job": {"things": things, "files": files}})).await;
    let reason = br#"{"reason":"the lamps flicker"}"#;
    world.admin("POST", "/api/releases/halted/halt", "Content-Type: application/json\r\n", reason).await;
    put(world, "/api/accounts/ann", &json!({"role": "operator", "password": "a password of ann"})).await;
    devices
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_the_console_violates_a_rule_of_accessibility() {
    if !is_installed() {
        return skip("chromium and chromium-driver");
    }
    let Some(axe) = axe() else { return skip("axe-core: .ci/tools") };
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let base = format!("http://{}", world.service.http);
    let mut pages = Pages { browser: Browser::start().await, axe, base, found: Vec::new() };
    pages.check("/sign-in").await;
    pages.browser.enter("#secret", &world.token).await;
    pages.browser.click("#sign-in").await;
    pages.browser.shows("There is no update yet").await;
    for empty in ["/", "/releases", "/images", "/devices", "/new", "/audit", "/access"] {
        pages.check(empty).await;
    }
    let _devices = fill(&world).await;
    for page in ["/", "/releases", "/releases/v2", "/releases/halted", "/images", "/devices", "/devices?filter=none"] {
        pages.check(page).await;
    }
    for page in ["/devices/lamp", "/devices/shed", "/audit", "/access", "/password", "/jobs/none", "/?page=9"] {
        pages.check(page).await;
    }
    for page in ["/jobs/lamps-2", "/jobs/lamps-2?status=FAILED", "/jobs/canceled?canceled=4&left=0"] {
        pages.check(page).await;
    }
    pages.check("/new").await;
    pages.browser.click("#review").await;
    pages.browser.until("document.querySelector('[role=alert]') != null").await;
    pages.check_open("a refused form").await;
    pages.browser.click("input[name=image]").await;
    pages.browser.click("input[value=lamp]").await;
    pages.browser.click("#review").await;
    pages.browser.until("document.getElementById('create') != null").await;
    pages.check_open("the review").await;
    assert!(pages.found.is_empty(), "{}", pages.found.join("\n"));
    drop(pages);
    world.service.stop().await;
}
