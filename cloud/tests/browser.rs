//! The console in a real browser: a person signs in, uploads, creates an update with clicks, watches it, and cancels the rest.
//! The pictures of the pages are in `target/tmp/console`. With `UPDATE` set, those of the documentation are taken, too.

#![allow(clippy::unwrap_used)]

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::path::Path;

use browser::{Browser, is_installed, pictures};
use common::{Device, TempDir, TestService, config, pattern, skip};
use ota_pal::image::header::Body;
use ota_pal::{Component, HardwareId, Header, Link, MajorMinor, Version};
use serde_json::json;

/// Widths of a phone, of the narrowest page with tables, and of a desk. Unit: CSS pixels.
const WIDTHS: [u32; 3] = [360, 1000, 1280];

/// Keys of the keyboard. Source: W3C WebDriver, "keyboard actions".
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";

/// Largest layout shift while devices report; browsers call a page good up to 0.1.
const SHIFT_MAX: f64 = 0.02;

/// An image of version 2.1.0, as `ota sign` makes it.
fn image(len: usize) -> Vec<u8> {
    let header = Header {
        component: Component::App,
        link: Link::Any,
        hardware: HardwareId::new("lamp-rev3").unwrap(),
        version: Version::new(2, 1, 0),
        security_counter: 0,
        load_address: 0,
        body: Body::new(64, u32::try_from(len).unwrap()).unwrap(),
        release_id: 0,
        system_min: MajorMinor::default(),
    };
    let mut image = vec![0xFF; 64];
    let header = header.emit();
    image[..header.len()].copy_from_slice(&header);
    image.extend(pattern(len));
    image
}

async fn device(world: &TestService, name: &str) -> Device {
    let (mut device, granted) = Device::connect(world.port(), name, &format!("$aws/things/{name}/#")).await;
    assert!(granted);
    device.publish(&format!("$aws/things/{name}/jobs/get"), "{}").await;
    device.next("/get/accepted").await;
    device
}

async fn report(device: &mut Device, name: &str, update: serde_json::Value) {
    device.publish(&format!("$aws/things/{name}/jobs/lamps-2-1-0/update"), update.to_string()).await;
    device.next("/update/accepted").await;
}

/// Checks that nothing is wider than the page, and takes its pictures.
async fn check_look(browser: &Browser, name: &str) {
    for width in WIDTHS {
        for scheme in ["light", "dark"] {
            browser.look(width, scheme).await;
            let wide = browser.eval("document.documentElement.scrollWidth").await;
            assert_eq!(wide, width, "{name} is wider than the page");
            let inside = "[...document.querySelectorAll('main table')]\
                .every(table => table.offsetWidth <= table.parentElement.offsetWidth)";
            assert_eq!(browser.eval(inside).await, true, "{name}: a table is wider than its card at {width}");
            browser.picture(&pictures().join(format!("{name}-{width}-{scheme}.png"))).await;
        }
    }
}

/// Takes a picture for the documentation of the upper part of the page, if that is asked for.
async fn illustrate(browser: &Browser, name: &str, height: u32) {
    const WIDTH: u32 = 1000;
    if std::env::var_os("UPDATE").is_some() {
        browser.look(WIDTH, "light").await;
        browser.eval("document.activeElement.blur()").await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
        browser.upper_part(WIDTH, height, &folder.join(format!("{name}.png"))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_creates_an_update_with_clicks_watches_it_and_cancels_the_rest() {
    if !is_installed() {
        return skip("chromium and chromium-driver");
    }
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let (mut lamp, mut door) = (device(&world, "lamp").await, device(&world, "door").await);
    let browser = Browser::start().await;
    sign_in(&browser, &world).await;
    upload(&browser, &dir).await;
    create(&browser).await;
    watch(&browser, &mut lamp, &mut door).await;
    cancel_the_rest(&browser).await;
    for (name, path) in [
        ("updates", "/"),
        ("devices", "/devices"),
        ("device", "/devices/door"),
        ("audit", "/audit"),
        ("access", "/access"),
    ] {
        browser.open(&format!("http://{}{path}", world.service.http)).await;
        check_look(&browser, name).await;
    }
    assert_eq!(browser.log().await, Vec::<String>::new(), "no error of a script, nothing refused");
    browser.click("#sign-out").await;
    browser.until("location.pathname == '/sign-in'").await;
    drop(browser);
    world.service.stop().await;
}

async fn sign_in(browser: &Browser, world: &TestService) {
    browser.open(&format!("http://{}/", world.service.http)).await;
    browser.until("location.pathname == '/sign-in'").await;
    check_look(browser, "sign-in").await;
    browser.enter("#secret", &world.token).await;
    browser.click("#sign-in").await;
    browser.shows("There is no update yet").await;
    check_look(browser, "empty").await;
    browser.enter("body", TAB).await;
    assert_eq!(browser.eval("document.activeElement.className").await, "skip", "the first stop of the keyboard");
}

async fn upload(browser: &Browser, dir: &TempDir) {
    let path = dir.path().join("lamp-2.1.0.img");
    std::fs::write(&path, image(300_000)).unwrap();
    browser.click("nav a[href='/images']").await;
    browser.enter("#signature", "MEUC").await;
    browser.enter("#file", path.to_str().unwrap()).await;
    browser.click("#upload-button").await;
    browser.shows("lamp-2.1.0.img is uploaded.").await;
    check_look(browser, "images").await;
    browser.click("#uploaded a").await;
}

async fn create(browser: &Browser) {
    browser.until("document.querySelectorAll('input[name=image]:checked').length == 1").await;
    browser.enter("#filter", &format!("lam{ENTER}")).await;
    browser.until("!document.querySelector('input[value=door]')").await;
    browser.click("input[value=lamp]").await;
    browser.clear("#filter").await;
    browser.until("document.querySelector('input[value=door]') != null").await;
    browser.click("input[value=door]").await;
    browser.enter("#names", "fan shed").await;
    browser.clear("#id").await;
    browser.enter("#id", "lamps 2").await;
    browser.click("#review").await;
    browser.shows("job id").await;
    browser.clear("#id").await;
    browser.enter("#id", "lamps-2-1-0").await;
    check_look(browser, "create").await;
    browser.click("#review").await;
    browser.shows("4 devices will be asked to install lamp-2.1.0.img (version 2.1.0)").await;
    browser.shows("2 of the devices sent no request since the service started; check the names: fan, shed").await;
    check_look(browser, "review").await;
    illustrate(browser, "review", 560).await;
    // The refused form is the only line of the log.
    let log = browser.log().await;
    assert!(log.len() == 1 && log[0].contains("422"), "{log:?}");
    browser.click("#create").await;
    browser.until("location.pathname == '/jobs/lamps-2-1-0'").await;
}

async fn watch(browser: &Browser, lamp: &mut Device, door: &mut Device) {
    browser.look(1280, "light").await;
    browser.shows("0 of 4 devices ended.").await;
    browser.until("document.getElementById('connection').textContent == 'Live'").await;
    browser.eval("window.untouched = true").await;
    browser.eval(
        "new PerformanceObserver(list => list.getEntries().forEach(entry => window.shift = (window.shift ?? 0) + entry.value))\
         .observe({ type: 'layout-shift' })",
    )
    .await;
    browser.eval("document.getElementById('filter-failed').focus()").await;
    let progress =
        json!({ "status": "IN_PROGRESS", "statusDetails": { "self_test": "receiving", "receive": "40/100" } });
    report(lamp, "lamp", progress).await;
    browser.shows("40 %").await;
    let failed = json!({ "self_test": "rejected", "reason": "ImageHeaderInvalid", "code": "0x0203" });
    report(door, "door", json!({ "status": "FAILED", "statusDetails": failed })).await;
    browser.shows("The image does not begin with a valid header. (0x0203)").await;
    let done = json!({ "self_test": "accepted", "reason": "accepted", "version": "2.1.0" });
    report(lamp, "lamp", json!({ "status": "SUCCEEDED", "statusDetails": done })).await;
    browser.shows("2 of 4 devices ended: 1 succeeded, 1 failed.").await;
    assert_eq!(browser.eval("window.untouched").await, true, "without loading the page again");
    assert_eq!(browser.eval("document.activeElement.id").await, "filter-failed", "the focus stays");
    let shift = browser.eval("window.shift ?? 0").await.as_f64().unwrap();
    assert!(shift < SHIFT_MAX, "rows move while a person reads: {shift}");
    check_look(browser, "watch").await;
    illustrate(browser, "update", 640).await;
}

async fn cancel_the_rest(browser: &Browser) {
    browser.click("#cancel summary").await;
    check_look(browser, "cancel").await;
    browser.click("#cancel-confirm").await;
    browser.shows("2 devices cancelled.").await;
    browser.shows("4 of 4 devices ended: 1 succeeded, 1 failed, 2 cancelled.").await;
    browser.click("#filter-canceled").await;
    browser.until("document.querySelectorAll('tr[data-thing]').length == 2").await;
    check_look(browser, "canceled").await;
}
