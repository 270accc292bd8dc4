//! The device: persistent flash, and the program that the boot selector starts from it. Every slot holds an image whose
//! header encodes its behaviour on trial; the agent in it is always the same.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use ota_agent::machine::Notice;
use ota_agent::{
    Agent, AgentConfig, Application, Command, CommandRefused, Consent, Holds, Instant, Progress, SelfTest, Start,
    StartError, Step,
};
use ota_boot::{Boot, BootContext, BootError, ResetCause, VerifyLevel};
use ota_jobs::{JobId, ThingName};
use ota_pal::{
    BootRecord, BootRecords, Component, Components, Digest, Flash, Geometry, HEADER_BYTES, Header, Layout,
    MonotonicRecords, Native, NoWatchdog, OwnSelector, Platform, Region, Reset, RollbackCounters, SlotId, Trial,
    VersionRule, poll_ready,
};
use sha2::{Digest as _, Sha256};

use crate::image::{BOARD, Behaviour, hardware, header, image, key_epoch};
use crate::nor::{Nor, with_view};
use crate::rng::Rng;
use crate::setup::Setup;
use crate::verifier::{Signer, SimVerifier};

/// Buffer size for the URL of the active job.
pub const URL_BYTES: usize = 1_024;
/// Length of the preinstalled image in slot A, version 1.0.1.
const FACTORY_BYTES: u32 = 9_000;

/// Receive buffer size for blocks of `block_bytes`: a block with its envelope, or a job document.
pub const fn receive_bytes(block_bytes: u32) -> usize {
    let block = block_bytes as usize + 512;
    if block < 3_072 { 3_072 } else { block }
}

/// A reset that does nothing: the run loop starts the next boot.
pub struct Button;

impl Reset for Button {
    fn reset(&mut self) {}
}

/// The platform of the simulated devices.
pub type Board<F> = Native<F, SimVerifier, Button>;

/// The platform of a simulated device with two components.
pub type BothBoards<'f, F> = Components<&'f RefCell<F>, SimVerifier, Button>;

/// The agent of a simulated device.
pub type Program<'b, P> = Agent<'b, P, App>;

/// The flash, and the parameters of the device that are not read from it; or those of its system, if that is a component of
/// its own.
pub struct Device {
    /// The flash.
    pub nor: Nor,
    /// The layout of the flash.
    pub layout: Layout,
    /// The execution region, if images do not run from their slots.
    pub executing: Option<Region>,
    /// The key that the device trusts.
    pub signer: Rc<Signer>,
    /// Its name at the service.
    pub thing: String,
    /// The agent's.
    pub config: AgentConfig,
    /// Which versions it takes: newer ones, unless a test sets another rule.
    pub version_rule: VersionRule,
    /// What the images in its slots are.
    pub component: Component,
    /// The system, if it has slots of its own: the same flash, in another layout.
    pub system: Option<Box<Device>>,
    /// What the boot selector started last.
    pub booted: Cell<Option<Boot>>,
    /// The application's consents, over all boots.
    pub consent: Rc<Consents>,
}

/// What an application is asked, and answers.
#[derive(Default)]
pub struct Consents {
    /// The next answers.
    pub answers: RefCell<VecDeque<Consent>>,
    /// The steps that it was asked about.
    pub asked: RefCell<Vec<Step>>,
    /// Its holds, which answer after the other answers.
    pub holds: Holds<NoopRawMutex>,
    /// Whether a forced job passes both.
    pub allows_forced: Cell<bool>,
    /// How often it answers that it is not prepared for a reset.
    pub unprepared: Cell<u32>,
    /// How often it was asked.
    pub prepare_calls: Cell<u32>,
}

impl Device {
    /// A new device with slots of `slot_sectors` sectors: two, or three and a factory slot. Version 1.0.1 runs.
    pub fn new(setup: &Setup, signer: Rc<Signer>, rng: &mut Rng) -> Self {
        let Setup { chip, slot_sectors, factory_slot, staged, system, .. } = setup;
        let (slots, parts) = if *factory_slot { (3, 4) } else { (2, 2) };
        let records = Layout::record_sectors(chip.sector_bytes as u32) as usize;
        let part_bytes = ((records + parts * slot_sectors) * chip.sector_bytes) as u32;
        let sectors = part_bytes as usize / chip.sector_bytes * (1 + usize::from(*system));
        let nor = Nor::new(*chip, sectors + usize::from(*staged) * slot_sectors);
        let geometry = with_view!(nor, flash => Geometry::of(&flash));
        let slot_bytes = (slot_sectors * chip.sector_bytes) as u32;
        let executing = staged.then(|| Region::new(geometry.capacity_bytes - slot_bytes, slot_bytes));
        let layout = |index: u32, slots, factory| {
            let part = Region::new(index * part_bytes, part_bytes);
            Layout::divide_part(geometry, part, slots, factory).expect("slots of whole sectors")
        };
        let app = layout(0, slots, *factory_slot);
        let mut device = Self::with_layout(setup, nor, app, executing, signer.clone(), Component::App, rng);
        device.system = system.then(|| {
            let (nor, layout) = (device.nor.clone(), layout(1, 2, false));
            Box::new(Self::with_layout(setup, nor, layout, None, signer, Component::System, rng))
        });
        device
    }

    /// A component with version 1.0.1 in its first slot.
    fn with_layout(
        setup: &Setup,
        nor: Nor,
        layout: Layout,
        executing: Option<Region>,
        signer: Rc<Signer>,
        component: Component,
        rng: &mut Rng,
    ) -> Self {
        let first = header(1, FACTORY_BYTES, Behaviour::Passes, RollbackCounters::default());
        let first = image(&Header { component, ..first }, rng);
        let (thing, config, consent) = (setup.thing.clone(), setup.config.clone(), Rc::default());
        let (version_rule, system, booted) = (VersionRule::Newer, None, Cell::new(None));
        let device =
            Self { nor, layout, executing, signer, thing, config, version_rule, component, system, booted, consent };
        device.nor.burn(device.runs_from(device.first_slot()).offset_bytes(), &first);
        device
    }

    /// The slots and records of a component.
    pub fn of(&self, component: Component) -> &Self {
        self.system.as_deref().filter(|_| component == Component::System).unwrap_or(self)
    }

    /// The confirmed slot, and the patch of the version in it. Panics if it does not hold an image.
    pub fn confirmed(&self) -> (SlotId, u32) {
        let slot = self.confirmed_slot();
        (slot, self.header(slot).expect("a confirmed image has a header").version.patch)
    }

    /// The slot that every boot without a trial starts: the confirmed one, or that of the app of a release whose system is
    /// confirmed already.
    pub fn confirmed_slot(&self) -> SlotId {
        let BootRecord { confirmed, trial, .. } = self.record();
        let release_of = |device: &Self, slot| device.header(slot).map(|header| header.release_id);
        match (trial, &self.system) {
            (Trial::WithSystem { slot, .. }, Some(system))
                if release_of(self, slot) == release_of(system, system.record().confirmed) =>
            {
                slot
            }
            _ => confirmed,
        }
    }

    /// Where the image of a slot runs.
    pub fn runs_from(&self, slot: SlotId) -> Region {
        self.executing.unwrap_or(self.layout.slot(slot))
    }

    /// The slot that a new device runs from.
    pub fn first_slot(&self) -> SlotId {
        if self.layout.factory().is_some() { SlotId::FACTORY } else { SlotId::A }
    }

    /// Resets the device, after a power cut with power restored; the boot selector chooses an image. `None` if the power is cut
    /// meanwhile. If the system is a component, the selector starts that, and its program starts the app in the same manner.
    pub fn boot(&self) -> Option<Result<Boot, BootError>> {
        let cause = if self.nor.is_dark() { ResetCause::PowerLoss } else { ResetCause::Other };
        self.nor.power_on();
        let mut context = BootContext::from(cause);
        if let Some(system) = &self.system {
            match with_view!(self.nor, flash => system.boot_on(&mut flash, context))? {
                Ok(boot) => context.system_release = boot.header.release_id,
                Err(error) => return Some(Err(error)),
            }
        }
        with_view!(self.nor, flash => self.boot_on(&mut flash, context))
    }

    fn boot_on<F: Flash>(&self, flash: &mut F, cause: BootContext) -> Option<Result<Boot, BootError>> {
        let (layout, watchdog, level) = (&self.layout, &mut NoWatchdog, VerifyLevel::Header);
        let booted = match self.executing {
            Some(executing) => poll_ready(ota_boot::boot_staged(flash, layout, executing, watchdog, level, cause)),
            None => poll_ready(ota_boot::boot(flash, layout, watchdog, level, cause)),
        };
        self.booted.set(booted.and_then(Result::ok));
        booted
    }

    /// Starts the booted program. `None` if the power is cut meanwhile.
    pub fn start<'b, F: Flash>(
        &self,
        flash: F,
        boot: &Boot,
        url: &'b mut [u8],
        seed: u64,
        now: Instant,
    ) -> Option<Result<Program<'b, Board<F>>, StartError>> {
        let platform = self.platform(flash, boot.slot, key_epoch(&boot.header));
        self.start_on(platform, Behaviour::of(&boot.header), url, Start { seed, now })
    }

    /// As [`start`](Self::start), on a device with two components. The self-test tests both.
    pub fn start_both<'b, 'f, F: Flash>(
        &self,
        flash: &'f RefCell<F>,
        boot: &Boot,
        url: &'b mut [u8],
        start: Start,
    ) -> Option<Result<Program<'b, BothBoards<'f, F>>, StartError>> {
        let system = self.of(Component::System);
        let below = system.booted.get().expect("the system started the app");
        let [app_board, system_board] = [(self, boot), (system, &below)]
            .map(|(part, boot)| part.platform(flash, boot.slot, key_epoch(&boot.header)));
        let platform = Components::new(app_board, system_board).expect("the layouts are apart");
        let behaviour = match Behaviour::of(&below.header) {
            Behaviour::Passes => Behaviour::of(&boot.header),
            other => other,
        };
        self.start_on(platform, behaviour, url, start)
    }

    fn start_on<'b, P: Platform>(
        &self,
        platform: P,
        behaviour: Behaviour,
        url: &'b mut [u8],
        start: Start,
    ) -> Option<Result<Program<'b, P>, StartError>> {
        let mut config = self.config.clone();
        config.thing = ThingName::new(&self.thing).expect("a plain name");
        poll_ready(Agent::start(platform, App::new(behaviour, self.consent.clone()), config, url, start))
    }

    /// The platform of the program in slot `running`, which requires this key epoch.
    pub fn platform<F: Flash>(&self, flash: F, running: SlotId, key_epoch: u32) -> Board<F> {
        let config = ota_pal::DeviceConfig {
            layout: self.layout,
            hardware: hardware(BOARD),
            component: self.component,
            version_rule: self.version_rule,
            security_counter_min: 0,
            key_epoch,
            system_version: ota_pal::Version::default(),
            trial_attempts: ota_pal::TRIAL_ATTEMPTS_DEFAULT,
        };
        let selector = OwnSelector::new(&self.layout, running);
        Native::from_parts(flash, self.signer.verifier(), Button, NoWatchdog, config, selector)
            .expect("the layout fits")
    }

    /// Loads the boot record.
    pub fn record(&self) -> BootRecord {
        let load = || with_view!(self.nor, flash => poll_ready(BootRecords::new(&self.layout).load(&mut flash)));
        let loaded = self.nor.in_peace(load);
        loaded.expect("reading never waits").expect("the selector and the agent write only valid records")
    }

    /// Loads the monotonic record.
    pub fn floor(&self) -> RollbackCounters {
        let load = || with_view!(self.nor, flash => poll_ready(MonotonicRecords::new(&self.layout).load(&mut flash)));
        let loaded = self.nor.in_peace(load);
        loaded.expect("reading never waits").expect("the agent writes only valid records")
    }

    /// The header of the image in a slot.
    pub fn header(&self, slot: SlotId) -> Option<Header> {
        Header::parse(&self.nor.bytes(self.layout.slot(slot).offset_bytes(), HEADER_BYTES as u32)).ok()
    }

    /// The manufacturer's signature of the image in a slot.
    pub fn signature_of(&self, slot: SlotId) -> Option<Vec<u8>> {
        let image_bytes = self.header(slot)?.image_bytes();
        Some(self.signer.sign(&self.nor.bytes(self.layout.slot(slot).offset_bytes(), image_bytes)))
    }

    /// The hash of the image in a slot, over the length in its header; `None` without a header.
    pub fn image_digest(&self, slot: SlotId) -> Option<Digest> {
        self.digest_in(self.layout.slot(slot))
    }

    /// The hash of the first `image_bytes` of a region.
    pub fn digest(&self, region: Region, image_bytes: u32) -> Digest {
        Digest(Sha256::digest(self.nor.bytes(region.offset_bytes(), image_bytes)).into())
    }

    /// The hash of the image in a region, over the length in its header; `None` without a header.
    pub fn digest_in(&self, region: Region) -> Option<Digest> {
        let header = Header::parse(&self.nor.bytes(region.offset_bytes(), HEADER_BYTES as u32)).ok()?;
        (header.image_bytes() <= region.len_bytes()).then(|| self.digest(region, header.image_bytes()))
    }
}

/// The application in every image. It stores its notices until the run loop collects them.
pub struct App {
    behaviour: Behaviour,
    consent: Rc<Consents>,
    /// Notices since the last collection.
    pub notices: Vec<Notice>,
    /// Progress since the last collection.
    pub progress: Vec<Progress>,
    /// Commands since the last collection, with their results.
    pub commands: Vec<(Command, Result<(), CommandRefused>)>,
    /// Custom jobs since the last collection.
    pub custom: Vec<String>,
}

impl App {
    fn new(behaviour: Behaviour, consent: Rc<Consents>) -> Self {
        Self { behaviour, consent, notices: Vec::new(), progress: Vec::new(), commands: Vec::new(), custom: Vec::new() }
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

    fn consent(&mut self, step: Step, forced: bool) -> Consent {
        self.consent.asked.borrow_mut().push(step);
        if forced && self.consent.allows_forced.get() {
            return Consent::Now;
        }
        self.consent.answers.borrow_mut().pop_front().unwrap_or_else(|| self.consent.holds.consent(step))
    }

    fn prepare_for_reset(&mut self) -> Poll<()> {
        self.consent.prepare_calls.update(|calls| calls + 1);
        let Some(left) = self.consent.unprepared.get().checked_sub(1) else { return Poll::Ready(()) };
        self.consent.unprepared.set(left);
        Poll::Pending
    }

    fn on_command(&mut self, command: Command, result: Result<(), CommandRefused>) {
        self.commands.push((command, result));
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
