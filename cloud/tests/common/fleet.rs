//! A fleet of simulated devices: each begins a session, takes the updates that it gets, and reports their outcome.

#![allow(dead_code)] // each test program uses a part of it

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::common::Device;

/// What a device does with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Runs it, and reports success.
    Succeeds,
    /// Its self-test fails; it stays at the version before.
    FailsSelfTest,
    /// Runs it, and reports nothing more.
    Hangs,
}

/// The version that each device runs: the file path of the image.
#[derive(Clone, Default)]
pub struct Versions(Arc<Mutex<BTreeMap<String, String>>>);

impl Versions {
    /// Number of devices per version.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for version in self.0.lock().unwrap().values() {
            *counts.entry(version.clone()).or_default() += 1;
        }
        counts
    }

    fn set(&self, device: &str, version: &str) {
        self.0.lock().unwrap().insert(device.to_owned(), version.to_owned());
    }
}

/// Connected devices; dropping it ends their sessions.
pub struct Fleet(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Fleet {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Fleet {
    /// Connects these devices. `outcome` is what one does with an image, by their names.
    pub async fn connect(
        port: u16,
        names: impl Iterator<Item = String>,
        versions: &Versions,
        outcome: fn(device: &str, image: &str) -> Outcome,
    ) -> Self {
        let mut tasks = Vec::new();
        for name in names {
            let (device, granted) = Device::connect(port, &name, &format!("$aws/things/{name}/jobs/#")).await;
            assert!(granted);
            device.publish(&format!("$aws/things/{name}/jobs/$next/get"), "{}").await;
            tasks.push(tokio::spawn(run(device, name, versions.clone(), outcome)));
        }
        Self(tasks)
    }
}

async fn run(mut device: Device, name: String, versions: Versions, outcome: fn(&str, &str) -> Outcome) {
    let mut last = String::new();
    loop {
        let (topic, payload) = device.message().await;
        if !topic.ends_with("/notify-next") && !topic.ends_with("/$next/get/accepted") {
            continue;
        }
        let message: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let execution = &message["execution"];
        let Some(job) = execution["jobId"].as_str().filter(|job| *job != last) else { continue };
        last = job.to_owned();
        let image = execution["jobDocument"]["afr_ota"]["files"][0]["filepath"].as_str().unwrap();
        let topic = format!("$aws/things/{name}/jobs/{job}/update");
        device.publish(&topic, r#"{"status":"IN_PROGRESS"}"#).await;
        match outcome(&name, image) {
            Outcome::Succeeds => {
                versions.set(&name, image);
                device.publish(&topic, r#"{"status":"SUCCEEDED"}"#).await;
            }
            Outcome::FailsSelfTest => {
                let report = r#"{"status":"FAILED","statusDetails":{"reason":"SelfTestFailed","code":"0x0601"}}"#;
                device.publish(&topic, report).await;
            }
            Outcome::Hangs => versions.set(&name, image),
        }
    }
}

/// The name of a device.
pub fn name(number: usize) -> String {
    format!("device-{number:03}")
}
