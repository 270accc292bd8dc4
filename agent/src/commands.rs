//! What the application may command beside updates: the way back, the factory's image, the erasing of a stored one. Each is
//! told by a notice, too. Where [`crate::pump`] has the agent, they come by [`Application::command`].

use ota_jobs::Reason;
use ota_pal::{ImageManagement, Images, Refusal, Signature, SlotId, Version};

use crate::agent::Agent;
use crate::application::Application;
use crate::machine::{Event, Instant, Notice};
use crate::reason::{of_fault, of_refusal};

/// What the application commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Gives the update at hand up.
    Abort,
    /// [`Agent::roll_back_now`].
    RollBack,
    /// [`Agent::factory_reset`].
    FactoryReset,
    /// [`Agent::erase_images`] of this version.
    EraseImages(Version),
}

/// Why a command was not carried out; the device goes on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandRefused {
    /// A job is at hand, or its end is not reported yet.
    Busy,
    /// The platform refused.
    Platform(Reason),
}

impl CommandRefused {
    fn reason(self) -> Reason {
        match self {
            Self::Busy => Reason::Busy,
            Self::Platform(reason) => reason,
        }
    }
}

impl From<Refusal> for CommandRefused {
    fn from(refusal: Refusal) -> Self {
        Self::Platform(of_refusal(refusal))
    }
}

impl<P: ImageManagement, A: Application> Agent<'_, P, A> {
    /// Carries `command` out, or refuses it; a notice tells which, but for an abort where nothing can be aborted.
    ///
    /// Dropping the future is like a power cut.
    pub async fn obey(&mut self, command: Command, now: Instant) {
        if self.is_reset() {
            return;
        }
        match command {
            Command::Abort => self.on(Event::Abort, now).await,
            Command::RollBack => _ = self.roll_back_now().await,
            Command::FactoryReset => _ = self.factory_reset().await,
            Command::EraseImages(version) => _ = self.erase_images(version).await,
        }
    }

    /// What the slots hold, as far as this device verified it. Dropping the future leaves everything as it was.
    ///
    /// Errors: the platform's, if flash cannot be read.
    pub async fn images(&mut self) -> Result<Images, Reason> {
        self.platform.images().await.map_err(of_fault)
    }

    /// Goes back to the newest earlier image that was confirmed once, is whole and may still run: confirms it, and resets.
    ///
    /// Errors: [`CommandRefused`], which a notice tells, too. Dropping the future is like a power cut.
    pub async fn roll_back_now(&mut self) -> Result<SlotId, CommandRefused> {
        let restored = match self.machine.is_idle() {
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

    /// Restores the factory's image and erases all others, and resets: the boot selector does it. A job at hand stays, and
    /// its truth with it: what was received or tried of it is gone.
    ///
    /// Errors: [`CommandRefused`], which a notice tells, too. Dropping the future is like a power cut.
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

    /// Verifies the signature of the factory's image, once in a device's life: without it there is no factory reset.
    ///
    /// Errors: [`CommandRefused::Platform`]. Dropping the future is like a power cut.
    pub async fn verify_factory(&mut self, signature: &Signature<'_>) -> Result<(), CommandRefused> {
        self.platform.verify_factory(signature).await.map(|_| ()).map_err(CommandRefused::from)
    }

    /// Erases the stored images of a version, so that nothing goes back to them.
    ///
    /// Errors: [`CommandRefused`], which a notice tells, too. Dropping the future is like a power cut.
    pub async fn erase_images(&mut self, version: Version) -> Result<(), CommandRefused> {
        let erased = match self.machine.is_idle() {
            true => self.platform.erase_images(version).await.map_err(CommandRefused::from),
            false => Err(CommandRefused::Busy),
        };
        let told = match erased {
            Ok(()) => Notice::ImageErased((version.major, version.minor, version.patch)),
            Err(refused) => Notice::EraseFailed(refused.reason()),
        };
        self.application.on_notice(told);
        erased
    }
}
