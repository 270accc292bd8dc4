//! The agent: passes messages and blocks to the machine, executes its operations on the platform, and encodes its messages.
//! It owns no connection: [`pump`](super::pump) does, or a loop of the caller.
//! Compiled twice, for async platforms and in [`blocking`](crate::blocking): see lib.rs.

use ota_jobs::document::File;
use ota_jobs::{Document, Encoding, JobId, JobRef, JobsTopic, RawJson, Reason, Topic};
use ota_pal::{Component, Fault, ImageState, Part, SignatureKind, SlotId, Slots};

use super::boot::{machine_boot, read_boot};
use super::{Platform, bisync};
use crate::application::{Application, Direction, SelfTest, Shutdown};
use crate::decode::{self, Decoded, FILTERS, FILTERS_BYTES_MAX};
use crate::encode::{self, MESSAGE_BYTES_MAX, Outgoing};
use crate::machine::{
    self, AgentConfig, AgentState, Done, Event, Instant, Machine, Notice, Operation, Pending, Plan, Progress, Ran,
    Statistics, Step, Task,
};
use crate::reason::{of_fault, of_refusal};
use crate::start::{Start, StartError, StartRefused, Update};
use crate::transport::{QoS, Range};
use crate::update_job::{self, UpdateJob};

/// An update agent for one thing and one platform.
pub struct Agent<'b, P, A> {
    pub(crate) machine: Machine,
    pub(crate) platform: P,
    pub(crate) application: A,
    pub(crate) update: UpdateJob<'b>,
    /// See [`Ran::app`].
    app_of_release: Option<u8>,
    connected: bool,
    reset: bool,
    /// The pump is to end.
    pub(crate) shutdown: Option<Shutdown>,
    /// An operation was executed since the last [`Agent::work`].
    operated: bool,
    /// The time of the last [`Agent::work`].
    polled_at: Instant,
}

#[bisync]
impl<'b, P: Platform, A: Application> Agent<'b, P, A> {
    /// Starts the agent after a boot: reads journal and boot record and resumes what the reset interrupted.
    ///
    /// `url` holds the URL of the active job: 2 KiB for a presigned URL of AWS, none on a device that uses MQTT only.
    ///
    /// Errors: [`StartError`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn start(
        mut platform: P,
        mut application: A,
        config: AgentConfig,
        url: &'b mut [u8],
        Start { seed, now }: Start,
    ) -> Result<Self, StartError> {
        let (record, state) = read_boot(&mut platform).await.map_err(StartError::Platform)?;
        let boot = machine_boot(&mut platform, record.as_ref(), &state).await.map_err(StartError::Platform)?;
        if let Err(fault) = state.floor {
            application.on_notice(Notice::FloorNotRaised(of_fault(fault)));
        }
        if state.broken_rows > 0 {
            application.on_notice(Notice::ImageRowsBroken(state.broken_rows));
        }
        Ok(Self {
            update: UpdateJob::new(url, state.running),
            app_of_release: boot.app_of_release,
            machine: Machine::at_boot(config, record, boot, seed, now),
            platform,
            application,
            connected: false,
            reset: false,
            shutdown: None,
            operated: false,
            polled_at: now,
        })
    }

    /// Starts an update without a job: only the application is notified. It is asked for its consent as for a job.
    ///
    /// Errors: [`StartRefused`]; then nothing changed.
    ///
    /// # Cancel safety
    /// Not cancel-safe: start a new agent after dropping the future.
    pub async fn update_now(&mut self, update: Update<'_>, now: Instant) -> Result<(), StartRefused> {
        start(&mut self.machine, &mut self.platform, &mut self.update, update, now)?;
        self.operate(now).await;
        Ok(())
    }

    /// Applies an event, and executes the operations that follow from it on the platform.
    ///
    /// # Cancel safety
    /// Not cancel-safe: after dropping the future, start a new agent, which resumes as after a reset.
    pub async fn on(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::Disconnected => self.connected = false,
            _ => {}
        }
        self.machine.on(event, now);
        self.operate(now).await;
    }

    /// Handles a received message. A message on a topic that is not the agent's is passed to the application.
    ///
    /// # Cancel safety
    /// As [`Agent::on`].
    pub async fn on_message(&mut self, topic: &str, payload: &[u8], now: Instant) {
        self.machine.received();
        if let Some((index, bytes)) = self.handle(topic, payload, now) {
            return self.on_block(index, bytes, now).await;
        }
        self.operate(now).await;
    }

    /// Writes a block to flash if it is missing.
    ///
    /// # Cancel safety
    /// As [`Agent::on`].
    pub async fn on_block(&mut self, index: u32, bytes: &[u8], now: Instant) {
        if let Ok(len_bytes) = u32::try_from(bytes.len())
            && let Some(block) = self.machine.block(index, len_bytes, now)
        {
            let written = self.platform.write(block.offset_bytes(), bytes).await;
            self.finish(written.map_or_else(|fault| Done::Failed(of_fault(fault)), |()| Done::Written(block)), now);
            if let Some(progress) = self.machine.progress() {
                self.application.on_progress(progress);
            }
        }
        self.operate(now).await;
    }

    /// Executes the operations that are due on the platform.
    ///
    /// # Cancel safety
    /// As [`Agent::on`].
    pub async fn work(&mut self, now: Instant) {
        if core::mem::take(&mut self.operated) {
            self.machine.worked(now); // nothing could be received meanwhile: that was no silence
        }
        self.operate(now).await;
    }

    async fn operate(&mut self, now: Instant) {
        self.polled_at = now;
        self.drain_notices();
        self.ask_verdict(now);
        while !self.reset
            && let Some(operation) = self.next_operation(now)
        {
            let Some(done) = self.perform(operation).await else { return self.reset() };
            self.finish(done, now);
        }
        self.platform.feed_watchdog();
    }

    /// Writes the next message into `buffer`, if one is due.
    pub fn message<'m>(&mut self, now: Instant, buffer: &'m mut [u8; MESSAGE_BYTES_MAX]) -> Option<Outgoing<'m>> {
        let is_quiet = self.machine.is_quiet(now);
        let (message, config) = self.machine.message(now)?;
        let mut outgoing = encode::encode(&message, config, self.update.stream(), buffer)?;
        if is_quiet {
            outgoing.qos = QoS::AtLeastOnce; // an acknowledgement shows whether the connection works
        }
        self.drain_notices();
        self.application.on_traffic(Direction::Out, outgoing.topic, outgoing.payload);
        Some(outgoing)
    }

    /// The instant at which [`Agent::work`] is due without another event, as of the last call of it.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline(self.polled_at)
    }

    /// The topics to subscribe to, written into `buffer`.
    pub fn filters<'t>(&self, buffer: &'t mut [u8; FILTERS_BYTES_MAX]) -> [&'t str; FILTERS] {
        decode::filters(&self.machine.config().thing, buffer)
    }

    /// The bytes that an HTTP body must deliver now; `None` while no body is needed.
    pub fn fetch(&self, now: Instant) -> Option<Range> {
        let from_bytes = self.machine.fetch(now)?;
        Some(Range {
            from_bytes,
            image_bytes: self.machine.image_bytes(),
            block_bytes: self.machine.config().block_bytes,
        })
    }

    /// The image's URL; empty without one.
    pub fn url(&self) -> &[u8] {
        self.update.url()
    }

    /// What the agent is doing.
    pub fn state(&self) -> AgentState {
        self.machine.state()
    }

    /// The progress of the active download.
    pub fn progress(&self) -> Option<Progress> {
        self.machine.progress()
    }

    /// The counters since the boot.
    pub fn statistics(&self) -> Statistics {
        self.machine.statistics()
    }

    /// The step that waits for the application's consent.
    pub fn pending(&self) -> Option<Pending> {
        self.machine.pending()
    }

    /// Whether the agent waits for the application: for its verdict on the image on trial, or for its preparation for a reset.
    /// Each [`Agent::work`] asks again.
    pub fn awaits_application(&self) -> bool {
        self.machine.is_testing() || self.machine.prepares_reset()
    }

    /// The state of the running image in the boot record. With two components: of the one that the last job updated.
    ///
    /// Errors: the platform's, if flash cannot be read.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn image_state(&mut self) -> Result<ImageState, Fault> {
        Ok(self.platform.boot_state().await?.image_state())
    }

    /// Resets the device. A simulated platform returns.
    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.platform.reset();
    }

    /// Whether the platform was reset and returned: only a simulated one does.
    pub fn is_reset(&self) -> bool {
        self.reset
    }

    /// Whether the pump is to go on.
    pub(crate) fn is_running(&self) -> bool {
        !self.reset && self.shutdown.is_none()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// The application.
    pub fn application(&mut self) -> &mut A {
        &mut self.application
    }

    /// Ends the agent and returns its parts.
    pub fn into_parts(self) -> (P, A) {
        (self.platform, self.application)
    }

    /// Passes a message to the machine; returns the block if it is one.
    fn handle<'m>(&mut self, topic: &str, payload: &'m [u8], now: Instant) -> Option<(u32, &'m [u8])> {
        let parsed = match Topic::parse(topic) {
            Ok((thing, parsed)) if thing == self.machine.config().thing.as_str() && self.is_own(&parsed) => parsed,
            _ => {
                self.application.on_message(topic, payload);
                return None;
            }
        };
        self.application.on_traffic(Direction::In, topic, payload);
        let decoded = decode::decode(parsed, payload, self.update.stream(), self.machine.asked());
        self.machine.count_message(matches!(decoded, Decoded::Ignored));
        match decoded {
            Decoded::Event(event) => self.machine.on(event, now),
            Decoded::Offer { execution, document } => {
                let task = self.task(&execution.id.job, document);
                self.machine.on(Event::Offer(machine::Offer { execution, task }), now);
            }
            Decoded::Block { index, bytes } => return Some((index, bytes)),
            Decoded::Ignored => {}
        }
        None
    }

    /// Whether a message on this topic can be for the agent: a response about a job is only if that is the active one.
    fn is_own(&self, topic: &Topic<'_>) -> bool {
        match topic {
            Topic::Jobs(JobsTopic::Update(job, _) | JobsTopic::Describe(JobRef::Id(job), _)) => {
                self.machine.job().is_some_and(|active| active.as_str() == *job)
            }
            // Responses to requests that only the application sends.
            Topic::Jobs(JobsTopic::Get(_) | JobsTopic::StartNext(_)) => false,
            Topic::Stream { encoding, .. } => *encoding == Encoding::Cbor,
            Topic::Jobs(JobsTopic::Notify | JobsTopic::NotifyNext | JobsTopic::Describe(JobRef::Next, _)) => true,
        }
    }

    /// What the document of an offered job asks for. A document that the machine does not need is not parsed, and
    /// counts as a custom job's.
    fn task(&mut self, job: &JobId, document: Option<RawJson<'_>>) -> Task {
        match document {
            None => Task::DocumentOmitted,
            Some(_) if !self.machine.needs_document(job, None) => Task::Custom,
            Some(document) => self.read_document(job, document),
        }
    }

    fn read_document(&mut self, job: &JobId, document: RawJson<'_>) -> Task {
        match Document::parse(document) {
            Ok(None) => {
                self.application.on_custom_job(job, document.as_bytes());
                Task::Custom
            }
            Ok(Some(document)) => {
                let plan = take_document(&self.machine, &mut self.platform, &mut self.update, Some(job), &document);
                plan.map_or_else(Task::Refused, Task::Update)
            }
            Err(error) => Task::Refused(error.into()),
        }
    }

    /// The next operation, once the application consents to it, and is prepared for a reset.
    fn next_operation(&mut self, now: Instant) -> Option<Operation> {
        if let Some(step) = self.machine.asks(now) {
            self.ask(step, now);
        }
        if self.machine.prepares_reset() && self.application.prepare_for_reset().is_ready() {
            self.machine.prepared(now);
        }
        let operation = self.machine.operation(now);
        self.drain_notices(); // a deadline may have passed
        operation
    }

    /// Asks the application for its consent.
    pub(crate) fn ask(&mut self, step: Step, now: Instant) {
        let consent = self.application.consent(step, self.machine.is_forced());
        self.machine.on(Event::Consent(consent), now);
        self.drain_notices();
    }

    /// Asks the application for its verdict while the running image is on trial.
    fn ask_verdict(&mut self, now: Instant) {
        if self.machine.is_testing() {
            match self.application.self_test(self.connected) {
                SelfTest::Running => {}
                SelfTest::Passed => _ = self.machine.judge(Ok(()), now),
                SelfTest::Failed => _ = self.machine.judge(Err(Reason::SelfTestFailed), now),
            }
        }
    }

    fn drain_notices(&mut self) {
        while let Some(notice) = self.machine.notice() {
            self.application.on_notice(notice);
        }
    }

    /// Reports the result of an operation to the machine.
    fn finish(&mut self, done: Done, now: Instant) {
        self.operated = true;
        self.platform.feed_watchdog();
        self.machine.on(Event::Done(done), now);
        self.drain_notices();
    }

    /// Executes an operation; `None` for a reset, which is left to the caller.
    async fn perform(&mut self, operation: Operation) -> Option<Done> {
        let image_bytes = self.machine.image_bytes();
        let platform = &mut self.platform;
        let fault = |fault| Done::Failed(of_fault(fault));
        let refusal = |refusal| Done::Failed(of_refusal(refusal));
        Some(match operation {
            Operation::CheckInstalled => {
                // An unsigned image cannot be recognized.
                let Some((image_bytes, signature)) = self.update.installed() else {
                    return Some(Done::Installed(false));
                };
                let found = platform.runs_already(image_bytes, &signature).await;
                found.map_or_else(fault, |digest| Done::Installed(digest.is_some()))
            }
            Operation::Begin { keep_bytes } => {
                let begun = platform.begin(image_bytes, keep_bytes).await;
                begun.map_or_else(refusal, |begun| Done::Begun {
                    slot: begun.slot.number(),
                    frontier_bytes: begun.frontier_bytes,
                    evicted: begun.evicted.map(|version| (version.major, version.minor, version.patch)),
                })
            }
            Operation::CheckHeader => match platform.check_header().await {
                Ok(image) => {
                    self.update.check_version(image.version).map_or_else(Done::Failed, |()| Done::HeaderAccepted)
                }
                Err(refused) => refusal(refused),
            },
            Operation::IdleStep { frontier_bytes } => {
                platform.idle_step(frontier_bytes).await.map_or_else(fault, |more| Done::IdleStepped { more })
            }
            Operation::SaveJournal(phase) => {
                let running = Ran { slot: self.update.running.number(), app: self.app_of_release };
                let record = self.machine.record(phase, running);
                let Some(record) = record else { return Some(Done::Failed(Reason::JournalFailed)) };
                journal_saved(platform.store_journal(&record.encode()).await)
            }
            Operation::ClearJournal => journal_saved(platform.store_journal(&[]).await),
            Operation::Verify => {
                let source = self.machine.job().map_or("", JobId::as_str);
                let verified = platform.verify(self.update.signature().as_ref(), source).await;
                verified.map_or_else(refusal, |digest| Done::Verified { digest: digest.0 })
            }
            Operation::Activate { slot } => {
                let Some(slot) = SlotId::from_number(slot) else { return Some(Done::Failed(Reason::BootRecordFailed)) };
                let digest = ota_pal::Digest(self.machine.digest());
                match platform.activate(slot, &digest, image_bytes).await {
                    Ok(()) => Done::Activated,
                    // The boot record may be stored although an error was returned: then the next reset starts the
                    // trial.
                    Err(_) if is_pending(platform, &digest).await => Done::Activated,
                    Err(refused) => refusal(refused),
                }
            }
            Operation::Confirm => platform.confirm().await.map_or_else(fault, |()| Done::Confirmed),
            Operation::RollBack(reason) => {
                platform.roll_back(reason.code()).await.map_or_else(fault, |()| Done::RolledBack)
            }
            Operation::Invalidate { slot } => {
                let Some(slot) = SlotId::from_number(slot) else { return Some(Done::Failed(Reason::BootRecordFailed)) };
                platform.invalidate(slot).await.map_or_else(refusal, |()| Done::Invalidated)
            }
            Operation::Reset => return None,
        })
    }
}

/// Returns the plan of a document. Selects the component that it updates, and stores what download and verification need of
/// it, unless the active job receives another file.
fn take_document<P: Platform>(
    machine: &Machine,
    platform: &mut P,
    update: &mut UpdateJob<'_>,
    job: Option<&JobId>,
    document: &Document<'_>,
) -> Result<Plan, Reason> {
    let Candidate { part, running, file, plan } = match job {
        Some(job) if platform.takes_releases() && update_job::has_both(document) => {
            let of = |component| candidate(platform, update, document, Part::OfRelease(component));
            let (app, system) = (of(Component::App)?, of(Component::System)?);
            let system = Candidate { plan: system.plan.after(&app.plan), ..system };
            match machine.is_at_second_file(job, system.plan.fingerprint()) {
                true => system,
                false => Candidate { plan: app.plan.followed(), ..app },
            }
        }
        _ => candidate(platform, update, document, Part::Alone(update_job::component(document)))?,
    };
    if job.is_none_or(|job| machine.needs_document(job, Some(plan.fingerprint()))) {
        platform.select(part);
        update.running = running;
        update.store(document, part.component(), file);
    }
    Ok(plan)
}

/// A file that the device could receive next.
struct Candidate<'d, 'a> {
    part: Part,
    running: SlotId,
    file: &'d File<'a>,
    plan: Plan,
}

fn candidate<'d, 'a, P: Platform>(
    platform: &P,
    update: &UpdateJob<'_>,
    document: &'d Document<'a>,
    part: Part,
) -> Result<Candidate<'d, 'a>, Reason> {
    let component = part.component();
    let Slots { running, free } = platform.slots(component).ok_or(Reason::NoFileForThisDevice)?;
    let file = update_job::firmware(document, component, free)?;
    platform.check_kind(update_job::signature_kind(file)?).map_err(of_refusal)?;
    Ok(Candidate { part, running, file, plan: update.plan(document, component, file)? })
}

/// Starts an update without a job; after an error nothing changed.
pub(super) fn start<P: Platform>(
    machine: &mut Machine,
    platform: &mut P,
    stored: &mut UpdateJob<'_>,
    update: Update<'_>,
    now: Instant,
) -> Result<(), StartRefused> {
    if !machine.is_idle() {
        return Err(StartRefused::Busy);
    }
    let plan = match update {
        Update::Document(document) => {
            let document = RawJson::parse(document).and_then(Document::parse);
            let document = document.map_err(|error| StartRefused::Unsuitable(error.into()))?;
            take_document(machine, platform, stored, None, &document.ok_or(StartRefused::NotAnUpdate)?)
        }
        Update::Image { url, image_bytes, version, digest } => {
            let allowed = platform.check_kind(Some(SignatureKind::Digest)).map_err(of_refusal);
            let plan = allowed.and_then(|()| stored.store_image(url, image_bytes, version, &digest));
            if let (Ok(_), Some(Slots { running, .. })) = (plan, platform.slots(Component::App)) {
                platform.select(Part::Alone(Component::App));
                stored.running = running;
            }
            plan
        }
    };
    machine.update_now(plan.map_err(StartRefused::Unsuitable)?, now);
    Ok(())
}

fn journal_saved(stored: Result<(), Fault>) -> Done {
    stored.map_or(Done::Failed(Reason::JournalFailed), |()| Done::JournalSaved)
}

#[bisync]
async fn is_pending<P: Platform>(platform: &mut P, wanted: &ota_pal::Digest) -> bool {
    let state = platform.boot_state().await;
    state.is_ok_and(|state| matches!(state.trial, ota_pal::Trial::Pending { digest, .. } if digest == *wanted))
}
