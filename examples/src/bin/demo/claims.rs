//! What the story claims, and whether it is true: the job's state is asked of the service, the rest is read from the
//! flash file.

use std::fs;
use std::path::{Path, PathBuf};

use ota_boot::{Decision, select};
use ota_examples::device::{FLASH_BYTES, Flash, layout};
use ota_pal::{BootRecords, Fault, Flash as _, Trial, now, read_header};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::hints;
use crate::screen::Screen;
use crate::view::Uptime;

/// How a job should end.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Its execution's status.
    pub status: &'static str,
    /// Part of its status details.
    pub reason: &'static str,
    /// What must run afterwards.
    pub version: &'static str,
    /// Whether the job's image must be what runs.
    pub image_runs: bool,
}

/// Two sums that should be one.
struct Sums {
    given: String,
    in_flash: String,
}

/// Where in which flash file an image lies.
struct Place {
    flash: PathBuf,
    offset_bytes: u32,
    len_bytes: usize,
}

/// The image that the boot selector would start.
struct Running {
    version: String,
    place: Place,
    bytes: Vec<u8>,
}

/// What a job should come to, and what it came to.
pub struct Claim {
    job: String,
    image: PathBuf,
    expected: Expected,
    job_says: String,
    flash_says: String,
    image_sums: Option<Sums>,
    payload_sums: Option<Sums>,
    place: Place,
    up: Uptime,
    holds: bool,
}

impl Claim {
    /// Holds `expected` against what the service says of `job` and against the flash.
    pub fn check(
        job: &str,
        image: PathBuf,
        expected: Expected,
        service_says: &str,
        flash: &Path,
        payload: Option<&[u8]>,
        up: Uptime,
    ) -> Result<Self, Error> {
        let Running { version, place, bytes: in_flash } = running_image(flash)?;
        let image_sums = match expected.image_runs {
            true => Some(Sums { given: sum(&fs::read(&image)?), in_flash: sum(&in_flash) }),
            false => None,
        };
        let payload_sums = payload.filter(|_| expected.image_runs).map(|payload| {
            let tail = &in_flash[in_flash.len().saturating_sub(payload.len())..];
            Sums { given: sum(payload), in_flash: sum(tail) }
        });
        let same = |sums: &Option<Sums>| sums.as_ref().is_none_or(|sums| sums.given == sums.in_flash);
        let reported = service_says.contains(expected.status) && service_says.contains(expected.reason);
        let holds = reported && version == expected.version && same(&image_sums) && same(&payload_sums);
        let job_says = if reported { expected.status.to_owned() } else { format!("not {}", expected.status) };
        let (job, flash_says) = (job.to_owned(), format!("v{version}"));
        Ok(Self { job, image, expected, job_says, flash_says, image_sums, payload_sums, place, up, holds })
    }
}

/// Shows what happened; true if all of it is what should. Flash files that stay can be summed up by hand, too.
pub fn table(claims: &[Claim], flash_stays: bool, screen: &mut Screen) -> bool {
    screen.say("\nWhat happened");
    let row = |cells: [&str; 7]| {
        let [job, says, flash, reason, up, reset, holds] = cells;
        format!("{job:<12} {says:<13} {flash:<7} {reason:<17} {up:>8} {reset:>8}  {holds}")
    };
    screen.say(&row(["job", "job says", "flash", "reason", "up ms", "reset ms", "ok"]));
    for claim in claims {
        let ms = |value: Option<u64>| value.map_or("-".into(), |ms| ms.to_string());
        let (up, reset) = (ms(claim.up.old_image_ms), ms(claim.up.reset_took_ms));
        let holds = if claim.holds { "yes" } else { "NO" };
        let Claim { job, job_says, flash_says, expected, .. } = claim;
        screen.say(&row([job, job_says, flash_says, expected.reason, &up, &reset, holds]));
    }
    for claim in claims {
        show_sums(claim, flash_stays, screen);
    }
    screen.say("");
    for claim in claims {
        screen.say(&format!("{}: job says {}, flash says {}", claim.job, claim.job_says, claim.flash_says));
    }
    claims.iter().all(|claim| claim.holds)
}

fn show_sums(claim: &Claim, flash_stays: bool, screen: &mut Screen) {
    if let Some(sums) = &claim.image_sums {
        let file = claim.image.file_name().unwrap_or_default().to_string_lossy();
        screen.say(&format!("\nsha256 of {file} as signed, and as {} left it in the flash:", claim.job));
        screen.say(&format!("  {}\n  {}", sums.given, sums.in_flash));
        screen.say("to be checked with");
        screen.say(&hints::file_sum(&claim.image));
        if flash_stays {
            let Place { flash, offset_bytes, len_bytes } = &claim.place;
            screen.say(&hints::flash_sum(flash, *offset_bytes, *len_bytes).join("\n"));
        }
    }
    if let Some(sums) = &claim.payload_sums {
        screen.say("sha256 of the file of --image, and of its bytes in the flash:");
        screen.say(&format!("  {}\n  {}", sums.given, sums.in_flash));
    }
}

/// Version and bytes of the image that the boot selector would start, read from the flash file.
fn running_image(path: &Path) -> Result<Running, Error> {
    const FILE: &str = "a file is always ready";
    let mut flash = Flash::open(path, FLASH_BYTES)?;
    let layout = layout();
    let record = now(BootRecords::new(&layout).load(&mut flash)).ok_or(FILE)??;
    let slot = match select(&record) {
        Decision::Try { counted: Trial::Started { slot, .. }, .. } => slot,
        _ => record.confirmed,
    };
    let region = layout.slot(slot);
    let header = now(read_header(&mut flash, region)).ok_or(FILE)??;
    let header = header?;
    let mut bytes = vec![0; header.image_bytes() as usize];
    let read = now(flash.read(region.offset_bytes(), &mut bytes)).ok_or(FILE)?;
    read.map_err(|_| Fault::Read { offset_bytes: region.offset_bytes() })?;
    let place = Place { flash: path.to_owned(), offset_bytes: region.offset_bytes(), len_bytes: bytes.len() };
    Ok(Running { version: header.version.to_string(), place, bytes })
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
