//! Mutual TLS at the embedded broker and HTTPS for images, with certificates made here.

#![allow(clippy::unwrap_used)]

#[path = "common/authority.rs"]
mod authority;
mod common;
#[path = "common/device_tls.rs"]
mod device_tls;

use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, secured};
use common::{Device, TempDir, TestService, pattern};
use device_tls::options;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_the_thing_that_its_certificate_names() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    let world = TestService::start(secured(dir.path(), &authority)).await;
    let identity = authority.issue("lamp", &[]);
    let filter = "$aws/things/lamp/#";
    let (mut device, granted) = Device::with(options(world.port(), "lamp", &authority, Some(&identity)), filter).await;
    assert!(granted);
    device.publish("$aws/things/lamp/jobs/get", "{}").await;
    device.next("/get/accepted").await;

    let (_, granted) = Device::with(options(world.port(), "lamp", &authority, None), filter).await;
    assert!(!granted, "no certificate");
    let other = authority.issue("door", &[]);
    let (_, granted) = Device::with(options(world.port(), "lamp", &authority, Some(&other)), filter).await;
    assert!(!granted, "another thing's certificate");
    let foreign = Authority::new().issue("lamp", &[]);
    let (_, granted) = Device::with(options(world.port(), "lamp", &authority, Some(&foreign)), filter).await;
    assert!(!granted, "a certificate of another authority");
    let wild = authority.issue("+", &[]);
    let (_, granted) = Device::with(options(world.port(), "+", &authority, Some(&wild)), "$aws/things/+/#").await;
    assert!(!granted, "a certificate whose name is a wildcard");
    let long = "t".repeat(128);
    let identity = authority.issue(&long, &[]);
    let filter = format!("$aws/things/{long}/#");
    let (_, granted) = Device::with(options(world.port(), &long, &authority, Some(&identity)), &filter).await;
    assert!(granted, "the longest name that a thing can have");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_admin_requests_come_over_https() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    let world = TestService::start(secured(dir.path(), &authority)).await;
    let bytes = pattern(100_000);
    let (base, bearer, ca) = (format!("https://{}", world.service.http), world.token.clone(), authority.pem());
    let upload = bytes.clone();
    let url = tokio::task::spawn_blocking(move || {
        let agent = agent(&ca);
        let put = |path: &str, body: &[u8]| {
            let request = agent.put(format!("{base}{path}")).header("Authorization", format!("Bearer {bearer}"));
            let request = request.header("Content-Type", "application/json");
            request.send(body).unwrap().body_mut().read_to_string().unwrap()
        };
        let image: serde_json::Value = serde_json::from_str(&put("/api/images/fw.img", &upload)).unwrap();
        let files = format!(r#"{{"things":["lamp"],"files":[{{"image":{}}}],"protocols":["HTTP"]}}"#, image["id"]);
        put("/api/jobs/one", files.as_bytes());
    });
    url.await.unwrap();
    let identity = authority.issue("lamp", &[]);
    let options = options(world.port(), "lamp", &authority, Some(&identity));
    let (mut device, _) = Device::with(options, "$aws/things/lamp/#").await;
    device.publish("$aws/things/lamp/jobs/one/get", "{}").await;
    let described = device.json("/one/get/accepted").await;
    let url = &described["execution"]["jobDocument"]["afr_ota"]["files"][0]["update_data_url"];
    let (url, ca) = (url.as_str().unwrap().to_owned(), authority.pem());
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let got =
        tokio::task::spawn_blocking(move || agent(&ca).get(&url).call().unwrap().body_mut().read_to_vec().unwrap());
    assert!(got.await.unwrap() == bytes);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_comes_over_https_and_its_cookie_is_sent_over_https_only() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    let world = TestService::start(secured(dir.path(), &authority)).await;
    let (base, token, ca) = (format!("https://{}", world.service.http), world.token.clone(), authority.pem());
    let checked = tokio::task::spawn_blocking(move || {
        let agent = agent(&ca);
        let form = format!("secret={token}");
        let signed_in = agent.post(format!("{base}/sign-in")).config().max_redirects(0).build().send(&form).unwrap();
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("__Host-ota-session=") && cookie.ends_with("; Secure"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let page = agent.get(format!("{base}/")).header("Cookie", pair).call().unwrap().body_mut().read_to_string();
        assert!(page.unwrap().contains("There is no update yet"));
        let plain = pair.trim_start_matches("__Host-");
        let page = agent.get(format!("{base}/")).header("Cookie", plain).call().unwrap().body_mut().read_to_string();
        assert!(page.unwrap().contains("Password or token"), "a cookie that anyone on the way could have set");
    });
    checked.await.unwrap();
    world.service.stop().await;
}

fn agent(ca: &str) -> ureq::Agent {
    let ca = ureq::tls::Certificate::from_pem(ca.as_bytes()).unwrap();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::Specific(Arc::new(vec![ca])))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let timeout = Some(Duration::from_secs(10));
    ureq::Agent::config_builder().tls_config(tls).timeout_global(timeout).build().new_agent()
}
