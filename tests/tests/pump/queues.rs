//! The application's own queues around the pump: commands from its parts to the agent, notices from the agent to its parts.

use std::io::BufRead;
use std::thread;

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex as Raw;
use embassy_sync::channel::{Channel, TrySendError};
use embassy_sync::signal::Signal;
use ota_pal::Version;
use ota_tests::service::Reply;

use super::*;

const COMMANDS: usize = 4;
/// The commands of one handler: more than the queue holds.
const AT_ONCE: usize = 6;
/// The application's own topic.
const TOPIC: &str = "kitchen/ota";

/// What the parts of an application share; on a board it is a `static`.
struct Shared {
    commands: Channel<Raw, Command, COMMANDS>,
    /// Set by an interrupt.
    button: Signal<Raw, ()>,
    notices: Channel<Raw, Notice, 8>,
    messages: Channel<Raw, Vec<u8>, 1>,
}

impl Shared {
    const fn new() -> Self {
        Self { commands: Channel::new(), button: Signal::new(), notices: Channel::new(), messages: Channel::new() }
    }
}

/// The part that the agent calls.
struct Queued<'s> {
    shared: &'s Shared,
    notices: Rc<RefCell<Vec<Notice>>>,
    executed: Rc<RefCell<Vec<Command>>>,
    /// Whether it gives commands at each block.
    floods: bool,
    /// The commands that it gave, and whether the queue took each.
    given: Rc<RefCell<Vec<(Command, bool)>>>,
}

impl<'s> Queued<'s> {
    fn new(shared: &'s Shared) -> Self {
        let (notices, executed, given) = (Rc::default(), Rc::default(), Rc::default());
        Self { shared, notices, executed, floods: false, given }
    }
}

impl Application for Queued<'_> {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Passed
    }

    async fn command(&mut self) -> Command {
        match select(self.shared.commands.receive(), self.shared.button.wait()).await {
            Either::First(command) => command,
            Either::Second(()) => Command::Check,
        }
    }

    fn on_command(&mut self, command: Command, _result: Result<(), CommandRefused>) {
        self.executed.borrow_mut().push(command);
    }

    fn on_notice(&mut self, notice: Notice) {
        self.notices.borrow_mut().push(notice);
        let _ = self.shared.notices.try_send(notice); // a lost one is missed by the test that reads them
    }

    fn on_progress(&mut self, _progress: Progress) {
        for _ in 0..if self.floods { AT_ONCE } else { 0 } {
            let mut given = self.given.borrow_mut();
            // Refused while a job is active; each is another one.
            let command = Command::EraseImages(Version::new(0, 0, given.len() as u32));
            let taken = self.shared.commands.try_send(command);
            assert!(taken.is_ok() || taken == Err(TrySendError::Full(command)), "the sender has it back");
            given.push((command, taken.is_ok()));
        }
    }

    fn filter(&self, index: usize) -> Option<&str> {
        (index == 0).then_some(TOPIC)
    }

    fn on_message(&mut self, _topic: &str, payload: &[u8]) {
        match payload {
            b"check" => self.shared.commands.try_send(Command::Check).expect("the queue is empty"),
            other => self.shared.messages.try_send(other.to_vec()).expect("one at a time"),
        }
    }
}

#[test]
fn a_full_queue_refuses_a_command_and_what_it_took_is_executed_once_and_in_order() {
    for ends_after in [None, Some(3)] {
        let (bench, shared) = (Bench::new(Route::Mqtt), Shared::new());
        let mut line = Line { ends_after, ..Line::new(&bench.service) };
        let application = Queued { floods: true, ..Queued::new(&shared) };
        let (given, executed) = (application.given.clone(), application.executed.clone());
        bench.run_application(application, async |agent| pump::run(agent, &mut line).await);
        let given = given.borrow();
        assert_eq!(line.connections, if ends_after.is_some() { 2 } else { 1 });
        for of_a_block in given.chunks(AT_ONCE) {
            assert!(of_a_block.iter().map(|(_, taken)| *taken).eq((0..AT_ONCE).map(|at| at < COMMANDS)));
        }
        let taken: Vec<_> = given.iter().filter(|(_, taken)| *taken).map(|(command, _)| *command).collect();
        assert_eq!((&*executed.borrow(), given.len() > 10 * AT_ONCE), (&taken, true));
    }
}

#[test]
fn a_callback_and_a_task_get_the_same_notices_in_the_same_order() {
    let (bench, shared) = (Bench::new(Route::Mqtt), Shared::new());
    let (called, read) = (Rc::<RefCell<Vec<Notice>>>::default(), RefCell::new(Vec::new()));
    for slot in [SlotId::A, SlotId::B] {
        let mut line = Line { gives_way: true, ..Line::new(&bench.service) };
        let application = Queued { notices: called.clone(), ..Queued::new(&shared) };
        let started = bench.run_application(application, async |agent| {
            let task = async {
                loop {
                    let notice = shared.notices.receive().await;
                    read.borrow_mut().push(notice);
                }
            };
            select(pump::run(agent, &mut line), task).await;
        });
        let unread: Vec<Notice> = std::iter::from_fn(|| shared.notices.try_receive().ok()).collect();
        assert_eq!((started, unread.len() <= 1), (slot, true), "the reset may follow the last one at once: {unread:?}");
        read.borrow_mut().extend(unread);
    }
    let names: Vec<String> = called.borrow().iter().map(|notice| format!("{notice:?}")).collect();
    let names: Vec<&str> = names.iter().map(|name| name.split([' ', '(']).next().unwrap_or_default()).collect();
    let download = ["CheckStarted", "UpdateAvailable", "DownloadStarted", "DownloadSucceeded"];
    let activation = ["VerifyStarted", "VerifySucceeded", "Activated"];
    let trial = ["SelfTestStarted", "Confirmed", "Concluded"];
    assert!(names.starts_with(&[&download[..], &activation, &trial].concat()), "{names:?}");
    assert_eq!(*read.borrow(), *called.borrow());
}

/// The notices of a request for the next job where there is none.
const ONE_CHECK: [Notice; 2] = [Notice::CheckStarted, Notice::NoUpdate];

/// Gives the commands that an operator types.
fn console(lines: impl BufRead, shared: &Shared) {
    for line in lines.lines() {
        match line.expect("memory can be read").trim() {
            "check" => shared.commands.try_send(Command::Check).expect("the queue is empty"),
            other => println!("{other}: not a command; check"),
        }
    }
}

#[test]
fn a_console_line_an_interrupt_and_a_message_each_make_one_request_and_nothing_else_does() {
    let (mut bench, shared) = (Bench::new(Route::Mqtt), Shared::new());
    bench.device.config.discovery = Discovery::OnDemand;
    bench.service = Rc::new(RefCell::new(Service::new("thing", Rng::new(2)))); // without a job
    let mut line = Line::new(&bench.service);
    let others = line.from_others.clone();
    let publish = |payload: &[u8]| {
        let message = Reply { topic: TOPIC.into(), payload: payload.into(), assured: false };
        others.borrow_mut().push_back(message);
    };
    let press = || {
        thread::scope(|threads| {
            let pressed = threads.spawn(|| shared.button.signal(()));
            pressed.join().expect("a signal never fails");
        });
    };
    let type_check = || console(&b"help\ncheck\n"[..], &shared);
    let mut url = [0; 2_048];
    let (_, mut agent) = bench.boot(Queued::new(&shared), &mut url, pump::now());
    let sources: [(&dyn Fn(), &[Notice]); 4] =
        [(&|| {}, &[]), (&type_check, &ONE_CHECK), (&press, &ONE_CHECK), (&|| publish(b"check"), &ONE_CHECK)];
    let trigger = async {
        for (source, notices) in sources {
            source();
            // It arrives behind all that follows from the trigger.
            publish(b"hello");
            assert_eq!(shared.messages.receive().await, b"hello");
            assert!(std::iter::from_fn(|| shared.notices.try_receive().ok()).eq(notices.iter().copied()));
        }
        shared.commands.send(Command::Shutdown(Shutdown { unsubscribe: false })).await;
        pending::<()>().await
    };
    let patience = Timer::after_secs(PATIENCE_S);
    let ended = block_on(select3(pump::run(&mut agent, &mut line), trigger, patience));
    assert!(matches!(ended, Either3::First(())), "the pump ends");
    assert_eq!(line.job_requests, 3);
}
