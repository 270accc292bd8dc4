//! Boot selector of the Linux device: selects the slot like a board's boot loader, extracts the program from it and runs
//! it, again after every reset. The programs exist only in the flash file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use clap::Parser;
use ota_boot::{Boot, BootError, ResetCause, VerifyLevel, boot};
use ota_examples::device::{EXIT_RESET, Error, FLASH_BYTES, Flash, layout};
use ota_examples::lines::{Kind, print};
use ota_examples::parent::leave_with_parent;
use ota_pal::{Flash as _, Header, NoWatchdog, Region, SlotId, poll_ready};

/// Pause before a device that ended by itself is started again, as by a watchdog.
const CRASH_PAUSE: Duration = Duration::from_secs(1);
const COPY_BYTES: usize = 64 * 1024;

/// Boot a Linux device from its flash file; all further options are passed to the device program
#[derive(Parser)]
struct Options {
    /// Flash file; created if missing
    #[arg(long)]
    flash: PathBuf,
    /// Write this signed image to slot A and exit: installs the first program of a device
    #[arg(long)]
    install: Option<PathBuf>,
    /// Exit when standard input ends
    #[arg(long)]
    leave_with_parent: bool,
    /// Options of the device program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    device: Vec<String>,
}

fn main() -> ExitCode {
    match boot_loop(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("boot-selector: {error}");
            ExitCode::FAILURE
        }
    }
}

fn boot_loop(options: &Options) -> Result<(), Error> {
    if let Some(image) = &options.install {
        return install(&options.flash, image);
    }
    if options.leave_with_parent {
        leave_with_parent();
    }
    let mut reset_cause = ResetCause::PowerLoss; // this process, killed and started again, is the board
    loop {
        let (program, slot) = select(&options.flash, reset_cause)?;
        reset_cause = ResetCause::Other;
        let exited = run(&program, &slot, options);
        fs::remove_file(&program)?;
        let crash = match exited {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) if status.code() == Some(EXIT_RESET) => {
                print(Kind::Boot, "", "reset");
                continue;
            }
            Ok(status) => format!("the device exited ({status}): reset"),
            // As a processor that hangs in code of another one: a watchdog resets it.
            Err(error) => format!("{} does not start ({error}): reset", program.display()),
        };
        print(Kind::Boot, "", &crash);
        std::thread::sleep(CRASH_PAUSE);
    }
}

/// Selects the slot and extracts its program from the flash.
fn select(path: &Path, reset_cause: ResetCause) -> Result<(PathBuf, String), Error> {
    let mut flash = Flash::open(path, FLASH_BYTES)?;
    let layout = layout();
    let choice = poll_ready(boot(&mut flash, &layout, &mut NoWatchdog, VerifyLevel::Header, reset_cause));
    let choice = choice.expect("a file never waits");
    let Boot { slot, header, cause } = choice.map_err(|error| format!("{}: {}", path.display(), describe(error)))?;
    let name = slot.to_string().to_lowercase();
    print(Kind::Boot, "", &format!("boots slot {name}, version {} ({cause:?})", header.version));
    // A name without a slash would be searched for in PATH.
    let program = path::absolute(path.with_extension(format!("slot-{name}")))?;
    extract(&mut flash, layout.slot(slot), &header, &program)?;
    Ok((program, name))
}

fn describe(error: BootError) -> String {
    match error {
        BootError::Fault(fault) => format!("the boot record cannot be read: {fault}"),
        BootError::Layout(error) => format!("the layout does not suit the flash: {error}"),
        BootError::NoBootableImage => "no bootable image; --install writes one".into(),
    }
}

fn extract(flash: &mut Flash, slot: Region, header: &Header, program: &Path) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(program)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = header.body.offset_bytes();
    while at < header.image_bytes() {
        let len = buffer.len().min((header.image_bytes() - at) as usize);
        let read = poll_ready(flash.read(slot.offset_bytes() + at, &mut buffer[..len])).expect("a file never waits");
        read.map_err(|error| format!("the flash cannot be read: {error}"))?;
        file.write_all(&buffer[..len])?;
        at += len as u32;
    }
    Ok(())
}

fn run(program: &Path, slot: &str, options: &Options) -> io::Result<ExitStatus> {
    let mut device = Command::new(program);
    device.arg("--flash").arg(&options.flash).args(["--slot", slot, "--leave-with-parent"]).args(&options.device);
    let mut device = device.stdin(Stdio::piped()).spawn()?;
    // The device exits when this pipe closes, however this process ends; `wait` alone would close it.
    let _stdin = device.stdin.take();
    device.wait()
}

/// Writes the first program of a device, as a factory does with a debug probe.
fn install(path: &Path, image: &Path) -> Result<(), Error> {
    let bytes = fs::read(image).map_err(|error| format!("{}: {error}", image.display()))?;
    let header = Header::parse(&bytes)
        .map_err(|error| format!("{}: not an image made by `ota sign`: {error}", image.display()))?;
    let slot = layout().slot(SlotId::A);
    check_length(&header, bytes.len(), slot).map_err(|error| format!("{}: {error}", image.display()))?;
    let mut flash = Flash::open(path, FLASH_BYTES)?;
    let words = bytes.len().next_multiple_of(Flash::WRITE_SIZE);
    let mut padded = bytes;
    padded.resize(words, 0xFF);
    let end = slot.offset_bytes() + (words as u32).next_multiple_of(Flash::ERASE_SIZE as u32);
    let written = poll_ready(async {
        flash.erase(slot.offset_bytes(), end).await?;
        flash.write(slot.offset_bytes(), &padded).await?;
        flash.sync().await
    });
    written.expect("a file never waits").map_err(|error| format!("the flash cannot be written: {error}"))?;
    print(Kind::Boot, "", &format!("installed version {} in slot a", header.version));
    Ok(())
}

fn check_length(header: &Header, got_bytes: usize, slot: Region) -> Result<(), Error> {
    let (header_bytes, slot_bytes) = (header.image_bytes(), slot.len_bytes());
    if header_bytes as usize != got_bytes {
        return Err(format!("{got_bytes} bytes, its header has {header_bytes}").into());
    }
    if header_bytes > slot_bytes {
        return Err(format!("{header_bytes} bytes, a slot holds {slot_bytes}").into());
    }
    Ok(())
}
