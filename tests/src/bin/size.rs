//! Reads the firmware that `tests/size/run` builds and prints what agent and boot selector cost: flash by crate, RAM by part.
//! Flash is shared out by symbols: what was inlined into another crate counts there, so the sum is exact and the shares
//! are not. Code of a generic function counts for the crate that wrote it.

use std::collections::BTreeMap;
use std::error::Error;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

/// The firmware's own statics that hold sizes, and what they are.
const PARTS: [(&str, &str); 4] = [
    ("MACHINE_BYTES", "machine"),
    ("PLATFORM_BYTES", "platform (flash driver of no size, two keys)"),
    ("SESSION_BYTES", "MQTT session of minimq"),
    ("FUTURE_BYTES", "all that runs: agent, platform, session, every await"),
];

/// Crates of ours, as their symbols name them.
const OURS: [&str; 4] = ["ota_jobs", "ota_pal", "ota_agent", "ota_boot"];

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [agent, selector] = &paths[..] else { return Err("size AGENT.elf SELECTOR.elf".into()) };
    let (agent, selector) = (std::fs::read(agent)?, std::fs::read(selector)?);
    let (agent, selector) = (object::File::parse(&*agent)?, object::File::parse(&*selector)?);

    println!("thumbv7em-none-eabihf, opt-level z, fat LTO: flash in bytes of code, by crate");
    print_code(&agent, "with MQTT client, signature check and JSON")?;
    println!("RAM in bytes, the caller's buffers not counted");
    for (symbol, what) in PARTS {
        println!("{:>8}  {what}", static_value(&agent, symbol)?);
    }
    println!("the boot selector, a program of its own");
    print_code(&selector, "with SHA-256")
}

fn print_code(elf: &object::File<'_>, with: &str) -> Result<(), Box<dyn Error>> {
    let mut crates: BTreeMap<String, u64> = BTreeMap::new();
    for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
        *crates.entry(owner(&name)).or_default() += symbol.size();
    }
    let section = |kind: SectionKind| {
        elf.sections().filter(|section| section.kind() == kind).map(|section| section.size()).sum::<u64>()
    };
    let (text, data) = (section(SectionKind::Text), section(SectionKind::ReadOnlyData));
    let mut rows: Vec<(String, u64)> = crates.into_iter().collect();
    rows.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let ours: u64 = rows.iter().filter(|(name, _)| OURS.contains(&name.as_str())).map(|(_, size)| size).sum();
    for (name, size) in rows.iter().filter(|(_, size)| *size >= 256) {
        println!("{size:>8}  {name}");
    }
    println!("{ours:>8}  ours together");
    println!("{text:>8}  all code, {with}; {data} bytes of constants beside it");
    Ok(())
}

/// The crate that a symbol belongs to: the first path in it, which for `<A as B>::c` is A's.
fn owner(symbol: &str) -> String {
    let path =
        symbol.trim_start_matches(['<', '&', '(', '[', '*']).trim_start_matches("mut ").trim_start_matches("dyn ");
    let name: String = path.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
    match path[name.len()..].starts_with("::") || name == "_start" {
        true => name,
        false => "core and others".into(),
    }
}

fn static_value(elf: &object::File<'_>, name: &str) -> Result<u64, Box<dyn Error>> {
    let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name)).ok_or_else(|| format!("no {name} in it"))?;
    let index = symbol.section_index().ok_or("a static without a section")?;
    let section = elf.section_by_index(index)?;
    let bytes = section.data_range(symbol.address(), 4)?.ok_or("a static outside its section")?;
    Ok(u32::from_le_bytes(bytes.try_into()?).into())
}
