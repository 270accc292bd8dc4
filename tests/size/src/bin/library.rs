//! What AWS's C library for OTA has, and no more: job documents and statuses, the machine, blocks over MQTT and HTTP, CBOR,
//! base64. The platform is one that writes to an address, as the C library's interface is a table of functions; connections,
//! flash, signatures and the boot record are not in it, as they are not in the C library. Never run.
#![no_std]
#![no_main]

use ota_agent::machine::Event;
use ota_agent::blocking::prelude::*;
use ota_agent::{Instant, MESSAGE_BYTES_MAX};
use ota_pal::blocking::Platform;
use ota_pal::{
    BootState, Component, Digest, Fault, ImageInfo, Reception, Refusal, RollbackCounters, Signature, SignatureKind, SlotId, Slots,
    Trial,
};
use size::{read_device, write_device};

struct App;

impl Application for App {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        if connected { SelfTest::Passed } else { SelfTest::Running }
    }
}

struct Interface;

/// A word of the device.
fn word() -> u32 {
    let mut bytes = [0; 4];
    read_device(&mut bytes);
    u32::from_le_bytes(bytes)
}

fn call(number: u8) -> Result<(), Fault> {
    write_device(&[number]);
    if word() == 0 { Ok(()) } else { Err(Fault::Sync) }
}

fn digest() -> Digest {
    let mut bytes = [0; 32];
    read_device(&mut bytes);
    Digest(bytes)
}

impl Platform for Interface {
    fn boot_state(&mut self) -> Result<BootState, Fault> {
        call(1)?;
        let trial = match word() {
            0 => Trial::None,
            image_bytes => Trial::Started { slot: SlotId::A, digest: digest(), image_bytes, attempts_left: 1, power_losses: 0 },
        };
        let floor = Ok(RollbackCounters::default());
        let (running, confirmed, free) = (SlotId::A, SlotId::B, SlotId::B);
        Ok(BootState { running, confirmed, free, trial, running_image: None, app_of_release: None, broken_rows: 0, floor })
    }

    fn slots(&self, _component: Component) -> Option<Slots> {
        Some(Slots { running: SlotId::A, free: SlotId::B })
    }

    fn running_digest(&mut self, _image_bytes: u32) -> Result<Digest, Fault> {
        call(2).map(|()| digest())
    }

    fn load_journal(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        read_device(out);
        Ok(out.len())
    }

    fn store_journal(&mut self, payload: &[u8]) -> Result<(), Fault> {
        write_device(payload);
        call(3)
    }

    fn begin(&mut self, _image_bytes: u32, keep_bytes: u32) -> Result<Reception, Refusal> {
        call(4)?;
        Ok(Reception { slot: SlotId::B, frontier_bytes: keep_bytes, evicted: None })
    }

    fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Fault> {
        write_device(&offset_bytes.to_le_bytes());
        write_device(bytes);
        call(5)
    }

    fn idle_step(&mut self, _frontier_bytes: u32) -> Result<bool, Fault> {
        Ok(false)
    }

    fn check_header(&mut self) -> Result<ImageInfo, Refusal> {
        Err(call(6).map_or_else(Refusal::Fault, |()| Refusal::ImageEmpty))
    }

    fn check_kind(&self, _kind: Option<SignatureKind>) -> Result<(), Refusal> {
        Ok(call(7)?)
    }

    fn verify(&mut self, signature: Option<&Signature<'_>>, _source: &str) -> Result<Digest, Refusal> {
        write_device(signature.map_or(&[], |signature| signature.bytes));
        Ok(call(8).map(|()| digest())?)
    }

    fn runs_already(&mut self, _image_bytes: u32, _signature: &Signature<'_>) -> Result<Option<Digest>, Fault> {
        Ok(None)
    }

    fn activate(&mut self, slot: SlotId, digest: &Digest, _image_bytes: u32) -> Result<(), Refusal> {
        write_device(&[slot.number()]);
        write_device(&digest.0);
        Ok(call(9)?)
    }

    fn confirm(&mut self) -> Result<(), Fault> {
        call(10)
    }

    fn roll_back(&mut self, _reason: u16) -> Result<(), Fault> {
        call(11)
    }

    fn invalidate(&mut self, _slot: SlotId) -> Result<(), Refusal> {
        Ok(call(12)?)
    }

    fn feed_watchdog(&mut self) {}

    fn watchdog_ms(&self) -> Option<u32> {
        None
    }

    fn reset(&mut self) {
        write_device(&[13]);
    }
}

/// A message, a block of HTTP or a moment, again and again, as a loop of the application hands them in.
fn device(url: &mut [u8]) -> Option<()> {
    let start = Start { seed: 1, now: Instant::from_ms(0) };
    let mut agent = Agent::start(Interface, App, AgentConfig::new("board").ok()?, url, start).ok()?;
    let mut message = [0; MESSAGE_BYTES_MAX];
    let mut buffer = [0; 4608];
    loop {
        let at = Instant::from_ms(word().into());
        let len = (word() as usize).min(buffer.len() - 128);
        read_device(&mut buffer);
        let (topic, payload) = buffer.split_at(128);
        match word() {
            0 => agent.on(Event::Connected, at),
            1 => agent.on(Event::Disconnected, at),
            2 => agent.on_block(word(), &payload[..len], at),
            3 => match agent.fetch(at) {
                Some(range) => {
                    write_device(&range.from_bytes.to_le_bytes());
                    write_device(agent.url());
                }
                None => write_device(&[0]),
            },
            _ => agent.on_message(core::str::from_utf8(topic).ok()?, &payload[..len], at),
        }
        agent.work(at);
        if let Some(outgoing) = agent.message(at, &mut message) {
            write_device(outgoing.topic.as_bytes());
            write_device(outgoing.payload);
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    device(&mut [0; 2048]);
    loop {
        write_device(&[0]);
    }
}
