//! Comparison with MCUboot's own tool, `imgtool`: its images are read alike, our marks equal its output, and it verifies the
//! slot contents afterwards. `.ci/tools` installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ota_pal::flash::poll_ready;
use ota_pal::loaders::mcuboot::{
    Align, ImageError, ImageHeader, Mark, Marks, Mode, Swap, Tlvs, TrialState, matches_digest, read_image_header,
    read_tlvs,
};
use ota_pal::{Flash, Geometry, NoWatchdog, Platform, Refusal, Region, SlotId, Version};
use ota_tests::nor::{CHIPS, Chip, Nor, View};
use ota_tests::rig::mcuboot::{McubootInPlace, McubootSwap};
use ota_tests::rig::{Rig, booted, update};
use ota_tests::rng::Rng;
use ota_tests::tools;

/// Runs a body for a flash of each alignment: words of 8, 16 and 32 bytes.
macro_rules! for_each_align {
    ($($run:tt)*) => {
        $($run)*::<8, 2048>(8);
        $($run)*::<16, 8192>(16);
        $($run)*::<32, 131_072>(32);
    };
}

const COUNTER: u32 = 0x0102_0304;
const BOARD: &str = "nrf52840dk";

/// The output of `imgtool` with these arguments; its error output if it fails.
fn imgtool(arguments: &[&str]) -> Result<String, String> {
    let tool = tools::tool("imgtool").expect("a test that is here found it");
    let output = Command::new(tool).args(arguments).output().expect("imgtool can be started");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(stdout),
        false => Err(stdout + &String::from_utf8_lossy(&output.stderr)),
    }
}

/// A folder of its own for a test.
struct Bench {
    folder: PathBuf,
    slot_bytes: u32,
    align: u32,
}

impl Bench {
    /// With a fresh key, and a body of noise.
    fn new(test: &str, align: u32, slot_bytes: u32) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mcuboot-{test}-{align}"));
        fs::create_dir_all(&folder).expect("a folder for files");
        let bench = Self { folder, slot_bytes, align };
        fs::write(bench.path("body"), Rng::new(u64::from(align)).bytes(3_001)).expect("a file");
        imgtool(&["keygen", "-t", "ecdsa-p256", "-k", &bench.path("key")]).expect("a key");
        bench
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("paths are text").to_owned()
    }

    /// The file that `imgtool` makes of the body, with these options.
    fn make(&self, command: &str, name: &str, options: &[&str]) -> Vec<u8> {
        let (slot, align) = (self.slot_bytes.to_string(), self.align.to_string());
        let (body, file) = (self.path("body"), self.path(name));
        let fixed = [command, "-H", "512", "--pad-header", "-v", "1.2.3+4", "-S", &slot, "--align", &align];
        let arguments: Vec<&str> = fixed.iter().chain(options).copied().chain([&body[..], &file]).collect();
        imgtool(&arguments).expect("imgtool makes an image");
        fs::read(file).expect("the image")
    }

    /// A signed file with a security counter and a board.
    fn signed(&self, name: &str, options: &[&str]) -> Vec<u8> {
        let (key, counter) = (self.path("key"), COUNTER.to_string());
        let common = ["-k", &key, "-s", &counter, "--custom-tlv", "0xA0", BOARD];
        self.make("sign", name, &[&common[..], options].concat())
    }

    /// The output of `imgtool verify` for these bytes.
    fn verify(&self, bytes: &[u8]) -> Result<String, String> {
        let (file, key) = (self.path("to-verify"), self.path("key"));
        fs::write(&file, bytes).expect("a file");
        imgtool(&["verify", "-k", &key, &file])
    }
}

/// Two slots of four sectors, the first of them primary.
struct Slots<const WORD: usize, const SECTOR: usize> {
    flash: View<WORD, SECTOR>,
    marks: Marks,
    regions: [Region; 2],
}

const SLOT_SECTORS: u32 = 4;

impl<const WORD: usize, const SECTOR: usize> Slots<WORD, SECTOR> {
    const SLOT_BYTES: u32 = SLOT_SECTORS * SECTOR as u32;

    fn new(align: u32) -> Self {
        let fits = |chip: &Chip| (chip.word_bytes, chip.sector_bytes) == (WORD, SECTOR);
        let chip = CHIPS.into_iter().find(fits).expect("a chip of these units");
        let flash = View(Nor::new(chip, 2 * SLOT_SECTORS as usize));
        let regions = [0, Self::SLOT_BYTES].map(|offset_bytes| Region::new(offset_bytes, Self::SLOT_BYTES));
        let align = Align::new(align).expect("one of three");
        let marks = Marks::new(Mode::Swap(Swap::Scratch), align, Geometry::of(&flash), regions);
        Self { flash, marks: marks.expect("room for a trailer"), regions }
    }

    /// Writes an image into a slot as our blocks do.
    fn receive(&mut self, slot: SlotId, image: &[u8]) {
        let mut words = image.to_vec();
        words.resize(image.len().next_multiple_of(WORD), 0xFF);
        poll_ready(self.flash.write(self.region(slot).offset_bytes(), &words))
            .expect("memory never waits")
            .expect("a write");
    }

    fn region(&self, slot: SlotId) -> Region {
        self.regions[usize::from(slot == SlotId::B)]
    }

    fn bytes(&self, slot: SlotId) -> Vec<u8> {
        self.flash.0.bytes(self.region(slot).offset_bytes(), Self::SLOT_BYTES)
    }

    fn mark(&mut self, mark: Mark) {
        poll_ready(self.marks.mark(&mut self.flash, SlotId::B, mark)).expect("memory never waits").expect("a mark");
    }

    fn read(&mut self, slot: SlotId) -> Result<(ImageHeader, Tlvs), ImageError> {
        let region = self.region(slot);
        let header = poll_ready(read_image_header(&mut self.flash, region))
            .expect("memory never waits")
            .expect("it can be read")?;
        let tlvs = poll_ready(read_tlvs(&mut self.flash, region, &header))
            .expect("memory never waits")
            .expect("it can be read")?;
        Ok((header, tlvs))
    }

    fn matches_digest(&mut self, slot: SlotId) -> bool {
        let (header, tlvs) = self.read(slot).expect("an image");
        let (region, mut watchdog) = (self.region(slot), NoWatchdog);
        let matches = matches_digest(&mut self.flash, region, &header, &tlvs, &mut watchdog);
        poll_ready(matches).expect("memory never waits").expect("it can be read")
    }
}

fn an_image_reads_as_imgtool_reports<const WORD: usize, const SECTOR: usize>(align: u32) {
    let mut slots = Slots::<WORD, SECTOR>::new(align);
    let bench = Bench::new("reads", align, Slots::<WORD, SECTOR>::SLOT_BYTES);
    let image = bench.signed("image", &[]);
    slots.receive(SlotId::B, &image);
    let (header, tlvs) = slots.read(SlotId::B).expect("an image");
    assert_eq!((header.version, header.build), (Version::new(1, 2, 3), 4));
    assert_eq!((header.body_offset_bytes(), header.body_bytes()), (512, 3_001));
    assert_eq!(tlvs.image_bytes as usize, image.len());
    assert_eq!(tlvs.security_counter, Some(COUNTER));
    assert_eq!(tlvs.hardware.map(|id| id.to_string()), Some(BOARD.to_owned()));
    assert!(slots.matches_digest(SlotId::B));

    let verified = bench.verify(&image).expect("it verifies");
    assert!(verified.contains(&format!("Image digest: {}\n", tlvs.digest)), "{verified}");
    assert!(verified.contains("Image version: 1.2.3+4\n"), "{verified}");
    let dump = imgtool(&["dumpinfo", "-f", "json", &bench.path("image")]).expect("a dump");
    let dump: String = dump.chars().filter(|letter| !letter.is_whitespace()).collect();
    assert!(dump.contains("\"SEC_CNT\",\"len\":4,\"data\":\"04030201\""), "{dump}");
    assert!(
        dump.contains("\"type\":160,\"type_name\":\"UNKNOWN\",\"len\":10,\"data\":\"6e72663532383430646b\""),
        "{dump}"
    );
}

#[test]
fn an_image_of_every_alignment_reads_as_imgtool_reports() {
    if tools::tool("imgtool").is_none() {
        return;
    }
    for_each_align!(an_image_reads_as_imgtool_reports);
}

fn a_marked_slot_is_what_imgtool_pads<const WORD: usize, const SECTOR: usize>(align: u32) {
    let bench = Bench::new("marked", align, Slots::<WORD, SECTOR>::SLOT_BYTES);
    // Not `signed`: two signatures of one image differ. `create` is the older name of the command.
    for (command, options) in [("sign", &["-s", "9"][..]), ("create", &[])] {
        let image = bench.make(command, "image", options);
        for (mark, padding) in [(Mark::Trial, &["--pad"][..]), (Mark::Permanent, &["--pad", "--confirm"])] {
            let mut slots = Slots::<WORD, SECTOR>::new(align);
            slots.receive(SlotId::B, &image);
            slots.mark(mark);
            let padded = bench.make(command, "padded", &[options, padding].concat());
            assert!(slots.bytes(SlotId::B) == padded, "{command} {mark:?}");
        }
    }
}

#[test]
fn a_marked_slot_is_byte_for_byte_what_imgtool_pads() {
    if tools::tool("imgtool").is_none() {
        return;
    }
    for_each_align!(a_marked_slot_is_what_imgtool_pads);
}

fn a_padded_image_is_confirmed_as_imgtool_does<const WORD: usize, const SECTOR: usize>(align: u32) {
    let mut slots = Slots::<WORD, SECTOR>::new(align);
    let bench = Bench::new("confirmed", align, Slots::<WORD, SECTOR>::SLOT_BYTES);
    // As a flash programmer writes it, erased words skipped.
    let padded = bench.make("sign", "padded", &["--pad"]);
    for (index, word) in padded.chunks(WORD).enumerate().filter(|(_, word)| word.iter().any(|byte| *byte != 0xFF)) {
        slots.flash.0.burn((index * WORD) as u32, word);
    }
    let confirmed = poll_ready(slots.marks.confirm(&mut slots.flash, SlotId::A)).expect("memory never waits");
    assert_eq!(confirmed, Ok(TrialState::Confirmed));
    assert!(slots.bytes(SlotId::A) == bench.make("sign", "confirmed", &["--pad", "--confirm"]));
    assert!(padded.len() > slots.marks.image_bytes_max(SlotId::B, SECTOR as u32) as usize, "padding is no image");
}

#[test]
fn a_padded_image_that_a_programmer_wrote_is_confirmed_as_imgtool_does() {
    if tools::tool("imgtool").is_none() {
        return;
    }
    for_each_align!(a_padded_image_is_confirmed_as_imgtool_does);
}

fn a_marked_slot_verifies<const WORD: usize, const SECTOR: usize>(align: u32) {
    let bench = Bench::new("verifies", align, Slots::<WORD, SECTOR>::SLOT_BYTES);
    let image = bench.signed("image", &[]);
    for mark in [Mark::Trial, Mark::Permanent] {
        let mut slots = Slots::<WORD, SECTOR>::new(align);
        slots.receive(SlotId::B, &image);
        slots.mark(mark);
        bench.verify(&slots.bytes(SlotId::B)).expect("what we marked verifies");
        slots.flash.0.burn(slots.region(SlotId::B).offset_bytes() + 1_000, &[!image[1_000]]);
        assert!(!slots.matches_digest(SlotId::B));
        bench.verify(&slots.bytes(SlotId::B)).expect_err("what is damaged does not");
    }
}

#[test]
fn a_slot_that_we_marked_verifies_by_imgtool_and_a_damaged_one_by_neither() {
    if tools::tool("imgtool").is_none() {
        return;
    }
    for_each_align!(a_marked_slot_verifies);
}

#[test]
fn images_that_would_run_as_something_else_or_not_at_all_are_refused_by_name() {
    if tools::tool("imgtool").is_none() {
        return;
    }
    let bench = Bench::new("refused", 8, Slots::<8, 2048>::SLOT_BYTES);
    let public = bench.path("public");
    imgtool(&["getpub", "-k", &bench.path("key"), "-e", "pem", "-o", &public]).expect("a public key");
    let refused = |options: &[&str]| {
        let mut slots = Slots::<8, 2048>::new(8);
        slots.receive(SlotId::B, &bench.make("sign", "image", options));
        slots.read(SlotId::B).expect_err("it is refused")
    };
    assert_eq!(refused(&["--encrypt", &public]), ImageError::FlagsUnsupported { got: 0x04 });
    assert_eq!(refused(&["--encrypt", &public, "--encrypt-keylen", "256"]), ImageError::FlagsUnsupported { got: 0x08 });
    assert_eq!(refused(&["--non-bootable"]), ImageError::FlagsUnsupported { got: 0x10 });
    assert_eq!(refused(&["--sha", "512"]), ImageError::DigestMissing);
    assert_eq!(refused(&["--custom-tlv", "0xA0", "a board of spaces"]), ImageError::HardwareIdInvalid);
}

#[test]
fn an_image_of_imgtools_is_received_verified_tried_and_kept() {
    fn kept<R: Rig>(image: &[u8]) {
        let rig = R::new();
        assert_eq!(poll_ready(update(&mut booted(&rig), image)), Some(Ok(())));
        let mut board = booted(&rig);
        assert_eq!(rig.running(image.len()), image);
        assert_eq!(poll_ready(board.confirm()), Some(Ok(())));
        booted(&rig);
        assert_eq!(rig.running(image.len()), image);
    }
    if tools::tool("imgtool").is_none() {
        return;
    }
    let bench = Bench::new("update", 8, 12_288);
    let signed = |board: &str| bench.make("sign", board, &["-k", &bench.path("key"), "--custom-tlv", "0xA0", board]);
    kept::<McubootSwap>(&signed(ota_tests::image::BOARD));
    kept::<McubootInPlace>(&signed(ota_tests::image::BOARD));

    let refused = poll_ready(update(&mut booted(&McubootSwap::new()), &signed(BOARD)));
    assert!(matches!(refused, Some(Err(Refusal::WrongHardware { .. }))), "{refused:?}");
}
