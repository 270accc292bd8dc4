//! What an agent is doing, in few words.

use super::Machine;
use super::event::Pending;
use super::state::State;

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentState {
    /// There is no job.
    Idle,
    /// A job is compared with the running image, and a slot prepared.
    Preparing,
    /// A step waits for the application's consent.
    Waiting(Pending),
    /// Blocks are received and written.
    Downloading,
    /// The image is verified.
    Verifying,
    /// The image was verified and is being activated.
    Activating,
    /// The device is about to be reset.
    Resetting,
    /// The running image is on trial.
    Testing,
    /// The image is confirmed or rejected.
    Judging,
    /// The outcome is stored, reported, and removed from the journal.
    Reporting,
}

impl Machine {
    /// What the agent is doing.
    pub fn state(&self) -> AgentState {
        let Some(job) = &self.job else { return AgentState::Idle };
        if let Some(pending) = job.pending() {
            return AgentState::Waiting(pending);
        }
        match job.state() {
            State::Idle => AgentState::Idle,
            State::CheckingInstalled | State::AskingDownload { .. } | State::SavingJob { .. } => AgentState::Preparing,
            State::PreparingSlot { .. } | State::RequestingFile => AgentState::Preparing,
            State::Receiving { .. } => AgentState::Downloading,
            State::Verifying { .. } | State::AskingReset { .. } => AgentState::Verifying,
            State::Announcing { .. } | State::SavingActivation { .. } => AgentState::Activating,
            State::Activating { .. } => AgentState::Activating,
            State::PreparingReset { .. } | State::Resetting => AgentState::Resetting,
            State::SelfTesting { .. } => AgentState::Testing,
            State::Confirming | State::RollingBack(_) | State::InvalidatingImage { .. } => AgentState::Judging,
            State::SavingOutcome(_) | State::Reporting(_) | State::ClearingJournal => AgentState::Reporting,
        }
    }
}
