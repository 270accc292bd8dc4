//! The device: a flash that stays, and whatever program the boot selector starts from it. Every slot holds an image whose
//! header says how it behaves; the agent inside is always the same.

use std::rc::Rc;

use ota_agent::machine::Notice;
use ota_agent::{Agent, Application, Config, Instant, Progress, SelfTest, StartError};
use ota_boot::{Boot, BootError, Scrutiny};
use ota_jobs::{JobId, ThingName};
use ota_pal::{
    BootRecord, BootRecords, Component, Digest, Flash, Geometry, HEADER_BYTES, Layout, Native, NoWatchdog, OwnSelector,
    Region, Reset, SlotId, VersionRule, now,
};
use sha2::{Digest as _, Sha256};

use crate::dice::Dice;
use crate::image::{BOARD, Behaviour, hardware, header, image};
use crate::nor::{Chip, Nor, with_view};
use crate::verifier::{Signer, WorldVerifier};

/// The agent's buffer for the document of the job at hand.
pub const DOCUMENT_BYTES: usize = 1_024;
/// Bytes of the image that the factory puts into slot A, version 1.0.1.
const FACTORY_BYTES: u32 = 9_000;
/// The least that boot record, journal and monotonic record take together, if a sector holds a record.
const RECORD_SECTORS: usize = 6;

/// The receive buffer of a device with blocks of this size: a block and what stands around it, or a job.
pub const fn receive_bytes(block_bytes: u32) -> usize {
    let block = block_bytes as usize + 512;
    if block < 3_072 { 3_072 } else { block }
}

/// A reset button that nobody has to hold.
pub struct Button;

impl Reset for Button {
    fn reset(&mut self) {}
}

/// The platform of the world's devices.
pub type Board<F> = Native<F, WorldVerifier, Button>;

/// What the world's agents are.
pub type Program<'b, F> = Agent<'b, Board<F>, App>;

/// The flash, and what is known of the device without looking into it.
pub struct Device {
    /// The flash.
    pub nor: Nor,
    /// What lies where in it.
    pub layout: Layout,
    /// The key that it trusts.
    pub signer: Rc<Signer>,
    /// Its name at the service.
    pub thing: String,
    /// The agent's.
    pub config: Config,
}

impl Device {
    /// A new device with slots of so many sectors of the chip; version 1.0.1 runs from slot A.
    pub fn new(
        thing: &str,
        config: Config,
        (chip, slot_sectors): (Chip, usize),
        signer: Rc<Signer>,
        dice: &mut Dice,
    ) -> Self {
        let nor = Nor::new(chip, RECORD_SECTORS + 2 * slot_sectors);
        let geometry = with_view!(nor, flash => Geometry::of(&flash));
        let layout = Layout::split(geometry).expect("slots of whole sectors");
        let factory = image(&header(1, FACTORY_BYTES, Behaviour::Passes), dice);
        nor.burn(layout.slot(SlotId::A).offset_bytes(), &factory);
        Self { nor, layout, signer, thing: thing.to_owned(), config }
    }

    /// The reset: power is back, and the boot selector chooses. `None` when the power goes meanwhile.
    pub fn boot(&self) -> Option<Result<Boot, BootError>> {
        self.nor.power_on();
        with_view!(self.nor, flash => now(ota_boot::boot(&mut flash, &self.layout, &mut NoWatchdog, Scrutiny::Header)))
    }

    /// The program that was booted starts. `None` when the power goes meanwhile.
    pub fn start<'b, F: Flash>(
        &self,
        flash: F,
        boot: &Boot,
        document: &'b mut [u8],
        seed: u64,
        now_ms: u64,
    ) -> Option<Result<Program<'b, F>, StartError>> {
        let thing = ThingName::new(&self.thing).expect("a plain name");
        let app = App::new(Behaviour::of(&boot.header));
        let platform = self.platform(flash, boot.slot);
        let at = Instant::from_ms(now_ms);
        now(Agent::start(self.config.clone(), thing, platform, app, document, seed, at))
    }

    /// The platform of the program in slot `running`.
    pub fn platform<F: Flash>(&self, flash: F, running: SlotId) -> Board<F> {
        let config = ota_pal::Config {
            layout: self.layout,
            hardware: hardware(BOARD),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            trial_attempts: ota_pal::native::TRIAL_ATTEMPTS_DEFAULT,
        };
        let selector = OwnSelector::new(&self.layout, running);
        Native::new(flash, self.signer.verifier(), Button, NoWatchdog, config, selector).expect("the layout fits")
    }

    /// What the boot record says.
    pub fn record(&self) -> BootRecord {
        let load = || with_view!(self.nor, flash => now(BootRecords::new(&self.layout).load(&mut flash)));
        let loaded = self.nor.in_peace(load);
        loaded.expect("reading never waits").expect("the selector and the agent write only valid records")
    }

    /// The hash of the first `image_bytes` of a slot.
    pub fn digest(&self, slot: SlotId, image_bytes: u32) -> Digest {
        let bytes = self.nor.bytes(self.layout.slot(slot).offset_bytes(), image_bytes);
        Digest(Sha256::digest(bytes).into())
    }

    /// The hash of the image in a slot, as long as its header says; `None` without a header.
    pub fn image_digest(&self, slot: SlotId) -> Option<Digest> {
        let region: Region = self.layout.slot(slot);
        let header = ota_pal::Header::parse(&self.nor.bytes(region.offset_bytes(), HEADER_BYTES as u32)).ok()?;
        (header.image_bytes() <= region.len_bytes()).then(|| self.digest(slot, header.image_bytes()))
    }
}

/// The application in every image. It keeps what it hears until the world collects it.
pub struct App {
    behaviour: Behaviour,
    /// Notices since the world looked.
    pub notices: Vec<Notice>,
    /// Progress since the world looked.
    pub progress: Vec<Progress>,
    /// Custom jobs since the world looked.
    pub custom: Vec<String>,
}

impl App {
    fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, notices: Vec::new(), progress: Vec::new(), custom: Vec::new() }
    }
}

impl Application for App {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        match self.behaviour {
            Behaviour::Passes => SelfTest::Passed,
            Behaviour::Fails => SelfTest::Failed,
            Behaviour::Hangs => SelfTest::Running,
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn on_progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn on_custom_job(&mut self, job: &JobId, _document: &[u8]) {
        self.custom.push(job.to_string());
    }
}
