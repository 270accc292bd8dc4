//! The driver of embassy-time: a timer that runs freely is the clock, another one the alarm. No tick wakes an idle processor.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use super::interrupts::{TIMER2, enable};
use super::registers::timer;

const ENABLE: u32 = 1;
const ONE_SHOT: u32 = 1 << 1;
const INTERRUPT: u32 = 1 << 2;
/// Timer counts of one tick of embassy-time, a microsecond. QEMU counts at 100 MHz, whatever the clock of the board; on a chip it is
/// that of the bus APB0.
const COUNTS: u64 = 100;
/// The longest wait of an alarm: the free timer is read at least twice before it wraps.
const ALARM_MAX_TICKS: u64 = u32::MAX as u64 / COUNTS / 2;

struct State {
    queue: Queue,
    /// Times that the free timer wrapped.
    wraps: u32,
    /// Its last reading, counted upwards.
    low: u32,
}

struct Clock(Mutex<RefCell<State>>);

embassy_time_driver::time_driver_impl!(
    static CLOCK: Clock = Clock(Mutex::new(RefCell::new(State { queue: Queue::new(), wraps: 0, low: 0 })))
);

/// Starts the clock at 0. A reset does not stop the timers: an alarm of the program before may be set.
pub fn start() {
    timer::ALARM_CTRL.write(0);
    timer::ALARM_RIS.write(1);
    timer::FREE_CTRL.write(0);
    timer::FREE_LOADVAL.write(u32::MAX);
    timer::FREE_CTRL.write(ENABLE);
    enable(TIMER2, on_alarm);
}

/// The interrupt of the alarm.
fn on_alarm() {
    timer::ALARM_CTRL.write(0);
    timer::ALARM_RIS.write(1);
    critical_section::with(|section| CLOCK.0.borrow_ref_mut(section).set_alarm());
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|section| self.0.borrow_ref_mut(section).now())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            let mut state = self.0.borrow_ref_mut(section);
            if state.queue.schedule_wake(at, waker) {
                state.set_alarm();
            }
        });
    }
}

impl State {
    fn now(&mut self) -> u64 {
        let low = !timer::FREE_VAL.read();
        if low < self.low {
            self.wraps += 1;
        }
        self.low = low;
        (u64::from(self.wraps) << 32 | u64::from(low)) / COUNTS
    }

    /// Wakes what is due, and sets the alarm to what is due next.
    fn set_alarm(&mut self) {
        let now = self.now();
        let wait = self.queue.next_expiration(now).saturating_sub(now).clamp(1, ALARM_MAX_TICKS);
        timer::ALARM_CTRL.write(0);
        timer::ALARM_LOADVAL.write((wait * COUNTS) as u32); // fits: see the longest wait
        timer::ALARM_CTRL.write(ENABLE | ONE_SHOT | INTERRUPT);
    }
}
