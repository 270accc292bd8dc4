//! The boot selector of the Linux device: picks the slot as a board's boot loader does, takes the program out of it and
//! runs it, again after every reset. The programs live in the flash file and nowhere else.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use clap::Parser;
use ota_boot::{Boot, BootError, VerifyLevel, boot};
use ota_examples::device::{EXIT_RESET, Error, FLASH_BYTES, Flash, layout};
use ota_examples::lines::{Kind, print};
use ota_examples::parent::leave_with_parent;
use ota_pal::{Flash as _, Header, NoWatchdog, Region, SlotId, now};

/// A device that ends by itself is started again, as a watchdog would; not faster than this.
const CRASH_PAUSE: Duration = Duration::from_secs(1);
const COPY_BYTES: usize = 64 * 1024;

/// Boots a Linux device from its flash file; all further options go to the device program.
#[derive(Parser)]
struct Options {
    /// The flash file; made if there is none.
    #[arg(long)]
    flash: PathBuf,
    /// Write this signed image to slot A and leave: how a device gets its first program.
    #[arg(long)]
    install: Option<PathBuf>,
    /// End when standard input does.
    #[arg(long)]
    leave_with_parent: bool,
    /// What the device program is told.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    device: Vec<String>,
}

fn main() -> ExitCode {
    match run_for_good(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("boot-selector: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_for_good(options: &Options) -> Result<(), Error> {
    if let Some(image) = &options.install {
        return install(&options.flash, image);
    }
    if options.leave_with_parent {
        leave_with_parent();
    }
    loop {
        let (program, slot) = select(&options.flash)?;
        let status = run(&program, &slot, options)?;
        fs::remove_file(&program)?;
        match status.code() {
            Some(0) => return Ok(()),
            Some(EXIT_RESET) => print(Kind::Boot, "", "reset"),
            _ => {
                print(Kind::Boot, "", &format!("the device ended by itself ({status}): reset"));
                std::thread::sleep(CRASH_PAUSE);
            }
        }
    }
}

/// Picks the slot and takes its program out of the flash.
fn select(path: &Path) -> Result<(PathBuf, String), Error> {
    let mut flash = Flash::open(path, FLASH_BYTES)?;
    let layout = layout();
    let choice = now(boot(&mut flash, &layout, &mut NoWatchdog, VerifyLevel::Header)).expect("a file is always ready");
    let Boot { slot, header, cause } =
        choice.map_err(|error| format!("{}: {}", path.display(), why_nothing_boots(error)))?;
    let name = slot.to_string().to_lowercase();
    print(Kind::Boot, "", &format!("boots slot {name}, version {} ({cause:?})", header.version));
    let program = path.with_extension(format!("slot-{name}"));
    take_out(&mut flash, layout.slot(slot), &header, &program)?;
    Ok((program, name))
}

fn why_nothing_boots(error: BootError) -> String {
    match error {
        BootError::Fault(fault) => format!("the boot record cannot be read: {fault}"),
        BootError::NoBootableImage => "no image in the slot that is to be booted; --install puts one there".into(),
    }
}

fn take_out(flash: &mut Flash, slot: Region, header: &Header, program: &Path) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(program)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = header.body.offset_bytes();
    while at < header.image_bytes() {
        let len = buffer.len().min((header.image_bytes() - at) as usize);
        let read = now(flash.read(slot.offset_bytes() + at, &mut buffer[..len])).expect("a file is always ready");
        read.map_err(|error| format!("the flash cannot be read: {error}"))?;
        file.write_all(&buffer[..len])?;
        at += len as u32;
    }
    Ok(())
}

fn run(program: &Path, slot: &str, options: &Options) -> Result<ExitStatus, Error> {
    let mut device = Command::new(program);
    device.arg("--flash").arg(&options.flash).args(["--slot", slot, "--leave-with-parent"]).args(&options.device);
    let mut device = device.stdin(Stdio::piped()).spawn()?;
    // The device ends when this pipe does, however this process ends; waiting would close it.
    let _leash = device.stdin.take();
    Ok(device.wait()?)
}

/// Writes a device's first program: what a factory does over a debug probe.
fn install(path: &Path, image: &Path) -> Result<(), Error> {
    let bytes = fs::read(image).map_err(|error| format!("{}: {error}", image.display()))?;
    let header = Header::parse(&bytes)
        .map_err(|error| format!("{}: not an image that `ota sign` made, {error}", image.display()))?;
    let slot = layout().slot(SlotId::A);
    check_length(&header, bytes.len(), slot).map_err(|error| format!("{}: {error}", image.display()))?;
    let mut flash = Flash::open(path, FLASH_BYTES)?;
    let words = bytes.len().next_multiple_of(Flash::WRITE_SIZE);
    let mut padded = bytes;
    padded.resize(words, 0xFF);
    let end = slot.offset_bytes() + (words as u32).next_multiple_of(Flash::ERASE_SIZE as u32);
    let written = now(async {
        flash.erase(slot.offset_bytes(), end).await?;
        flash.write(slot.offset_bytes(), &padded).await?;
        flash.sync().await
    });
    written.expect("a file is always ready").map_err(|error| format!("the flash cannot be written: {error}"))?;
    print(Kind::Boot, "", &format!("installed version {} in slot a", header.version));
    Ok(())
}

fn check_length(header: &Header, got_bytes: usize, slot: Region) -> Result<(), Error> {
    let (says_bytes, slot_bytes) = (header.image_bytes(), slot.len_bytes());
    if says_bytes as usize != got_bytes {
        return Err(format!("{got_bytes} bytes, its header says {says_bytes}").into());
    }
    if says_bytes > slot_bytes {
        return Err(format!("{says_bytes} bytes, a slot holds {slot_bytes}").into());
    }
    Ok(())
}
