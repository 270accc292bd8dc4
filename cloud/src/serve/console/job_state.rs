//! The word and the colour for the state of an update; of one that has ended, by how its executions ended.

use ota_jobs::Status;

use super::bar::Counts;

/// Word and class in the style sheet for the status of a job with these counts, whose rollout is paused or not.
pub fn job_state(status: &str, paused: bool, counts: &Counts) -> (&'static str, &'static str) {
    match status {
        "IN_PROGRESS" | "SCHEDULED" if paused => ("Paused", "paused"),
        "CANCELED" => ("Cancelled", "canceled"),
        "COMPLETED" => end(counts),
        "SCHEDULED" => ("Scheduled", "queued"),
        _ => ("In progress", "in-progress"),
    }
}

/// Of a job whose executions have all ended.
fn end(counts: &Counts) -> (&'static str, &'static str) {
    let (succeeded, failed) = (counts.of(Status::Succeeded), counts.failed());
    match (succeeded, failed) {
        (0, 0) => ("Completed, none succeeded", "canceled"),
        (_, 0) => ("Completed", "completed"),
        (0, _) => ("Failed", "failed"),
        _ => ("Partly failed", "partly-failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn a_completed_job_is_named_by_how_it_ended() {
        for (succeeded, failed, rejected, timed_out, canceled, word) in [
            (0, 0, 0, 0, 0, "Completed, none succeeded"),
            (2, 0, 0, 0, 0, "Completed"),
            (2, 0, 0, 0, 1, "Completed"),
            (0, 0, 0, 0, 2, "Completed, none succeeded"),
            (2, 1, 0, 0, 0, "Partly failed"),
            (1, 0, 0, 1, 1, "Partly failed"),
            (1, 0, 1, 0, 0, "Partly failed"),
            (0, 1, 0, 1, 0, "Failed"),
            (0, 0, 0, 1, 2, "Failed"),
            (0, 0, 2, 0, 0, "Failed"),
        ] {
            let executions = [
                ("SUCCEEDED", succeeded),
                ("FAILED", failed),
                ("REJECTED", rejected),
                ("TIMED_OUT", timed_out),
                ("CANCELED", canceled),
            ];
            let counts = Counts::new(&model::Counts { waiting: 0, executions: executions.into_iter().collect() });
            let (got, class) = job_state("COMPLETED", false, &counts);
            assert_eq!((got, class == "completed"), (word, word == "Completed"), "{counts:?}");
            assert_eq!(job_state("CANCELED", false, &counts).0, "Cancelled");
        }
    }
}
