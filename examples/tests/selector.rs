//! The boot selector of the Linux device: programs that do not run, and a flash file without a folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ota_examples::device::{Error, FLASH_BYTES, Flash, HARDWARE, layout};
use ota_pal::blocking::{Native, OwnSelector, Size, Writer};
use ota_pal::image::header::{BODY_OFFSET_DEFAULT_BYTES, Body};
use ota_pal::{
    AcceptUnsigned, Component, DeviceConfig, HardwareId, Header, KeySet, Link, NoWatchdog, Reset, SlotId,
    TRIAL_ATTEMPTS_DEFAULT, Version,
};

struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("ota-selector-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn image(version: Version, program: &[u8]) -> Result<Vec<u8>, Error> {
    let header = Header {
        component: Component::App,
        hardware: HardwareId::new(HARDWARE)?,
        version,
        security_counter: 0,
        load_address: 0,
        link: Link::Any,
        body: Body::new(BODY_OFFSET_DEFAULT_BYTES, program.len() as u32)?,
        release_id: 0,
        system_min: ota_pal::MajorMinor::default(),
    };
    let mut image = header.emit().to_vec();
    image.resize(BODY_OFFSET_DEFAULT_BYTES as usize, 0xFF);
    image.extend(program);
    Ok(image)
}

/// Puts an image into the other slot, on trial at the next boot.
fn activate(flash: &Path, image: &[u8]) -> Result<(), Error> {
    let config = DeviceConfig::new(layout(), HARDWARE)?;
    let selector = OwnSelector::new(&config.layout, SlotId::A);
    let keys = AcceptUnsigned(KeySet::<1>::new());
    let mut platform =
        Native::from_parts(Flash::open(flash, FLASH_BYTES)?, keys, NoReset, NoWatchdog, config, selector)?;
    let mut writer = Writer::begin(&mut platform, Size::Known(image.len() as u32))?;
    writer.write(image)?;
    Ok(writer.finish(None, "test")?.activate(&mut platform)?)
}

fn selector(flash: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let mut selector = Command::new(env!("CARGO_BIN_EXE_boot-selector"));
    Ok(selector.arg("--flash").arg(flash).args(arguments).output()?)
}

#[test]
fn a_program_that_does_not_start_costs_its_trial_and_the_previous_one_runs() -> Result<(), Error> {
    let folder = Folder::new("foreign")?;
    let (flash, first) = (folder.path("flash"), folder.path("first.img"));
    fs::write(&first, image(Version::new(1, 0, 0), b"#!/bin/sh\nexit 0\n")?)?;
    let installed = selector(&flash, &["--install", first.to_str().ok_or("a plain path")?])?;
    assert!(installed.status.success(), "{installed:?}");
    // An executable of a processor that no machine has.
    let mut foreign = b"\x7fELF\x02\x01\x01".to_vec();
    foreign.resize(4096, 0xEE);
    activate(&flash, &image(Version::new(2, 0, 0), &foreign)?)?;

    let output = selector(&flash, &[])?;
    let text = String::from_utf8(output.stdout)?;
    let boots = |slot: &str| text.matches(&format!("boots slot {slot}")).count();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((boots("b"), boots("a")), (usize::from(TRIAL_ATTEMPTS_DEFAULT), 1), "{text}");
    Ok(())
}

#[test]
fn a_flash_file_without_a_folder_is_in_the_current_one() -> Result<(), Error> {
    let folder = Folder::new("bare")?;
    fs::write(folder.path("first.img"), image(Version::new(1, 0, 0), b"#!/bin/sh\nexit 0\n")?)?;
    let selector = |arguments: &[&str]| {
        let mut selector = Command::new(env!("CARGO_BIN_EXE_boot-selector"));
        let selector = selector.current_dir(&folder.0).args(["--flash", "dev.flash"]).args(arguments);
        selector.stdout(Stdio::piped()).spawn()
    };
    assert!(selector(&["--install", "first.img"])?.wait()?.success());
    let mut device = selector(&[])?;
    // It starts a program without end that does not start: the first message ends it.
    let lines = BufReader::new(device.stdout.take().ok_or("a pipe")?).lines();
    let crash = lines.map_while(Result::ok).find(|line| line.contains("does not start"));
    if crash.is_some() {
        device.kill()?;
    }
    assert_eq!((crash, device.wait()?.success()), (None, true));
    Ok(())
}
