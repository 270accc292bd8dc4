//! What the agent asks of the application that it lives in.

use ota_jobs::JobId;

use crate::commands::Command;
use crate::machine::{Notice, Progress};

/// The application's verdict on the image that runs on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// Not known yet: asked again soon, until the trial's deadline.
    Running,
    /// Keep the image.
    Passed,
    /// Bring the previous image back.
    Failed,
}

/// The application around the agent. Every method but [`Application::command`] returns quickly: the agent waits for it.
pub trait Application {
    /// The verdict on the running image, asked several times a second while it is on trial.
    ///
    /// `connected` tells whether the service is reachable: an outage alone should not bring a good image down.
    fn self_test(&mut self, connected: bool) -> SelfTest;

    /// The application's next command, as soon as there is one: a button was pressed, a message came. [`crate::pump`] waits
    /// for it beside the network and hands it to [`Agent::obey`](crate::Agent::obey) at once.
    ///
    /// The future is dropped whenever anything else happens, and asked for anew: it must lose no command by that.
    fn command(&mut self) -> impl Future<Output = Command> {
        core::future::pending()
    }

    /// Something happened.
    fn on_notice(&mut self, notice: Notice) {
        let _ = notice;
    }

    /// Another block is in flash.
    fn on_progress(&mut self, progress: Progress) {
        let _ = progress;
    }

    /// There is no connection to the broker, and why; the agent tries again after a while.
    fn on_disconnected(&mut self, why: &dyn core::fmt::Debug) {
        let _ = why;
    }

    /// A message that is not the agent's came in over the shared connection.
    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        let _ = (topic, payload);
    }

    /// The service offers a job that is no firmware update; `document` as it came. The agent leaves it alone.
    fn on_custom_job(&mut self, job: &JobId, document: &[u8]) {
        let _ = (job, document);
    }

    /// One of the agent's own messages passed, for a log.
    fn on_traffic(&mut self, way: Way, topic: &str, payload: &[u8]) {
        let _ = (way, topic, payload);
    }
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the device.
    Out,
    /// To the device.
    In,
}
