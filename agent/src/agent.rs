//! The thin shell around the machine: takes messages and blocks in, carries the machine's operations out on the
//! platform, and hands out what is to be sent. It owns no connection: [`crate::pump`] does, or your own loop.

use heapless::String;
use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::{Document, JobId, RawJson, Reason, ThingName, Topic};
use ota_pal::{BootState, Fault, ImageState, Platform, SlotId};

use crate::application::{Application, SelfTest, Way};
use crate::desk::Desk;
use crate::inbox::{self, Heard};
use crate::machine::{
    self, Boot, Config, Done, Event, Instant, Machine, Notice, Operation, Phase, Plan, Progress, RECORD_BYTES, Record,
    Task, Trial,
};
use crate::outbox;
use crate::reason::{of_fault, of_refusal};
use crate::transport::http::Range;

pub use crate::outbox::{MESSAGE_BYTES_MAX, Outgoing};

/// An agent that cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The device's own flash cannot be read, or its records are of an unknown format.
    Platform(Fault),
}

/// Why [`Agent::update_now`] did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartRefused {
    /// A job is at hand.
    Busy,
    /// The document asks for nothing that this device can do, or is larger than the agent's buffer.
    Document(Reason),
    /// It is no update.
    NotAnUpdate,
}

/// An update agent: one per device and thing, as many per program as you like.
pub struct Agent<'b, P, A> {
    pub(crate) machine: Machine,
    pub(crate) platform: P,
    pub(crate) application: A,
    thing: ThingName,
    desk: Desk<'b>,
    block_bytes: u32,
    connected: bool,
    reset: bool,
    polled_at: Instant,
}

impl<'b, P: Platform, A: Application> Agent<'b, P, A> {
    /// The agent after a boot: reads journal and boot record, and knows what to go on with.
    ///
    /// `document` holds the document of the job at hand: 2 KiB take an AWS job with a presigned URL. `seed` should differ
    /// from boot to boot.
    ///
    /// Errors: [`StartError`]. Dropping the future leaves everything as it was.
    pub async fn start(
        config: Config,
        thing: ThingName,
        mut platform: P,
        mut application: A,
        document: &'b mut [u8],
        seed: u64,
        now: Instant,
    ) -> Result<Self, StartError> {
        let (record, state) = read_boot(&mut platform).await.map_err(StartError::Platform)?;
        let boot = machine_boot(&mut platform, record.as_ref(), &state).await.map_err(StartError::Platform)?;
        if let Err(fault) = state.floor {
            application.on_notice(Notice::FloorNotRaised(of_fault(fault)));
        }
        if state.broken_rows > 0 {
            application.on_notice(Notice::ImageRowsBroken(state.broken_rows));
        }
        let block_bytes = config.block_bytes;
        Ok(Self {
            machine: Machine::at_boot(config, record, boot, seed, now),
            platform,
            application,
            thing,
            desk: Desk::new(document),
            block_bytes,
            connected: false,
            reset: false,
            polled_at: now,
        })
    }

    /// Updates the device with `document`, an `afr_ota` job document that came by other ways than a job: no cloud job is
    /// touched, and only the application hears how it goes.
    ///
    /// Errors: [`StartRefused`]; then nothing changed.
    pub async fn update_now(&mut self, document: &[u8], now: Instant) -> Result<(), StartRefused> {
        if !self.machine.is_idle() {
            return Err(StartRefused::Busy);
        }
        let document = RawJson::parse(document).map_err(|error| StartRefused::Document(error.into()))?;
        if let Ok(false) = Document::is_update(document) {
            return Err(StartRefused::NotAnUpdate);
        }
        self.desk.put(document).map_err(StartRefused::Document)?;
        match self.plan() {
            Ok(plan) => self.machine.update_now(plan, now),
            Err(reason) => return Err(StartRefused::Document(reason)),
        };
        self.work(now).await;
        Ok(())
    }

    /// Tells the agent what happened, and does what follows from it on the platform.
    ///
    /// Dropping the future is like a power cut: the agent must be started again.
    pub async fn on(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::Disconnected => self.connected = false,
            _ => {}
        }
        self.machine.on(event, now);
        self.work(now).await;
    }

    /// Takes a message in. Those on topics that are not the agent's go to the application.
    pub async fn on_message(&mut self, topic: &str, payload: &[u8], now: Instant) {
        let ours = match Topic::parse(topic) {
            Ok((thing, topic)) if thing == self.thing.as_str() => topic,
            _ => return self.application.on_message(topic, payload),
        };
        self.application.on_traffic(Way::In, topic, payload);
        match inbox::read(ours, payload, &self.desk) {
            Heard::Event(event) => self.on(event, now).await,
            Heard::Offer { execution, document } => self.offered(execution, document, now).await,
            Heard::Block { index, bytes } => self.on_block(index, bytes, now).await,
            Heard::Nothing => {}
        }
    }

    /// Takes a block in, and writes it if it is wanted.
    pub async fn on_block(&mut self, index: u32, bytes: &[u8], now: Instant) {
        let Ok(len_bytes) = u32::try_from(bytes.len()) else { return };
        self.machine.on(Event::Block { index, len_bytes }, now);
        self.work_with(bytes, now).await;
    }

    /// Does what is due on the platform.
    pub async fn work(&mut self, now: Instant) {
        self.work_with(&[], now).await;
    }

    /// Writes the next message into `buffer`, if one is due.
    pub fn message(&mut self, now: Instant, buffer: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<Outgoing> {
        let message = self.machine.message(now)?;
        let outgoing = outbox::write(&message, &self.thing, &self.desk, self.block_bytes, buffer)?;
        self.hear();
        self.application.on_traffic(Way::Out, &outgoing.topic, &buffer[..outgoing.len]);
        Some(outgoing)
    }

    /// The moment at which time alone changes something, counted from the last [`Agent::work`].
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline(self.polled_at)
    }

    /// The topics to subscribe to.
    pub fn filters(&self) -> [String<TOPIC_BYTES_MAX>; inbox::FILTERS] {
        inbox::filters(&self.thing)
    }

    /// Which bytes an HTTP body should bring now, if any.
    pub fn fetch(&self, now: Instant) -> Option<Range> {
        let from_bytes = self.machine.fetch(now)?;
        let image_bytes = self.machine.progress()?.total_bytes;
        Some(Range { from_bytes, image_bytes, block_bytes: self.block_bytes })
    }

    /// Writes the image's URL into `buffer` and returns its length.
    ///
    /// Errors: [`Reason::DocumentFieldTooLong`] if it does not fit, [`Reason::UrlNotAllowed`] if there is none.
    pub fn url_into(&self, buffer: &mut [u8]) -> Result<usize, Reason> {
        self.desk.url_into(buffer)
    }

    /// How far the download at hand is.
    pub fn progress(&self) -> Option<Progress> {
        self.machine.progress()
    }

    /// Whether the running image is on trial and waits for the application's verdict.
    pub fn is_testing(&self) -> bool {
        self.machine.is_testing()
    }

    /// Where the running image stands, as the boot record says. Dropped: nothing happened.
    ///
    /// Errors: the platform's, if flash cannot be read.
    pub async fn image_state(&mut self) -> Result<ImageState, Fault> {
        Ok(self.platform.boot_state().await?.image_state())
    }

    /// Resets, and remembers it: a simulated platform returns.
    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.platform.reset();
    }

    /// Whether the platform was reset, and returned: only a simulated one does.
    pub fn is_reset(&self) -> bool {
        self.reset
    }

    /// The application, for the caller who lent it.
    pub fn application(&mut self) -> &mut A {
        &mut self.application
    }

    /// Ends the agent and gives its parts back.
    pub fn into_parts(self) -> (P, A) {
        (self.platform, self.application)
    }

    async fn offered(&mut self, execution: machine::Execution, document: Option<RawJson<'_>>, now: Instant) {
        let task = match document {
            None => Task::Withheld,
            Some(_) if !self.machine.wants_document(&execution.job) => Task::Foreign,
            Some(document) => self.read_document(&execution.job, document),
        };
        self.on(Event::Offer(machine::Offer { execution, task }), now).await;
    }

    fn read_document(&mut self, job: &JobId, document: RawJson<'_>) -> Task {
        // Looked at where it lies: a job that is not ours may be larger than our buffer.
        if let Ok(false) = Document::is_update(document) {
            self.application.on_custom_job(job, document.as_bytes());
            return Task::Foreign;
        }
        self.desk.put(document).and_then(|()| self.plan()).map_or_else(Task::Refused, Task::Update)
    }

    /// What the document on the desk asks for, if the keys of the device can ever take it.
    fn plan(&self) -> Result<Plan, Reason> {
        self.platform.admits(self.desk.signature_kind()?).map_err(of_refusal)?;
        self.desk.plan()
    }

    async fn work_with(&mut self, block: &[u8], now: Instant) {
        self.polled_at = now;
        self.hear();
        self.test(now);
        while !self.reset
            && let Some(operation) = self.machine.operation(now)
        {
            let Some(done) = self.carry_out(operation, block).await else {
                self.reset = true;
                break;
            };
            self.platform.feed_watchdog();
            self.machine.on(Event::Done(done), now);
            if let (Done::Written(_), Some(progress)) = (done, self.machine.progress()) {
                self.application.on_progress(progress);
            }
            self.hear();
        }
        self.platform.feed_watchdog();
    }

    fn test(&mut self, now: Instant) {
        if self.machine.is_testing() {
            match self.application.self_test(self.connected) {
                SelfTest::Running => {}
                SelfTest::Passed => self.machine.on(Event::SelfTest(Ok(())), now),
                SelfTest::Failed => self.machine.on(Event::SelfTest(Err(Reason::SelfTestFailed)), now),
            }
        }
    }

    fn hear(&mut self) {
        while let Some(notice) = self.machine.notice() {
            self.application.on_notice(notice);
        }
    }

    /// `None` after a reset that returned.
    async fn carry_out(&mut self, operation: Operation, block: &[u8]) -> Option<Done> {
        let platform = &mut self.platform;
        let fault = |fault| Done::Failed(of_fault(fault));
        let refusal = |refusal| Done::Failed(of_refusal(refusal));
        Some(match operation {
            Operation::Compare { image_bytes } => self.compare(image_bytes).await,
            Operation::Begin { image_bytes, keep_bytes } => {
                let begun = platform.begin(image_bytes, keep_bytes).await;
                begun.map_or_else(refusal, |begun| Done::Begun {
                    slot: begun.slot.number(),
                    frontier_bytes: begun.frontier_bytes,
                    evicted: begun.evicted.map(|version| (version.major, version.minor, version.patch)),
                })
            }
            Operation::Write(wanted) => {
                let written = platform.write(wanted.offset_bytes(), block).await;
                written.map_or_else(fault, |()| Done::Written(wanted))
            }
            Operation::CheckHeader => platform.check_header().await.map_or_else(refusal, |_| Done::HeaderFits),
            Operation::EraseAhead => platform.erase_ahead().await.map_or_else(fault, Done::Ahead),
            Operation::HashAhead { frontier_bytes } => {
                platform.hash_ahead(frontier_bytes).await.map_or_else(fault, Done::Ahead)
            }
            Operation::Journal(record) => {
                let bytes = record.as_ref().map_or(&[][..], |record| &record[..]);
                let stored = platform.store_journal(bytes).await;
                stored.map_or(Done::Failed(Reason::JournalFailed), |()| Done::Journaled)
            }
            Operation::Seal => self.seal().await,
            Operation::Activate { slot, digest, image_bytes } => {
                let Some(slot) = SlotId::from_number(slot) else { return Some(Done::Failed(Reason::BootRecordFailed)) };
                let digest = ota_pal::Digest(digest);
                match platform.activate(slot, &digest, image_bytes).await {
                    Ok(()) => Done::Activated,
                    // A store that failed may have been done all the same: then the trial comes at the next reset.
                    Err(_) if is_pending(platform, &digest).await => Done::Activated,
                    Err(refused) => refusal(refused),
                }
            }
            Operation::Confirm => platform.confirm().await.map_or_else(fault, |()| Done::Confirmed),
            Operation::RollBack(reason) => {
                platform.roll_back(reason.code()).await.map_or_else(fault, |()| Done::RolledBack)
            }
            Operation::Abandon { slot } => {
                let Some(slot) = SlotId::from_number(slot) else { return Some(Done::Failed(Reason::BootRecordFailed)) };
                platform.abandon(slot).await.map_or_else(refusal, |()| Done::Abandoned)
            }
            Operation::Reset => {
                platform.reset();
                return None;
            }
        })
    }

    async fn compare(&mut self, image_bytes: u32) -> Done {
        let Ok(signed) = self.desk.signed() else { return Done::Compared(false) };
        // Without a signature nothing says that it is the same.
        let Some(signature) = signed.signature() else { return Done::Compared(false) };
        let found = self.platform.runs_already(image_bytes, &signature).await;
        found.map_or_else(|fault| Done::Failed(of_fault(fault)), |digest| Done::Compared(digest.is_some()))
    }

    async fn seal(&mut self) -> Done {
        let signed = match self.desk.signed() {
            Ok(signed) => signed,
            Err(reason) => return Done::Failed(reason),
        };
        let source = self.machine.job().map_or("", JobId::as_str);
        let sealed = self.platform.seal(signed.signature().as_ref(), source).await;
        sealed.map_or_else(|refusal| Done::Failed(of_refusal(refusal)), |digest| Done::Sealed { digest: digest.0 })
    }
}

async fn is_pending<P: Platform>(platform: &mut P, wanted: &ota_pal::Digest) -> bool {
    let state = platform.boot_state().await;
    state.is_ok_and(|state| matches!(state.trial, ota_pal::Trial::Pending { digest, .. } if digest == *wanted))
}

async fn read_boot<P: Platform>(platform: &mut P) -> Result<(Option<Record>, BootState), Fault> {
    let mut bytes = [0; ota_pal::JOURNAL_PAYLOAD_BYTES_MAX];
    let len = platform.load_journal(&mut bytes).await?;
    Ok((Record::decode(&bytes[..len.min(RECORD_BYTES)]), platform.boot_state().await?))
}

/// What the machine is told of this boot.
async fn machine_boot<P: Platform>(
    platform: &mut P,
    record: Option<&Record>,
    state: &BootState,
) -> Result<Boot, Fault> {
    let running = state.running.number();
    // Hashing a slot takes long: only while it decides something.
    let digest = match record {
        Some(Record { phase: Phase::Activating { slot, .. }, image_bytes, .. }) if *slot == running => {
            Some(platform.running_digest(*image_bytes).await?.0)
        }
        _ => None,
    };
    Ok(Boot { running, digest, trial: trial(state) })
}

fn trial(state: &BootState) -> Trial {
    use ota_pal::Trial as T;
    match state.trial {
        T::Started { slot, .. } | T::Pending { slot, .. } if slot == state.running => Trial::Running,
        T::Ended { slot, digest, reason, .. } => Trial::Ended {
            slot: slot.number(),
            digest: digest.0,
            reason: Reason::from_code(reason).unwrap_or(Reason::RolledBack),
        },
        T::None | T::Started { .. } | T::Pending { .. } => Trial::None,
    }
}
