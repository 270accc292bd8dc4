//! Tests of the demo: its exit status matches the results, the commands that it prints work, and it can be interrupted at any
//! time. Building it takes a while.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const DEMO: &str = env!("CARGO_BIN_EXE_demo");
/// Set for the demo and inherited by its processes, which are identified by it.
const MARK: &str = "OTA_DEMO_TEST_MARK";
const COLUMNS_MAX: usize = 80;
/// Time in which an interrupted demo ends, also on a busy machine.
const END_WAIT: Duration = Duration::from_secs(5);
/// Its children are killed before it ends; a compiler that was not killed would run longer.
const CHILDREN_WAIT: Duration = Duration::from_secs(1);
/// A first build takes minutes.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Two demos at once would overwrite each other's device program.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // The failure of another test is ignored.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parent of the target folder: paths below it are short in any checkout.
fn start_folder() -> &'static Path {
    Path::new(DEMO).ancestors().nth(3).unwrap()
}

fn demo(arguments: &[&str]) -> Command {
    let mut demo = Command::new(DEMO);
    demo.args(arguments).current_dir(start_folder());
    demo
}

fn failed_with(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = demo(arguments).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(String::from_utf8(stdout).unwrap(), "", "an error before anything is built");
    String::from_utf8(stderr).unwrap()
}

fn assert_fits_a_terminal(output: &str) {
    for line in output.lines() {
        assert!(line.chars().count() <= COLUMNS_MAX, "wider than {COLUMNS_MAX} columns: {line}");
    }
}

/// A demo in the background.
struct Running {
    child: Child,
    mark: String,
}

impl Running {
    fn start(arguments: &[&str]) -> (Self, Lines<BufReader<ChildStdout>>) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mark = format!("{}-{}", std::process::id(), since.as_nanos());
        let mut demo = demo(arguments);
        let mut child = demo.env(MARK, &mark).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self { child, mark }, output)
    }

    /// The folder with its keys, while it runs.
    fn folder(&self) -> PathBuf {
        Path::new(DEMO).with_file_name(format!("demo-run-{}", self.child.id()))
    }

    /// Interrupts it like `kill -INT`: only this process receives the signal.
    fn interrupt(mut self) {
        self.signal("INT");
        let folder = self.folder();
        let status = until(END_WAIT, || self.child.try_wait().unwrap());
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(status.code(), Some(130), "{errors}");
        assert!(errors.contains("interrupted: all processes ended, all files removed"), "{errors}");
        assert!(!folder.exists(), "{} was not removed", folder.display());
        until(CHILDREN_WAIT, || processes_with(&self.mark).is_empty().then_some(()));
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless the test failed; then it is terminated so that it can clean up.
        if let Ok(None) = self.child.try_wait() {
            self.signal("TERM");
        }
    }
}

/// Polls until a value is available.
fn until<T>(wait: Duration, mut come: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(it) = come() {
            return it;
        }
        assert!(since.elapsed() < wait, "not within {wait:?}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Returns the running processes that inherited `mark`.
fn processes_with(mark: &str) -> Vec<PathBuf> {
    let variable = format!("{MARK}={mark}").into_bytes();
    let has_it = |process: &PathBuf| {
        let variables = fs::read(process.join("environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|one| one == variable)
    };
    fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(has_it).collect()
}

/// Returns the lines of a demo as they arrive.
fn receive(lines: Lines<BufReader<ChildStdout>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Returns all lines up to the one that contains `last`.
fn lines_until(output: &Receiver<String>, last: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    while !lines.last().is_some_and(|line| line.contains(last)) {
        let line = output.recv_timeout(SCENARIO_TIMEOUT);
        lines.push(line.unwrap_or_else(|_| panic!("{last} is missing:\n{}", lines.join("\n"))));
    }
    lines
}

/// Returns the printed commands: they are indented by two, continuation lines by four.
fn commands(lines: &[String], first: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(&format!("  {first}"))) {
        let rest = lines[at + 1..].iter().take_while(|line| line.starts_with("    "));
        commands.push(std::iter::once(line).chain(rest).map(String::as_str).collect::<Vec<_>>().join("\n"));
    }
    commands
}

fn run_commands(commands: &[String]) -> String {
    let shell = Command::new("sh").args(["-e", "-c", &commands.join("\n")]).current_dir(start_folder()).output();
    let Output { status, stdout, stderr } = shell.unwrap();
    assert!(status.success(), "{commands:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_scenario_has_the_expected_results() {
    let _alone = alone();
    let demo = demo(&["--once", "--protocol", "mqtt"]).output().unwrap();
    let (output, errors) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{output}\n{errors}");
    for line in [
        "v2-mqtt: job SUCCEEDED, flash v2.0.0",
        "v3-mqtt: job FAILED, flash v2.0.0",
        "forged-mqtt: job FAILED, flash v2.0.0",
    ] {
        assert!(output.contains(line), "{line} is missing:\n{output}");
    }
    assert_fits_a_terminal(&output);
}

#[test]
fn the_printed_commands_work() {
    let _alone = alone();
    let (demo, lines) = Running::start(&["--protocol", "http"]);
    let output = receive(lines);
    let mut lines_so_far = lines_until(&output, "The browser warns");

    let server = commands(&lines_so_far, "export OTA_SERVER=");
    let console = commands(&lines_so_far, "https://");
    assert_eq!(console[0].trim(), format!("{}/", server[0].split_once('=').unwrap().1));
    let token = run_commands(&commands(&lines_so_far, "cat "));
    assert_eq!(token.trim().len(), 64, "{token}");

    let sums: Vec<String> = ["sha256sum", "dd"].iter().flat_map(|first| commands(&lines_so_far, first)).collect();
    assert_eq!(sums.len(), 2, "{sums:?}");
    for sum in run_commands(&sums).lines() {
        let shown = format!("  {}", sum.split(' ').next().unwrap());
        assert_eq!(lines_so_far.iter().filter(|line| **line == shown).count(), 2, "{sum}");
    }

    let job: Vec<String> = ["export", "target/"].iter().flat_map(|first| commands(&lines_so_far, first)).collect();
    assert_eq!(run_commands(&job).trim(), "next-1");
    lines_so_far.extend(lines_until(&output, "jobs/next-1/update/accepted      | <- SUCCEEDED"));
    assert!(lines_so_far.iter().any(|line| line.contains("v4.0.0 started ")), "{}", lines_so_far.join("\n"));
    assert_fits_a_terminal(&lines_so_far.join("\n"));
    demo.interrupt();
}

#[test]
fn an_interrupted_build_leaves_nothing_behind() {
    let _alone = alone();
    for after_ms in [0, 50, 400] {
        let (demo, mut lines) = Running::start(&["--once"]);
        assert!(lines.next().unwrap().unwrap().starts_with("building"));
        thread::sleep(Duration::from_millis(after_ms));
        demo.interrupt();
    }
    // During the creation of the images, while the folder contains their key.
    for after_ms in [0, 50, 400] {
        let (demo, _lines) = Running::start(&["--once"]);
        until(SCENARIO_TIMEOUT, || demo.folder().join("private.pem").exists().then_some(()));
        thread::sleep(Duration::from_millis(after_ms));
        demo.interrupt();
    }
}

#[test]
fn a_wrong_option_is_reported_before_anything_is_built() {
    assert!(failed_with(&["--image", "/nonexistent"]).contains("--image /nonexistent: No such file"));
    assert!(failed_with(&["--image", "/proc"]).contains("--image /proc: a folder"));
    let refused = "demo: no broker at mqtt://127.0.0.1:1: connection refused\n";
    assert_eq!(failed_with(&["--broker", "mqtt://127.0.0.1:1"]), refused);
    let huge = std::env::temp_dir().join(format!("ota-huge-{}", std::process::id()));
    fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    let refused = failed_with(&["--image", huge.to_str().unwrap()]);
    fs::remove_file(&huge).unwrap();
    assert!(refused.contains("1073741824 bytes, at most "), "{refused}");
}
