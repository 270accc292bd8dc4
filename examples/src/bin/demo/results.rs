//! Checks the result of each job: its state is requested from the service, everything else is read from the flash file.

use std::fs;
use std::path::{Path, PathBuf};

use ota_boot::{Decision, ResetCause, select};
use ota_examples::device::{FLASH_BYTES, Flash, layout};
use ota_pal::{BootRecords, Fault, Flash as _, Trial, poll_ready, read_header};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::hints;
use crate::screen::Screen;
use crate::view::BootTimes;

/// Expected result of a job.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Status of its execution.
    pub status: &'static str,
    /// Part of its status details.
    pub reason: &'static str,
    /// Version that runs afterwards.
    pub version: &'static str,
    /// Whether the job's image must be the running one.
    pub image_runs: bool,
}

/// Two digests that must be equal.
struct Digests {
    given: String,
    in_flash: String,
}

/// Location of an image in a flash file.
struct Location {
    flash: PathBuf,
    offset_bytes: u32,
    len_bytes: usize,
}

/// The image that the boot selector would start.
struct Running {
    version: String,
    place: Location,
    bytes: Vec<u8>,
}

/// Expected and actual result of a job.
pub struct JobResult {
    job: String,
    image: PathBuf,
    expected: Expected,
    status: String,
    running_version: String,
    image_digests: Option<Digests>,
    payload_digests: Option<Digests>,
    place: Location,
    up: BootTimes,
    passed: bool,
}

impl JobResult {
    /// Compares `expected` with the service's output for `job` and with the flash.
    pub fn check(
        job: &str,
        image: PathBuf,
        expected: Expected,
        service_output: &str,
        flash: &Path,
        payload: Option<&[u8]>,
        up: BootTimes,
    ) -> Result<Self, Error> {
        let Running { version, place, bytes: in_flash } = running_image(flash)?;
        let image_digests = match expected.image_runs {
            true => Some(Digests { given: digest(&fs::read(&image)?), in_flash: digest(&in_flash) }),
            false => None,
        };
        let payload_digests = payload.filter(|_| expected.image_runs).map(|payload| {
            let tail = &in_flash[in_flash.len().saturating_sub(payload.len())..];
            Digests { given: digest(payload), in_flash: digest(tail) }
        });
        let same = |digests: &Option<Digests>| digests.as_ref().is_none_or(|digests| digests.given == digests.in_flash);
        let reported = service_output.contains(expected.status) && service_output.contains(expected.reason);
        let passed = reported && version == expected.version && same(&image_digests) && same(&payload_digests);
        let status = if reported { expected.status.to_owned() } else { format!("not {}", expected.status) };
        let (job, running_version) = (job.to_owned(), format!("v{version}"));
        Ok(Self { job, image, expected, status, running_version, image_digests, payload_digests, place, up, passed })
    }
}

/// Prints all results; returns whether all are as expected. With `flash_stays`, prints commands to check the digests.
pub fn table(results: &[JobResult], flash_stays: bool, screen: &mut Screen) -> bool {
    screen.say("\nResults");
    let row = |cells: [&str; 7]| {
        let [job, status, flash, reason, up, reset, passed] = cells;
        format!("{job:<12} {status:<13} {flash:<7} {reason:<17} {up:>8} {reset:>8}  {passed}")
    };
    screen.say(&row(["job", "status", "flash", "reason", "up ms", "reset ms", "ok"]));
    for result in results {
        let ms = |value: Option<u64>| value.map_or("-".into(), |ms| ms.to_string());
        let (up, reset) = (ms(result.up.old_image_ms), ms(result.up.reset_took_ms));
        let passed = if result.passed { "yes" } else { "NO" };
        let JobResult { job, status, running_version, expected, .. } = result;
        screen.say(&row([job, status, running_version, expected.reason, &up, &reset, passed]));
    }
    for result in results {
        show_digests(result, flash_stays, screen);
    }
    screen.say("");
    for result in results {
        screen.say(&format!("{}: job {}, flash {}", result.job, result.status, result.running_version));
    }
    results.iter().all(|result| result.passed)
}

fn show_digests(result: &JobResult, flash_stays: bool, screen: &mut Screen) {
    if let Some(digests) = &result.image_digests {
        let file = result.image.file_name().unwrap_or_default().to_string_lossy();
        screen.say(&format!("\nsha256 of {file}, and of the running image in the flash after {}:", result.job));
        screen.say(&format!("  {}\n  {}", digests.given, digests.in_flash));
        screen.say("check with");
        screen.say(&hints::file_digest(&result.image));
        if flash_stays {
            let Location { flash, offset_bytes, len_bytes } = &result.place;
            screen.say(&hints::flash_digest(flash, *offset_bytes, *len_bytes).join("\n"));
        }
    }
    if let Some(digests) = &result.payload_digests {
        screen.say("sha256 of the file of --image, and of its bytes in the flash:");
        screen.say(&format!("  {}\n  {}", digests.given, digests.in_flash));
    }
}

/// Reads version and bytes of the image that the boot selector would start from the flash file.
fn running_image(path: &Path) -> Result<Running, Error> {
    const FILE: &str = "a file never waits";
    let mut flash = Flash::open(path, FLASH_BYTES)?;
    let layout = layout();
    let record = poll_ready(BootRecords::new(&layout).load(&mut flash)).ok_or(FILE)??;
    let slot = match select(&record, ResetCause::Other) {
        Decision::Try { counted: Trial::Started { slot, .. }, .. } => slot,
        _ => record.confirmed,
    };
    let region = layout.slot(slot);
    let header = poll_ready(read_header(&mut flash, region)).ok_or(FILE)??;
    let header = header?;
    let mut bytes = vec![0; header.image_bytes() as usize];
    let read = poll_ready(flash.read(region.offset_bytes(), &mut bytes)).ok_or(FILE)?;
    read.map_err(|_| Fault::Read { offset_bytes: region.offset_bytes() })?;
    let place = Location { flash: path.to_owned(), offset_bytes: region.offset_bytes(), len_bytes: bytes.len() };
    Ok(Running { version: header.version.to_string(), place, bytes })
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
