//! The demo tells its story and its exit status is the truth about it; what it tells people to type works; and it can be
//! interrupted at any moment. Building it takes a while.

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
/// Set for a demo and so for all that it starts, by which they are found.
const MARK: &str = "OTA_DEMO_TEST_MARK";
const COLUMNS_MAX: usize = 80;
/// An interrupted demo is gone by then, on a machine that is busy with other things.
const END_WAIT: Duration = Duration::from_secs(5);
/// Its children are killed before it ends; a compiler that was not would be at work for longer.
const CHILDREN_WAIT: Duration = Duration::from_secs(1);
/// A build takes minutes on a machine that never built it.
const STORY_WAIT: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Two demos at once would take each other's device program.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // Another test's failure is no reason to fail here.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder of the target folder: paths below it are short wherever the repository lies.
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
    assert_eq!(String::from_utf8(stdout).unwrap(), "", "it was looked at before anything is built");
    String::from_utf8(stderr).unwrap()
}

fn assert_fits_a_terminal(told: &str) {
    for line in told.lines() {
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
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self { child, mark }, told)
    }

    /// The folder with its keys, while it lives.
    fn folder(&self) -> PathBuf {
        Path::new(DEMO).with_file_name(format!("demo-run-{}", self.child.id()))
    }

    /// Interrupts it as `kill -INT` does: this process alone hears of it.
    fn interrupt(mut self) {
        self.signal("INT");
        let folder = self.folder();
        let status = until(END_WAIT, || self.child.try_wait().unwrap());
        let mut complained = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
        assert_eq!(status.code(), Some(130), "{complained}");
        assert!(complained.contains("interrupted: nothing is left behind"), "{complained}");
        assert!(!folder.exists(), "{} stays", folder.display());
        until(CHILDREN_WAIT, || processes_with(&self.mark).is_empty().then_some(()));
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed; then it gets the chance to tidy up.
        if let Ok(None) = self.child.try_wait() {
            self.signal("TERM");
        }
    }
}

/// Waits for what must come soon.
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

/// The living processes that inherited `mark`.
fn processes_with(mark: &str) -> Vec<PathBuf> {
    let variable = format!("{MARK}={mark}").into_bytes();
    let has_it = |process: &PathBuf| {
        let variables = fs::read(process.join("environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|one| one == variable)
    };
    fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(has_it).collect()
}

/// The lines of a demo, as they come; they end with it.
fn heard(lines: Lines<BufReader<ChildStdout>>) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

/// All lines up to the one that says `last`.
fn told_until(told: &Receiver<String>, last: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    while !lines.last().is_some_and(|line| line.contains(last)) {
        let line = told.recv_timeout(STORY_WAIT);
        lines.push(line.unwrap_or_else(|_| panic!("{last} is missing:\n{}", lines.join("\n"))));
    }
    lines
}

/// The commands among the lines: they are indented by two, and go on where they are indented by four.
fn commands(lines: &[String], first: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(&format!("  {first}"))) {
        let rest = lines[at + 1..].iter().take_while(|line| line.starts_with("    "));
        commands.push(std::iter::once(line).chain(rest).map(String::as_str).collect::<Vec<_>>().join("\n"));
    }
    commands
}

fn typed(commands: &[String]) -> String {
    let shell = Command::new("sh").args(["-e", "-c", &commands.join("\n")]).current_dir(start_folder()).output();
    let Output { status, stdout, stderr } = shell.unwrap();
    assert!(status.success(), "{commands:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_story_comes_true() {
    let _alone = alone();
    let demo = demo(&["--once", "--protocol", "mqtt"]).output().unwrap();
    let (told, complained) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{told}\n{complained}");
    for line in [
        "v2-mqtt: job says SUCCEEDED, flash says v2.0.0",
        "v3-mqtt: job says FAILED, flash says v2.0.0",
        "forged-mqtt: job says FAILED, flash says v2.0.0",
    ] {
        assert!(told.contains(line), "{line} is missing:\n{told}");
    }
    assert_fits_a_terminal(&told);
}

#[test]
fn what_it_tells_people_to_type_works() {
    let _alone = alone();
    let (demo, lines) = Running::start(&["--protocol", "http"]);
    let told = heard(lines);
    let mut story = told_until(&told, "it is older.");

    let sums: Vec<String> = ["sha256sum", "dd"].iter().flat_map(|first| commands(&story, first)).collect();
    assert_eq!(sums.len(), 2, "{sums:?}");
    for sum in typed(&sums).lines() {
        let shown = format!("  {}", sum.split(' ').next().unwrap());
        assert_eq!(story.iter().filter(|line| **line == shown).count(), 2, "{sum}");
    }

    let job: Vec<String> = ["export", "target/"].iter().flat_map(|first| commands(&story, first)).collect();
    assert_eq!(typed(&job).trim(), "next-1");
    story.extend(told_until(&told, "jobs/next-1/update/accepted      | <- SUCCEEDED"));
    assert!(story.iter().any(|line| line.contains("v4.0.0 runs, ")), "{}", story.join("\n"));
    assert_fits_a_terminal(&story.join("\n"));
    demo.interrupt();
}

#[test]
fn an_interruption_of_the_build_leaves_nothing_behind() {
    let _alone = alone();
    for after_ms in [0, 50, 400] {
        let (demo, mut lines) = Running::start(&["--once"]);
        assert!(lines.next().unwrap().unwrap().starts_with("building"));
        thread::sleep(Duration::from_millis(after_ms));
        demo.interrupt();
    }
    // While the images are made, and their key lies in the folder.
    for after_ms in [0, 50, 400] {
        let (demo, _lines) = Running::start(&["--once"]);
        until(STORY_WAIT, || demo.folder().join("private.pem").exists().then_some(()));
        thread::sleep(Duration::from_millis(after_ms));
        demo.interrupt();
    }
}

#[test]
fn a_wrong_option_is_named_before_anything_is_built() {
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
