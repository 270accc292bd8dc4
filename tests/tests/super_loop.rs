//! The pump without an executor: a loop polls it, and the application runs between two polls.

#[path = "pump/broker.rs"]
mod broker;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use embassy_futures::poll_once;
use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_agent::{Agent, AgentConfig, Application, Notice, SelfTest, Start, pump};
use ota_jobs::Status;
use ota_pal::flash::CHUNK_BYTES;
use ota_pal::{Flash, SlotId, Yielding};
use ota_tests::device::Device;
use ota_tests::fixtures::order;
use ota_tests::job::{Kind, Order, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::Service;
use ota_tests::setup::Setup;
use ota_tests::verifier::Signer;

use broker::Line;

/// More polls than an update takes.
const POLLS_MAX: u32 = 1_000_000;

/// Counts the operations of a flash, a write as one for every 256 bytes.
struct Counted {
    flash: PlainView,
    operations: Rc<Cell<u32>>,
}

impl Counted {
    fn count(&self, operations: usize) {
        self.operations.set(self.operations.get() + operations as u32);
    }
}

impl Flash for Counted {
    const READ_SIZE: usize = PlainView::READ_SIZE;
    const WRITE_SIZE: usize = PlainView::WRITE_SIZE;
    const ERASE_SIZE: usize = PlainView::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.count(out.len().div_ceil(CHUNK_BYTES));
        self.flash.read(offset_bytes, out).await
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.count(bytes.len().div_ceil(CHUNK_BYTES));
        self.flash.write(offset_bytes, bytes).await
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.count((to_bytes - from_bytes) as usize / Self::ERASE_SIZE);
        self.flash.erase(from_bytes, to_bytes).await
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.flash.sync().await
    }
}

#[derive(Clone, Default)]
struct App(Rc<RefCell<Vec<Notice>>>);

impl Application for App {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        if connected { SelfTest::Passed } else { SelfTest::Running }
    }

    fn on_notice(&mut self, notice: Notice) {
        self.0.borrow_mut().push(notice);
    }
}

/// What a whole update did, over two boots.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    slots: Vec<SlotId>,
    notices: Vec<Notice>,
    /// The most flash operations of one poll.
    operations_max: u32,
}

/// Updates a device by a loop of polls; `give_way` wraps its flash.
fn updated<F: Flash>(give_way: impl Fn(Counted) -> F) -> Trace {
    let (mut rng, signer) = (Rng::new(1), Rc::new(Signer::new("ours", true)));
    let config = AgentConfig::new("thing").expect("a plain name");
    let setup = Setup { config: config.clone(), slot_sectors: 16, ..Setup::new(1) };
    let device = Device::new(&setup, signer.clone(), &mut rng);
    let order = Order { image_bytes: 50_000, ..order("job", Kind::Good, 2) };
    let (job, mut service) = (job(&order, &signer, &mut rng), Service::new("thing", Rng::new(2)));
    service.create(job, 0);
    let (service, app, mut trace) = (Rc::new(RefCell::new(service)), App::default(), Trace::default());
    let is_over = || app.0.borrow().contains(&Notice::NoUpdate);
    while !is_over() {
        let boot = device.boot().expect("the power stays").expect("there is an image");
        trace.slots.push(boot.slot);
        let operations = Rc::new(Cell::new(0));
        let flash = give_way(Counted { flash: View(device.nor.clone()), operations: operations.clone() });
        let (mut line, mut url) = (Line::new(&service), [0; 2_048]);
        let start = Start { seed: 1, now: pump::now() };
        let mut run = pin!(async {
            let platform = device.platform(flash, boot.slot, 0);
            let agent = Agent::start(platform, app.clone(), config.clone(), &mut url, start).await;
            pump::run(&mut agent.expect("the device reads its own flash"), &mut line).await;
        });
        for poll in 0.. {
            assert!(poll < POLLS_MAX, "the device waits for ever");
            let before = operations.get();
            let polled = poll_once(run.as_mut());
            trace.operations_max = trace.operations_max.max(operations.get() - before);
            if polled == Poll::Ready(()) || is_over() {
                break;
            }
            // Here the application has its turn.
        }
    }
    assert_eq!(service.borrow().entries[0].status, Status::Succeeded);
    trace.notices = app.0.take();
    trace.notices.dedup(); // one poll may do more than the loop waits for
    trace
}

#[test]
fn a_loop_of_polls_updates_a_device_and_runs_one_operation_of_the_flash_at_a_time() {
    let trace = updated(Yielding);
    assert_eq!((trace.operations_max, &trace.slots[..]), (1, &[SlotId::A, SlotId::B][..]));
    let at_once = updated(|flash| flash);
    assert!(at_once.operations_max > 100, "the loop counts: {}", at_once.operations_max);
    assert_eq!(trace.notices, at_once.notices);
}
