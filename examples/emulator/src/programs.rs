//! Builds the programs of a board by the script `build` in its folder, and signs the images.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use clap::Parser;
use object::Endianness;
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use ota_cloud::tool;

use crate::machine::Machine;
use ota_examples::device::Error;

/// What programs of every board are built from. Boards share files of that of `mps2`.
const SOURCES: [&str; 6] = ["jobs", "pal", "agent", "boot", "examples/firmware", "examples/mps2"];

/// A version of the firmware.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// The version.
    pub version: &'static str,
    /// How its self-test ends: `pass`, `fail` or `hang`.
    pub self_test: &'static str,
    /// The slots that it is linked for, as the links of images are named.
    pub slots: &'static [&'static str],
}

/// The releases of the story: the first one is the factory's, the third one hangs.
pub const RELEASES: [Release; 3] = [
    Release { version: "1.0.0", self_test: "pass", slots: &["factory"] },
    Release { version: "2.0.0", self_test: "pass", slots: &["a", "b"] },
    Release { version: "3.0.0", self_test: "hang", slots: &["a", "b"] },
];

/// The programs and images of all releases, and the key that signs them.
pub struct Programs {
    machine: &'static Machine,
    folder: PathBuf,
}

impl Programs {
    /// Builds what is missing or older than its sources. Programs that ask for it at once wait for each other.
    ///
    /// Errors: there is no compiler for the board, or it failed.
    pub fn build(machine: &'static Machine, releases: &[Release]) -> Result<Self, Error> {
        let folder = root().join("target").join(machine.name);
        fs::create_dir_all(&folder)?;
        let programs = Self { machine, folder };
        let lock = File::create(programs.folder.join("lock"))?;
        lock.lock()?;
        if !programs.key().exists() {
            ota(&["keygen", "--out", &text(&programs.folder.join("keys"))])?;
        }
        let mut newest = newest_change(&sources(machine))?;
        for source in SOURCES {
            newest = newest.max(newest_change(&root().join(source))?);
        }
        for release in releases {
            programs.build_release(release, newest)?;
        }
        Ok(programs)
    }

    fn build_release(&self, release: &Release, newest: SystemTime) -> Result<(), Error> {
        let folder = self.folder.join(release.version);
        let last = release.slots.last().ok_or("a release without a slot")?;
        if fs::metadata(self.image(release, last)).and_then(|about| about.modified()).is_ok_and(|built| built > newest)
        {
            return Ok(());
        }
        let mut build = Command::new(script(self.machine));
        build.arg(release.version).arg(self.folder.join("keys/public.der")).arg(&folder).arg(release.self_test);
        build.arg("boot-selector").args(release.slots.iter().map(|slot| format!("slot-{slot}")));
        if !build.status()?.success() {
            return Err(format!("{} failed", script(self.machine).display()).into());
        }
        for slot in release.slots {
            let body = folder.join(format!("slot-{slot}.bin"));
            fs::write(&body, flatten(&fs::read(folder.join(format!("slot-{slot}.elf")))?)?)?;
            self.sign(release, slot, &body, &self.image(release, slot))?;
        }
        Ok(())
    }

    /// Signs `body` as an image of `release` that is linked for `slot`.
    pub fn sign(&self, release: &Release, slot: &str, body: &Path, image: &Path) -> Result<(), Error> {
        self.sign_for(self.machine.hardware, release, slot, body, image)
    }

    /// As [`Programs::sign`], for another hardware.
    pub fn sign_for(
        &self,
        hardware: &str,
        release: &Release,
        slot: &str,
        body: &Path,
        image: &Path,
    ) -> Result<(), Error> {
        let about = ["--version", release.version, "--hardware", hardware, "--link", slot];
        ota(&[&["sign", "--key", &text(&self.key())][..], &about, &[&text(body), &text(image)]].concat())
    }

    /// The board.
    pub fn machine(&self) -> &'static Machine {
        self.machine
    }

    /// The boot selector.
    pub fn selector(&self) -> PathBuf {
        self.folder.join(RELEASES[0].version).join("boot-selector.elf")
    }

    /// The program of `release` without a header, linked for `slot`.
    pub fn body(&self, release: &Release, slot: &str) -> PathBuf {
        self.folder.join(release.version).join(format!("slot-{slot}.bin"))
    }

    /// The image of `release` that is linked for `slot`; its signature is in the file with `.sig` at the end.
    pub fn image(&self, release: &Release, slot: &str) -> PathBuf {
        self.folder.join(release.version).join(format!("{slot}.img"))
    }

    /// Writes an image in which a bit differs from the signed one of `release` for `slot`.
    pub fn forge(&self, release: &Release, slot: &str, forged: &Path) -> Result<(), Error> {
        let image = self.image(release, slot);
        let mut bytes = fs::read(&image)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(forged, bytes)?;
        fs::copy(image.with_extension("img.sig"), forged.with_extension("img.sig"))?;
        Ok(())
    }

    fn key(&self) -> PathBuf {
        self.folder.join("keys").join("private.pem")
    }
}

/// Runs the command `ota`.
fn ota(words: &[&str]) -> Result<(), Error> {
    let arguments = tool::Arguments::try_parse_from([&["ota"], words].concat())?;
    tool::run(arguments).map_err(|failed| failed.to_string().into())
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The script that builds programs.
pub fn script(machine: &Machine) -> PathBuf {
    sources(machine).join("build")
}

fn sources(machine: &Machine) -> PathBuf {
    root().join("examples").join(machine.name)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// When the newest file below `folder` was changed, pages apart.
fn newest_change(folder: &Path) -> Result<SystemTime, Error> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let changed = match path.extension() {
            _ if path.is_dir() => newest_change(&path)?,
            Some(ending) if ending == "md" => continue,
            _ => fs::metadata(&path)?.modified()?,
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}

/// The bytes that a program occupies in flash, from its ELF file.
fn flatten(elf: &[u8]) -> Result<Vec<u8>, Error> {
    let header = FileHeader32::<Endianness>::parse(elf)?;
    let endian = header.endian()?;
    let mut bytes = Vec::new();
    let mut start = None;
    for segment in header.program_headers(endian, elf)? {
        let data = segment.data(endian, elf).map_err(|()| "a segment outside the file")?;
        if segment.p_type(endian) != PT_LOAD || data.is_empty() {
            continue;
        }
        let address = segment.p_paddr(endian) as usize;
        let at = address.checked_sub(*start.get_or_insert(address)).ok_or("segments are out of order")?;
        bytes.resize(at, 0xFF);
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}
