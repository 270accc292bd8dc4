//! The bodies of the fuzz targets: functions of any bytes that must not panic. `tests/fuzz` passes them to libFuzzer, and
//! `tests/tests/fuzz_corpus.rs` runs them over their corpus without it.

mod agent;
mod http;
mod input;
mod jobs;
mod loaders;
mod pal;

use std::path::PathBuf;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, also that of its corpus and its program.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
    /// Maximum useful length of an input.
    pub bytes_max: usize,
}

/// All targets.
pub const TARGETS: [Target; 13] = [
    Target { name: "documents", run: jobs::documents, bytes_max: 2_048 },
    Target { name: "envelopes", run: jobs::envelopes, bytes_max: 2_048 },
    Target { name: "streams", run: jobs::streams, bytes_max: 1_024 },
    Target { name: "topics", run: jobs::topics, bytes_max: 512 },
    Target { name: "texts", run: jobs::texts, bytes_max: 512 },
    Target { name: "image_header", run: pal::image_header, bytes_max: 256 },
    Target { name: "records", run: pal::records, bytes_max: 1_024 },
    Target { name: "signatures", run: pal::signatures, bytes_max: 1_024 },
    Target { name: "esp_image", run: loaders::esp_image, bytes_max: 1_024 },
    Target { name: "esp_otadata", run: loaders::esp_otadata, bytes_max: 128 },
    Target { name: "mcuboot", run: loaders::mcuboot, bytes_max: 1_024 },
    Target { name: "http", run: http::http, bytes_max: 2_048 },
    Target { name: "agent", run: agent::agent, bytes_max: 2_048 },
];

/// Runs the target `name`.
///
/// # Panics
/// Without such a target, or for an input that it finds something with.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(bytes);
}

impl Target {
    /// The folder of its corpus.
    pub fn corpus(&self) -> PathBuf {
        crate::rows::top().join("tests/fuzz/corpus").join(self.name)
    }
}
