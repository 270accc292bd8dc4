//! `ota job`: list, show, watch, cancel, pause, resume, retry and delete, through the admin requests of the service. How a job is
//! created is in `create.rs`.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ota_jobs::Reason;

use super::client::{Client, Server, escape};
use super::create::Create;
use super::{Output, ToolError, print_json, print_line};
use crate::api::{CancelResponse, ExecutionRow, JobList, JobRow, JobView, RetryResponse};
use crate::job_config::JobConfig;
use crate::limits::EVENTS_WAIT_MAX;
use crate::model::Event;
use crate::reason;

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Upload images and create a job
    Create(Box<Create>),
    /// List the newest jobs
    List,
    /// Show a job with its document and executions
    Show {
        /// Job id
        id: String,
    },
    /// Follow a job until all executions have ended; succeeds only if all of them succeeded
    Watch {
        /// Job id
        id: String,
    },
    /// Let no further thing get a job; executions go on
    Pause {
        /// Job id
        id: String,
    },
    /// Let a paused job go on
    Resume {
        /// Job id
        id: String,
    },
    /// Queue the executions of a job again that failed, were rejected or timed out
    Retry {
        /// Job id
        id: String,
    },
    /// Delete a job with its executions; its events stay in the audit
    Delete {
        /// Job id
        id: String,
        /// Also if it has not ended
        #[arg(long)]
        force: bool,
    },
    /// Cancel the queued executions of a job
    Cancel {
        /// Job id
        id: String,
        /// Only the execution of this thing
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        thing: Option<String>,
        /// Also cancel executions in progress
        #[arg(long)]
        force: bool,
    },
}

impl JobCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        match self {
            Self::Create(create) => create.run(&client, output).map(drop),
            Self::List => list(&client, output),
            Self::Show { id } => show(&client, &id, output),
            Self::Watch { id } => watch(&client, &id, output),
            Self::Pause { id } => client.post_empty(&format!("/api/jobs/{}/pause", escape(&id))),
            Self::Resume { id } => client.post_empty(&format!("/api/jobs/{}/resume", escape(&id))),
            Self::Retry { id } => retry(&client, &id, output),
            Self::Delete { id, force } => {
                client.delete(&format!("/api/jobs/{}?force={force}", escape(&id)), None::<&JobRow>)
            }
            Self::Cancel { id, thing: Some(thing), force } => {
                let (id, thing) = (escape(&id), escape(&thing));
                client.post_empty(&format!("/api/jobs/{id}/things/{thing}/cancel?force={force}"))
            }
            Self::Cancel { id, thing: None, force } => cancel(&client, &id, force, output),
        }
    }
}

fn cancel(client: &Client, id: &str, force: bool, output: Output) -> Result<(), ToolError> {
    let done: CancelResponse = client.post(&format!("/api/jobs/{}/cancel?force={force}", escape(id)))?;
    output.print(&done, |done| {
        print_line(format_args!("{} cancelled", done.canceled));
        if done.left_in_progress > 0 {
            print_line(format_args!("{} left IN_PROGRESS, use --force to cancel them", done.left_in_progress));
        }
    });
    Ok(())
}

fn retry(client: &Client, id: &str, output: Output) -> Result<(), ToolError> {
    let done: RetryResponse = client.post(&format!("/api/jobs/{}/retry", escape(id)))?;
    output.print(&done, |done| {
        print_line(format_args!("{} queued again", done.queued));
        if done.pinned > 0 {
            print_line(format_args!("{} pinned things are passed over", done.pinned));
        }
    });
    Ok(())
}

fn list(client: &Client, output: Output) -> Result<(), ToolError> {
    let list: JobList = client.get("/api/jobs")?;
    output.print(&list, |list| list.jobs.iter().for_each(print_row));
    Ok(())
}

fn print_row(job: &JobRow) {
    let counts = job.executions.iter().map(|(status, count)| format!("{status} {count}"));
    let counts: Vec<String> = counts.chain(waiting(job.waiting, job.paused)).collect();
    print_line(format_args!("{}  {}  {}", job.id, job.status, counts.join(", ")));
}

fn show(client: &Client, id: &str, output: Output) -> Result<(), ToolError> {
    let job: JobView = client.get(&format!("/api/jobs/{}", escape(id)))?;
    output.print(&job, print_view);
    Ok(())
}

fn print_view(job: &JobView) {
    print_line(format_args!("{}  {}", job.id, job.status));
    print_json("document ", job.document.get());
    if job.config != JobConfig::default() {
        print_line(format_args!("config {}", serde_json::to_string(&job.config).unwrap_or_default()));
    }
    for execution in &job.executions {
        print_line(line(execution));
    }
    waiting(job.waiting, job.paused).into_iter().for_each(print_line);
}

/// The things that have no execution yet, if there are any.
fn waiting(count: u64, paused: bool) -> Option<String> {
    let paused = if paused { ", paused" } else { "" };
    (count > 0).then(|| format!("waiting {count}{paused}"))
}

/// The execution in one line, with the meaning of the reason code that it reports.
fn line(execution: &ExecutionRow) -> String {
    let details = execution.details.as_ref().map_or("", |details| details.get());
    let meaning = meaning(details).map(|meaning| format!("  {meaning}")).unwrap_or_default();
    let ExecutionRow { thing, status, number, .. } = execution;
    let attempt = if *number > 1 { format!("  attempt {number}") } else { String::new() };
    format!("{thing}  {status}{attempt}  {details}{meaning}")
}

/// The meaning of the code in status details; `None` without a code, or with one that is not in the list.
fn meaning(details: &str) -> Option<&'static str> {
    let details: serde_json::Value = serde_json::from_str(details).ok()?;
    reason::find(details.get("code")?.as_str()?).map(Reason::description)
}

/// Prints the events of a job until it has ended.
///
/// Errors: an execution did not succeed.
pub fn watch(client: &Client, id: &str, output: Output) -> Result<(), ToolError> {
    let id = escape(id);
    let mut after = 0;
    loop {
        // The job is read before the events: an event between the two requests is printed in the next round.
        let job: JobView = client.get(&format!("/api/jobs/{id}"))?;
        let is_closed = job.waiting == 0 && (!job.continuous || job.status == "CANCELED");
        let ended = is_closed && job.executions.iter().all(|execution| execution.terminal);
        let wait_s = if ended { 0 } else { EVENTS_WAIT_MAX.as_secs() };
        let events: Vec<Event> = client.get(&format!("/api/events?job={id}&after={after}&wait_s={wait_s}"))?;
        for event in &events {
            output.print(event, |event| {
                print_line(format_args!("{}  {}", event.thing.as_deref().unwrap_or("-"), event.text));
            });
            after = event.seq;
        }
        if ended && events.is_empty() {
            return verdict(&job);
        }
    }
}

fn verdict(job: &JobView) -> Result<(), ToolError> {
    let failed: Vec<String> = job.executions.iter().filter(|e| e.status != "SUCCEEDED").map(line).collect();
    match failed.is_empty() && !job.executions.is_empty() {
        true => Ok(()),
        false => Err(ToolError::new(format!("{} did not succeed: {}", job.id, failed.join("; ")))),
    }
}
