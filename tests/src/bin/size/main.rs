//! Reads the firmware that `tests/size/run` builds and prints what agent and boot selector cost: flash by crate, RAM by part,
//! the feature set of AWS's C library beside its files, and the whole firmware of the emulated board. Compares every figure with
//! tests/size/budget.toml; `--update` writes that file.

mod board;
mod budget;
mod code;

use std::fs;

use object::{Object, ObjectSection, ObjectSymbol};

use budget::{Figures, Outcome};
use code::Code;

/// The firmware's own statics that hold sizes, and what they are.
const PARTS: [(&str, &str); 4] = [
    ("MACHINE_BYTES", "machine"),
    ("PLATFORM_BYTES", "platform (flash driver of no size, two keys)"),
    ("SESSION_BYTES", "MQTT session of minimq"),
    ("FUTURE_BYTES", "all that runs: agent, platform, session, every await"),
];

/// Files of AWS's C library, their bytes of code as it publishes them, and the modules of ours that do the same. A function
/// counts for the first row that names it; the rest is the library's main file.
const LIBRARY: [(&str, u64, &[&str]); 6] = [
    ("ota_base64.c", 600, &["ota_jobs::base64"]),
    ("ota_cbor.c", 600, &["ota_jobs::cbor", "ota_jobs::stream"]),
    ("ota_mqtt.c", 2_200, &["ota_jobs::topic", "ota_jobs::filter", "ota_agent::decode", "ota_agent::encode"]),
    ("ota_http.c", 300, &["ota_agent::transport"]),
    ("ota_interface.c", 100, &["ota_pal"]),
    ("ota.c", 7_200, &["ota_agent", "ota_jobs"]),
];

/// What our code in the whole agent does, and its modules. A function counts for the first row that names it.
const PURPOSES: [(&str, &[&str]); 9] = [
    (
        "window, rates and sources of blocks",
        &["ota_agent::machine::window", "ota_agent::machine::transfer", "ota_agent::machine::rate"],
    ),
    ("states, reports, journal, resume", &["ota_agent::machine"]),
    ("messages in JSON and CBOR, topics", &["ota_jobs", "ota_agent::decode", "ota_agent::encode"]),
    ("HTTP ranges, redirects, allowed hosts", &["ota_agent::transport::http"]),
    (
        "one connection for agent and application",
        &["ota_agent::blocking::pump", "ota_agent::transport", "ota_agent::silence"],
    ),
    ("agent: documents, operations, commands", &["ota_agent"]),
    ("keys and signatures", &["ota_pal::verify"]),
    ("records that survive a power cut", &["ota_pal::blocking::flash", "ota_pal::store"]),
    ("slots, trial, rollback, image management", &["ota_pal"]),
];

fn main() -> Outcome<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let update = arguments.iter().position(|argument| argument == "--update").map(|at| arguments.remove(at)).is_some();
    let [compiler, agent, selector, library, board @ ..] = &arguments[..] else {
        return Err(
            "size [--update] COMPILER AGENT.elf SELECTOR.elf LIBRARY.elf [SELECTOR.elf FIRMWARE.elf INSTRUCTIONS.txt]"
                .into(),
        );
    };
    let (agent, selector, library) = (fs::read(agent)?, fs::read(selector)?, fs::read(library)?);
    let agent = object::File::parse(&*agent)?;
    let mut figures = Figures::new();

    println!("thumbv7em-none-eabihf, opt-level z, fat LTO: flash in bytes of code");
    code::print("agent", &agent, "with MQTT client, signature check and JSON", &mut figures)?;
    println!("ours by what it does, by source");
    print_purposes(&agent, &mut figures)?;
    println!("RAM in bytes, the caller's buffers not counted");
    for (symbol, what) in PARTS {
        let bytes = static_value(&agent, symbol)?;
        println!("{bytes:>8}  {what}");
        figures.insert(format!("ram.{symbol}"), bytes);
    }
    println!("{:>8}  of it ours, without the session", figures["ram.FUTURE_BYTES"] - figures["ram.SESSION_BYTES"]);
    println!("the boot selector, a program of its own");
    code::print("selector", &object::File::parse(&*selector)?, "with SHA-256", &mut figures)?;
    println!("the feature set of AWS's C library alone: bytes of code, ours beside its own as published");
    print_library(&object::File::parse(&*library)?, &mut figures)?;
    println!("the same by crate");
    code::print("library", &object::File::parse(&*library)?, "with JSON", &mut figures)?;
    if let [selector, firmware, measured] = board {
        board::print(selector, firmware, measured, &mut figures)?;
    }
    match update {
        true => budget::store(compiler, &figures),
        false => budget::check(compiler, &figures),
    }
}

fn print_purposes(elf: &object::File<'_>, figures: &mut Figures) -> Outcome<()> {
    let bytes = code::by_modules(&Code::read(elf)?, PURPOSES.map(|(_, modules)| modules));
    for ((purpose, _), ours) in PURPOSES.iter().zip(bytes) {
        println!("{ours:>8}  {purpose}");
        figures.insert(format!("purposes.{purpose}"), ours);
    }
    Ok(())
}

fn print_library(elf: &object::File<'_>, figures: &mut Figures) -> Outcome<()> {
    let bytes = code::by_modules(&Code::read(elf)?, LIBRARY.map(|(.., modules)| modules));
    println!("    ours       C");
    for ((file, theirs, modules), ours) in LIBRARY.iter().zip(bytes) {
        println!("{ours:>8}{theirs:>8}  {file}: {}", modules.join(", "));
        figures.insert(format!("c_library.{file}"), ours);
    }
    let (ours, theirs) = (bytes.iter().sum::<u64>(), 11_600);
    println!("{ours:>8}{theirs:>8}  together, as published");
    figures.insert("c_library.together".into(), ours);
    Ok(())
}

fn static_value(elf: &object::File<'_>, name: &str) -> Outcome<u64> {
    let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name)).ok_or_else(|| format!("no {name} in it"))?;
    let index = symbol.section_index().ok_or("a static without a section")?;
    let section = elf.section_by_index(index)?;
    let bytes = section.data_range(symbol.address(), 4)?.ok_or("a static outside its section")?;
    Ok(u32::from_le_bytes(bytes.try_into()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_c_library_has_a_figure_in_the_budget_and_these_add_up() {
        let (_, budget) = budget::load().expect("a budget");
        let sum: u64 = LIBRARY.iter().map(|(file, ..)| budget[&format!("c_library.{file}")]).sum();
        assert_eq!(sum, budget["c_library.together"]);
    }
}
