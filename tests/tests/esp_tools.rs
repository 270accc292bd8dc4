//! Comparison with Espressif's own tool, `esptool`: both read its images alike, chips have the same names, and entries of
//! `otadata` have the bytes that ESP-IDF's `otatool` computes in Python. `.ci/tools` installs it.

#[path = "esp/elf.rs"]
mod elf;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use elf::{CHIPS, Chip, Program};
use ota_pal::loaders::esp_idf::{Descriptor, Entry, Image, ImageError, State};
use ota_pal::{Refusal, Version, poll_ready};
use ota_tests::rig::esp::Esp;
use ota_tests::rig::{Rig, booted, update};
use ota_tests::tools;

const PROGRAM: Program = Program {
    prefix: "v",
    version: Version::new(1, 2, 3),
    secure_version: 7,
    project: "blinky",
    data_bytes: 1_000,
    code_bytes: 80,
};

/// The output of a program in the tools' folder with these arguments; its error output if it fails.
fn tool(name: &str, arguments: &[&str]) -> Result<String, String> {
    let tool = tools::tool(name).expect("a test that is here found it");
    let output = Command::new(tool).args(arguments).env("NO_COLOR", "1").output().expect("the tool can be started");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(stdout),
        false => Err(stdout + &String::from_utf8_lossy(&output.stderr)),
    }
}

fn python(program: &str) -> String {
    tool("python", &["-c", program]).expect("Python runs it")
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("esp");
    fs::create_dir_all(&folder).expect("a folder for files");
    let file = folder.join(name);
    fs::write(&file, bytes).expect("a file");
    file
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths are text")
}

/// The image that `esptool` makes of a program.
fn made(name: &str, chip: Chip, program: &Program, options: &[&str]) -> Vec<u8> {
    image_of(chip.name, &file(&format!("{name}.elf"), &program.elf(chip)), options)
}

/// The image that `esptool` makes of an ELF file, beside which it is written.
fn image_of(chip: &str, elf: &Path, options: &[&str]) -> Vec<u8> {
    let image = elf.with_extension("bin");
    let fixed = ["--chip", chip, "elf2image", "-o", text(&image), text(elf)];
    tool("esptool", &[&fixed[..], options].concat()).expect("esptool makes an image");
    fs::read(image).expect("the image")
}

/// The output of `esptool` for an image, as names and values.
struct Report(String);

impl Report {
    fn of(name: &str, image: &[u8]) -> Result<Self, String> {
        tool("esptool", &["image-info", text(&file(name, image))]).map(Self)
    }

    fn value(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in: {}", self.0)).trim()
    }
}

/// Reads an image with both, and compares every value that both report.
fn both_say_the_same(name: &str, chip: Chip, program: &Program, options: &[&str]) {
    let (about, report) = read_by_both(name, &made(name, chip, program, options));
    assert_eq!(report.0.contains("Validation hash"), options.is_empty(), "{}", report.0);
    assert_eq!((about.version, about.security_counter), (program.version, program.secure_version));
    assert_eq!((about.project.as_str(), about.hardware.as_str()), (program.project, chip.name));
}

/// The description of an image, after a comparison with that of `esptool`.
fn read_by_both(name: &str, bytes: &[u8]) -> (Descriptor, Report) {
    let report = Report::of(&format!("{name}.report"), bytes).expect("esptool takes its own image");
    let found = Image::parse(bytes).expect("an image of esptool's is one");
    let about = found.descriptor;
    assert_eq!(report.value("Checksum").split(' ').nth(1), Some("(valid)"), "{}", report.0);
    assert!(!report.0.contains("(invalid)"), "{}", report.0);

    assert_eq!(report.value("Image size"), format!("{} bytes", found.image_bytes), "{name}");
    assert_eq!(bytes.len(), found.image_bytes as usize, "{name}");
    assert_eq!(report.value("App version").trim_start_matches('v'), about.version.to_string());
    assert_eq!(report.value("Secure version"), about.security_counter.to_string());
    assert_eq!(report.value("Project name"), about.project.as_str());
    let detected = report.value("Detected image type").to_lowercase().replace('-', "");
    assert_eq!(detected, about.hardware.as_str());
    (about, report)
}

#[test]
fn an_image_reads_the_same_here_and_there_for_every_chip() {
    if tools::tool("esptool").is_none() {
        return;
    }
    for chip in CHIPS {
        both_say_the_same(chip.name, chip, &PROGRAM, &[]);
    }
}

#[test]
fn an_image_reads_the_same_here_and_there_whatever_its_segments() {
    if tools::tool("esptool").is_none() {
        return;
    }
    // The checksum's block is filled from one byte to sixteen; more than 64 KiB of constants, and an empty project.
    for (index, (data_bytes, code_bytes)) in
        [(0, 4), (4, 8), (8, 12), (12, 16), (70_000, 20_000)].into_iter().enumerate()
    {
        let version = Version::new(65_535, 0, 7 * index as u32);
        let program = Program { prefix: "", version, secure_version: u32::MAX, project: "", data_bytes, code_bytes };
        both_say_the_same(&format!("segments-{index}"), CHIPS[2], &program, &[]);
    }
    both_say_the_same("no-digest", CHIPS[2], &PROGRAM, &["--dont-append-digest"]);
}

#[test]
fn an_image_of_esptools_is_received_verified_tried_and_kept() {
    if tools::tool("esptool").is_none() {
        return;
    }
    let chip = CHIPS.into_iter().find(|chip| chip.name == "esp32c3").expect("the device's");
    let image = made("update", chip, &PROGRAM, &[]);
    let esp = Esp::new();
    assert_eq!(poll_ready(update(&mut booted(&esp), &image)), Some(Ok(())));
    let mut board = booted(&esp);
    assert_eq!(esp.running(image.len()), image);
    assert_eq!(poll_ready(board.confirm()), Some(Ok(())));
    booted(&esp);
    assert_eq!(esp.running(image.len()), image);

    let other = made("other-chip", CHIPS[0], &PROGRAM, &[]);
    let refused = poll_ready(update(&mut booted(&esp), &other));
    assert!(matches!(refused, Some(Err(Refusal::WrongHardware { .. }))), "{refused:?}");
}

#[test]
#[ignore = "needs the firmware of examples/boards: .ci/boards builds it, and runs this test"]
fn firmware_of_a_board_reads_the_same_here_and_there() {
    let elf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bare/boards/esp32c3-devkitm/firmware.elf");
    let bytes = image_of("esp32c3", &file("board.elf", &fs::read(elf).expect(".ci/boards built it")), &[]);
    let (about, _) = read_by_both("board", &bytes);
    assert_eq!((about.version, about.hardware.as_str()), (Version::new(1, 0, 0), "esp32c3"));
    assert_eq!((about.project.as_str(), about.security_counter), ("esp32c3-devkitm", 0));
    let partitions = include_str!("../../examples/boards/esp32c3-devkitm/partitions.csv");
    for slot in ["ota_0", "ota_1"] {
        let line = partitions.lines().find(|line| line.starts_with(slot)).expect("a partition of the table");
        let size = line.rsplit_once("0x").and_then(|(_, digits)| usize::from_str_radix(digits, 16).ok());
        assert!(size.is_some_and(|size| bytes.len() <= size), "{} bytes: {line}", bytes.len());
    }
}

#[test]
fn an_image_cut_short_is_refused_here_and_there() {
    if tools::tool("esptool").is_none() {
        return;
    }
    let bytes = made("short", CHIPS[2], &PROGRAM, &[]);
    let need = bytes.len() as u32;
    // Into the digest, the checksum, a segment and the header of one.
    for len in [bytes.len() - 1, bytes.len() - 33, 1_000, 290, 130] {
        let refused = Image::parse(&bytes[..len]).expect_err("cut short");
        assert!(matches!(refused, ImageError::TooShort { got, need: more } if got == len as u32 && more <= need));
        let report = Report::of(&format!("short-{len}"), &bytes[..len]);
        let taken = report.is_ok_and(|report| report.0.contains("Validation hash") && !report.0.contains("(invalid"));
        assert!(!taken, "esptool takes {len} of {need} bytes");
    }
}

#[test]
fn chips_have_the_names_that_esptool_gives_them() {
    if tools::tool("esptool").is_none() {
        return;
    }
    let report = python(
        "from esptool.targets import CHIP_DEFS\n\
         for name, chip in CHIP_DEFS.items():\n    print(name, getattr(chip, 'IMAGE_CHIP_ID', None))",
    );
    let mut bytes = made("chips", CHIPS[2], &PROGRAM, &[]);
    let mut known = 0;
    for number in 0..=u16::MAX {
        bytes[12..14].copy_from_slice(&number.to_le_bytes());
        let name = report.lines().find_map(|line| line.strip_suffix(&format!(" {number}")));
        let found = Image::parse(&bytes).map(|image| image.descriptor.hardware.as_str().to_owned());
        assert_eq!(found.as_deref().ok(), name, "chip {number}");
        assert!(found.is_ok() || found == Err(ImageError::ChipUnknown { got: number }));
        known += usize::from(name.is_some());
    }
    assert_eq!(known, 14, "{report}");
}

#[test]
fn an_entry_of_otadata_has_the_bytes_that_python_gives_it() {
    if tools::tool("esptool").is_none() {
        return;
    }
    let sequences: Vec<u32> = (1..=300).chain([0xFFFF, 0x0001_0000, 0x7FFF_FFFF, u32::MAX - 1]).collect();
    let states = [State::New, State::PendingVerify, State::Valid, State::Invalid, State::Aborted, State::Undefined];
    let report = python(&format!(
        "import binascii, struct\n\
         for sequence in {sequences:?}:\n\
         \x20   crc = binascii.crc32(struct.pack('<I', sequence), 0xFFFFFFFF) % (1 << 32)\n\
         \x20   for state in [0, 1, 2, 3, 4, 0xFFFFFFFF]:\n\
         \x20       print(struct.pack('<I20sII', sequence, b'\\xff' * 20, state, crc).hex())"
    ));
    let mut lines = report.lines();
    for (sequence, state) in sequences.iter().flat_map(|sequence| states.map(|state| (*sequence, state))) {
        let hex: String = Entry::new(sequence, state).emit().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(lines.next(), Some(&hex[..]), "{sequence} {state:?}");
    }
    assert_eq!(lines.next(), None);
}
