//! Commands of the application. While [`pump`](super::pump) runs the agent, they arrive through [`Application::command`].
//! Compiled twice, for async platforms and in [`blocking`](crate::blocking): see lib.rs.

use ota_jobs::Reason;
use ota_pal::{Images, Signature, SlotId, Version};

use super::agent::{Agent, start};
use super::{ImageManagement, bisync};
use crate::application::{Application, Command, CommandRefused};
use crate::machine::{Instant, Notice, Step};
use crate::reason::of_fault;

#[bisync]
impl<P: ImageManagement, A: Application> Agent<'_, P, A> {
    /// Executes `command`, and passes the result to [`Application::on_command`].
    ///
    /// Errors: [`CommandRefused`]; the device goes on as it is.
    ///
    /// # Cancel safety
    /// Not cancel-safe: after dropping the future, start a new agent.
    pub async fn execute(&mut self, command: Command, now: Instant) -> Result<(), CommandRefused> {
        let result = match self.is_reset() {
            true => Err(CommandRefused::NotNow),
            false => self.carry_out(command, now).await,
        };
        self.application.on_command(command, result);
        self.work(now).await;
        result
    }

    async fn carry_out(&mut self, command: Command, now: Instant) -> Result<(), CommandRefused> {
        let machine = &mut self.machine;
        let taken = match command {
            Command::RollBack => return self.roll_back_now().await.map(|_| ()),
            Command::FactoryReset => return self.factory_reset().await,
            Command::Update => return self.start_update(now),
            Command::EraseImages(version) => return self.erase_images(version).await,
            Command::Download => machine.go_on(Step::Download, now),
            Command::Activate => machine.go_on(Step::Reset, now),
            Command::Abort => machine.abort(now),
            Command::Accept => machine.judge(Ok(()), now),
            Command::Reject => machine.judge(Err(Reason::SelfTestFailed), now),
            Command::Publish => self.is_connected(),
            Command::Shutdown(shutdown) => {
                self.shutdown = Some(shutdown);
                true
            }
            Command::Ask => {
                let step = machine.asks_now();
                step.inspect(|step| self.ask(*step, now)).is_some()
            }
            Command::Statistics => {
                self.application.on_statistics(&machine.statistics());
                true
            }
            Command::Check => {
                machine.check(now);
                true
            }
            Command::Suspend => {
                machine.suspend();
                true
            }
            Command::Resume => {
                let resumed = machine.resume(now);
                if let Some(step) = machine.asks_now().filter(|_| resumed) {
                    self.ask(step, now); // it may have been refused to ask meanwhile
                }
                resumed
            }
            Command::Discover(discovery) => {
                machine.discover(discovery, now);
                true
            }
        };
        if taken { Ok(()) } else { Err(CommandRefused::NotNow) }
    }

    fn start_update(&mut self, now: Instant) -> Result<(), CommandRefused> {
        let update = self.application.update().ok_or(CommandRefused::NotNow)?;
        Ok(start(&mut self.machine, &mut self.platform, &mut self.update, update, now)?)
    }

    /// The verified images in the slots.
    ///
    /// Errors: the platform's, if flash cannot be read.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn images(&mut self) -> Result<Images, Reason> {
        self.platform.images().await.map_err(of_fault)
    }

    /// Confirms the newest earlier image that was confirmed once, is whole and may still run, and resets. Also while an outcome is
    /// not reported yet: a success is then reported as a failure, [`Reason::RolledBack`].
    ///
    /// Errors: [`CommandRefused`], also as a notice.
    ///
    /// # Cancel safety
    /// As [`Agent::execute`].
    pub async fn roll_back_now(&mut self) -> Result<SlotId, CommandRefused> {
        let restored = match self.machine.is_over() {
            true => self.platform.restore_previous().await.map_err(CommandRefused::from),
            false => Err(CommandRefused::Busy),
        };
        match restored {
            Ok(slot) => self.application.on_notice(Notice::RolledBack { to: slot.number() }),
            Err(refused) => self.application.on_notice(Notice::RollbackFailed(refused.reason())),
        }
        if restored.is_ok() {
            self.reset();
        }
        restored
    }

    /// Requests a factory reset, and resets: the boot selector restores the factory image and erases all others. An
    /// active job stays in the journal, but its image is erased.
    ///
    /// Errors: [`CommandRefused`], also as a notice.
    ///
    /// # Cancel safety
    /// As [`Agent::execute`].
    pub async fn factory_reset(&mut self) -> Result<(), CommandRefused> {
        let ordered = self.platform.factory_reset().await.map_err(CommandRefused::from);
        match ordered {
            Ok(()) => self.application.on_notice(Notice::FactoryReset),
            Err(refused) => self.application.on_notice(Notice::FactoryResetFailed(refused.reason())),
        }
        if ordered.is_ok() {
            self.reset();
        }
        ordered
    }

    /// Verifies the signature of the factory image. A factory reset is refused until this was done once.
    ///
    /// Errors: [`CommandRefused::Platform`].
    ///
    /// # Cancel safety
    /// As [`Agent::execute`].
    pub async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<(), CommandRefused> {
        self.platform.verify_factory(signature).await.map(|_| ()).map_err(CommandRefused::from)
    }

    /// Erases the stored images of a version, so that no rollback uses them.
    ///
    /// Errors: [`CommandRefused`], also as a notice.
    ///
    /// # Cancel safety
    /// As [`Agent::execute`].
    pub async fn erase_images(&mut self, version: Version) -> Result<(), CommandRefused> {
        let erased = match self.machine.is_over() {
            true => self.platform.erase_images(version).await.map_err(CommandRefused::from),
            false => Err(CommandRefused::Busy),
        };
        let notice = match erased {
            Ok(()) => Notice::ImageErased((version.major, version.minor, version.patch)),
            Err(refused) => Notice::EraseFailed(refused.reason()),
        };
        self.application.on_notice(notice);
        erased
    }
}
