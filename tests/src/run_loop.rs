//! The run loop of the simulation: boot after boot, event after event. It mirrors the agent's own pump, except that time
//! only advances from one event to the next.

use std::cell::RefCell;
use std::rc::Rc;

use ota_agent::machine::Event;
use ota_agent::transport::QoS;
use ota_agent::{FILTERS_BYTES_MAX, Instant, MESSAGE_BYTES_MAX, Start, StartError, Update};
use ota_jobs::Status;
use ota_pal::{Flash, ImageManagement, Signature, SignatureKind, SlotId, poll_ready};

use crate::device::{Program, URL_BYTES};
use crate::network::NetworkEvent;
use crate::nor::with_view;
use crate::service::Reply;
use crate::sim::{Act, Ended, Flow, Simulation};
use crate::web::Part;

/// Interval at which the application is asked for its verdict on an image on trial, and whether it is prepared for a reset.
const ASK_EVERY_MS: u64 = 500;
/// Time that a device takes to boot, and to connect.
const BOOT_MS: u64 = 150;
/// Maximum steps of a run; more are an endless loop.
const STEPS_MAX: u64 = 300_000;
/// Maximum messages at one time: requests for a window of blocks, one by one, and some more.
const MESSAGES_AT_ONCE_MAX: u32 = 200;

enum Boot {
    Ended(Ended),
    Again,
}

impl Simulation {
    /// Runs until no event is left, `limit_ms` have passed, or `hook`, which is called before every step, returns `Stop`.
    pub fn run(&mut self, limit_ms: u64, mut hook: impl FnMut(&mut Simulation) -> Flow) -> Ended {
        let end_ms = self.now_ms + limit_ms;
        loop {
            let boot = self.boot(end_ms, &mut hook);
            self.network.drop_device();
            (self.connected, self.body) = (false, None);
            if let Boot::Ended(ended) = boot {
                return ended;
            }
        }
    }

    /// From one boot to the next.
    fn boot(&mut self, end_ms: u64, hook: &mut impl FnMut(&mut Simulation) -> Flow) -> Boot {
        with_view!(self.device.nor, flash => self.boot_on(flash, end_ms, hook))
    }

    fn boot_on<F: Flash>(&mut self, flash: F, end_ms: u64, hook: &mut impl FnMut(&mut Simulation) -> Flow) -> Boot {
        self.boots += 1;
        self.now_ms += BOOT_MS;
        let Some(boot) = self.device.boot() else {
            self.checks.touched(&self.device, self.now_ms);
            return Boot::Again;
        };
        let boot = boot.expect("a confirmed image can always be started");
        self.checks.booted(&self.device, &boot, self.now_ms);
        self.clock.restart(self.now_ms);
        let mut url = [0; URL_BYTES];
        let seed = self.rng.next_u64();
        let now = self.instant();
        if self.device.system.is_none() {
            let agent = self.device.start(flash, &boot, &mut url, seed, now);
            return self.run_agent(agent, end_ms, hook);
        }
        let flash = RefCell::new(flash);
        let agent = self.device.start_both(&flash, &boot, &mut url, Start { seed, now });
        self.run_agent(agent, end_ms, hook)
    }

    /// Runs a program until the next boot.
    fn run_agent<P: ImageManagement>(
        &mut self,
        agent: Option<Result<Program<'_, P>, StartError>>,
        end_ms: u64,
        hook: &mut impl FnMut(&mut Simulation) -> Flow,
    ) -> Boot {
        let Some(agent) = agent else { return Boot::Again };
        let mut agent = agent.expect("the device reads its own records");
        self.network.at(self.now_ms + BOOT_MS, NetworkEvent::Connected);
        loop {
            let powered = self.settle(&mut agent);
            self.observe(&mut agent);
            if !powered || agent.is_reset() {
                return Boot::Again;
            }
            if hook(self) == Flow::Stop {
                return Boot::Ended(Ended::Stopped);
            }
            match self.pass(&mut agent, end_ms) {
                None => {}
                Some(ended) => return ended,
            }
        }
    }

    /// Advances to the next event and delivers it. `Some` if that ends the boot.
    fn pass<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>, end_ms: u64) -> Option<Boot> {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the run does not end: more than STEPS_MAX steps");
        if let Some(act) = self.acts.pop_front() {
            return self.inject(agent, act);
        }
        let Some(next_ms) = self.next_ms(agent) else { return Some(Boot::Ended(Ended::Quiet)) };
        if next_ms > end_ms {
            return Some(Boot::Ended(Ended::Late));
        }
        self.now_ms = self.now_ms.max(next_ms);
        let event = self.network.take(self.now_ms)?;
        let powered = self.handle_event(agent, event);
        self.observe(agent);
        (!powered).then_some(Boot::Again)
    }

    fn next_ms<P: ImageManagement>(&self, agent: &Program<'_, P>) -> Option<u64> {
        let ask = agent.awaits_application().then_some(self.now_ms + ASK_EVERY_MS);
        let deadline = agent.deadline().map(|at| self.clock.when(at));
        [ask, deadline, self.network.next_ms(), self.alarm_ms].into_iter().flatten().min()
    }

    fn instant(&self) -> Instant {
        self.clock.at(self.now_ms)
    }

    /// Runs the agent until it has no work and no message left. False if the power was cut.
    fn settle<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>) -> bool {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        for sent in 0.. {
            assert!(sent < MESSAGES_AT_ONCE_MAX, "the agent sends more than MESSAGES_AT_ONCE_MAX messages at once");
            if poll_ready(agent.work(self.instant())).is_none() {
                return false;
            }
            let message = if agent.is_reset() { None } else { agent.message(self.instant(), &mut buffer) };
            let Some(message) = message else { break };
            self.checks.message_sent(message.topic, message.payload, self.instant().as_ms());
            self.traffic.sent(message.topic, self.now_ms);
            let (topic, payload) = (message.topic.to_owned(), message.payload.to_vec());
            let assured = message.qos == QoS::AtLeastOnce;
            self.network.send_up(Reply { topic, payload, assured }, self.now_ms);
        }
        self.tend_body(agent);
        true
    }

    /// Opens the HTTP body that the agent requests; closes one that it no longer needs.
    fn tend_body<P: ImageManagement>(&mut self, agent: &Program<'_, P>) {
        match (agent.fetch(self.instant()).filter(|_| self.connected), self.body) {
            (Some(range), None) => {
                let file = self.file_at(agent);
                let documents = self.service.documents.get();
                self.bodies += 1;
                self.traffic.request(self.now_ms);
                self.body = Some(self.bodies);
                for (after_ms, part) in self.web.body(file, range, (&self.network.conditions, documents), &mut self.rng)
                {
                    self.network.at(self.now_ms + after_ms, NetworkEvent::Fetched { body: self.bodies, part });
                }
            }
            (None, Some(_)) => self.close_body(),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn close_body(&mut self) {
        self.body = None;
        self.network.drop_body();
    }

    fn file_at<P: ImageManagement>(&self, agent: &Program<'_, P>) -> Option<Rc<[u8]>> {
        let url = agent.url();
        self.service.entries.iter().find_map(|entry| entry.job.by_url(url)).cloned()
    }

    /// Delivers an event. False if the power was cut.
    fn handle_event<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>, event: NetworkEvent) -> bool {
        let at = self.instant();
        match event {
            NetworkEvent::Connected => {
                self.connected = true;
                self.network.filters = agent.filters(&mut [0; FILTERS_BYTES_MAX]).map(String::from).to_vec();
                self.checks.connected(Some(self.now_ms));
                self.network.resume_session(self.now_ms);
                poll_ready(agent.on(Event::Connected, at)).is_some()
            }
            NetworkEvent::Disconnected { ms } => self.disconnect(agent, ms),
            NetworkEvent::Up(Reply { topic, payload, .. }) => {
                self.messages += 1;
                let replies = self.service.handle(&topic, &payload, self.now_ms);
                self.checks.service_received(&self.service, &self.device);
                self.send_down(&replies);
                true
            }
            NetworkEvent::Down(Reply { topic, payload, .. }) => {
                self.messages += 1;
                let is_block = self.traffic.received(&topic, self.now_ms);
                self.checks.message_received(&topic, &payload);
                let powered = poll_ready(agent.on_message(&topic, &payload, at)).is_some();
                let slow = self.slow_write.filter(|(every, _)| is_block && self.traffic.blocks.is_multiple_of(*every));
                self.now_ms += slow.map_or(0, |(_, ms)| ms);
                powered
            }
            NetworkEvent::Part => poll_ready(agent.on(Event::Incoming, at)).is_some(),
            NetworkEvent::Fetched { body, part } if self.body == Some(body) => self.fetched(agent, part),
            NetworkEvent::Fetched { .. } => true,
        }
    }

    fn fetched<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>, part: Part) -> bool {
        let at = self.instant();
        match part {
            Part::Block { index, file, bytes } => {
                self.traffic.block(self.now_ms);
                poll_ready(agent.on_block(index, &file[bytes], at)).is_some()
            }
            Part::Over => {
                self.body = None;
                true
            }
            Part::Failed(reason) => {
                self.body = None;
                poll_ready(agent.on(Event::FetchFailed(reason), at)).is_some()
            }
        }
    }

    fn inject<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>, act: Act) -> Option<Boot> {
        let at = self.instant();
        let powered = match act {
            Act::Reset => return Some(Boot::Again),
            Act::Disconnect { ms } => self.disconnect(agent, ms),
            Act::HalfOpen { noticed_ms, ms } if self.connected => {
                self.checks.connected(None);
                self.network.half_open();
                self.network.at(self.now_ms + noticed_ms, NetworkEvent::Disconnected { ms });
                true
            }
            Act::HalfOpen { .. } => true,
            Act::ClockJump { ms } => {
                self.clock.jump(ms);
                true
            }
            Act::UpdateNow(document) => {
                let started = poll_ready(agent.update_now(Update::Document(document.as_bytes()), at));
                if let Some(Err(refused)) = started {
                    self.checks.refused_to_start(refused);
                }
                started.is_some()
            }
            Act::Command(command) => poll_ready(agent.execute(command, at)).is_some(), // the application has the result
            Act::FactoryReset => self.factory_reset(agent),
            Act::Inject(Reply { topic, payload, .. }) => poll_ready(agent.on_message(&topic, &payload, at)).is_some(),
        };
        self.observe(agent);
        (!powered).then_some(Boot::Again)
    }

    /// The connection is lost and comes back after `ms`. False if the power was cut.
    fn disconnect<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>, ms: u64) -> bool {
        (self.connected, self.body) = (false, None);
        self.checks.connected(None);
        self.network.drop_connection();
        self.network.at(self.now_ms + ms, NetworkEvent::Connected);
        poll_ready(agent.on(Event::Disconnected, self.instant())).is_some()
    }

    /// Verifies the factory image first, as production does once.
    fn factory_reset<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>) -> bool {
        let der = self.device.nor.in_peace(|| self.device.signature_of(SlotId::FACTORY)).unwrap_or_default();
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        poll_ready(agent.verify_factory(&signature)).is_some() && poll_ready(agent.factory_reset()).is_some()
    }

    pub(crate) fn send_down(&mut self, replies: &[Reply]) {
        for reply in replies {
            if self.connected {
                self.network.send_down(reply, self.now_ms);
            } else {
                self.network.keep_down(reply);
            }
        }
    }

    /// Collects the application's notices and progress, and checks what was written to flash.
    fn observe<P: ImageManagement>(&mut self, agent: &mut Program<'_, P>) {
        self.checks.counted(agent.statistics());
        self.checks.in_state(agent.state());
        let app = agent.application();
        self.checks.commands.append(&mut app.commands);
        for progress in app.progress.drain(..) {
            self.checks.progressed(progress);
        }
        for notice in app.notices.drain(..) {
            self.checks.noticed(notice, self.instant().as_ms());
        }
        let custom: Vec<String> = app.custom.drain(..).collect();
        self.checks.touched(&self.device, self.now_ms);
        for id in custom {
            self.take_back(&id, Status::Succeeded); // the application did it
        }
    }
}
