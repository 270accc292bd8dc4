//! Reads the firmware that `tests/size/run` builds and prints what agent and boot selector cost: flash by crate, RAM by part,
//! the feature set of AWS's C library beside its files, and the whole firmware of the emulated board. Compares every figure with tests/size/budget.toml, and fails if
//! one grew by more than 1 % and 64 bytes while the file did not change; `--update` writes the file.
//!
//! Flash is shared out twice. By symbol: what was inlined into another crate's function counts there. By source: each
//! address counts for the innermost inlined function that is not the standard library's, as the debug information has it.
//! Code of a generic function counts for the crate that wrote it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind, SymbolKind};
use ota_tests::rows;

/// The firmware's own statics that hold sizes, and what they are.
const PARTS: [(&str, &str); 4] = [
    ("MACHINE_BYTES", "machine"),
    ("PLATFORM_BYTES", "platform (flash driver of no size, two keys)"),
    ("SESSION_BYTES", "MQTT session of minimq"),
    ("FUTURE_BYTES", "all that runs: agent, platform, session, every await"),
];

/// Crates of ours, as their symbols name them.
const OURS: [&str; 4] = ["ota_jobs", "ota_pal", "ota_agent", "ota_boot"];

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

/// Crates of the standard library: what is inlined of them counts for the function that calls it.
const STANDARD: [&str; 3] = ["core", "alloc", "compiler_builtins"];
/// Where code counts that belongs to no crate.
const OTHERS: &str = "core and others";

/// What a figure may grow by in any case: small rows differ with the folder that the tree is in, by what is inlined where.
const SLACK_BYTES: u64 = 64;

/// Rows of less are left out; they are in the sums.
const ROW_BYTES_MIN: u64 = 256;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Every figure that was printed, by its name.
type Figures = BTreeMap<String, u64>;

fn main() -> Outcome<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let update = arguments.iter().position(|argument| argument == "--update").map(|at| arguments.remove(at)).is_some();
    let [compiler, agent, selector, library, board @ ..] = &arguments[..] else {
        return Err("size [--update] COMPILER AGENT.elf SELECTOR.elf LIBRARY.elf [SELECTOR.elf FIRMWARE.elf]".into());
    };
    let (agent, selector, library) = (fs::read(agent)?, fs::read(selector)?, fs::read(library)?);
    let agent = object::File::parse(&*agent)?;
    let mut figures = Figures::new();

    println!("thumbv7em-none-eabihf, opt-level z, fat LTO: flash in bytes of code");
    print_code("agent", &agent, "with MQTT client, signature check and JSON", &mut figures)?;
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
    print_code("selector", &object::File::parse(&*selector)?, "with SHA-256", &mut figures)?;
    println!("the feature set of AWS's C library alone: bytes of code, ours beside its own as published");
    print_library(&object::File::parse(&*library)?, &mut figures)?;
    println!("the same by crate");
    print_code("library", &object::File::parse(&*library)?, "with JSON", &mut figures)?;
    if let [selector, firmware] = board {
        print_board(selector, firmware, &mut figures)?;
    }
    match update {
        true => Ok(fs::write(budget_file(), written(compiler, &figures))?),
        false => check(compiler, &figures),
    }
}

/// The programs of the emulated board: with drivers, executor, network, TLS and application.
fn print_board(selector: &str, firmware: &str, figures: &mut Figures) -> Outcome<()> {
    println!("thumbv7m-none-eabi, the emulated board of examples/mps2: its boot selector, whole");
    for (name, path) in [("board_selector", selector), ("firmware", firmware)] {
        let bytes = fs::read(path)?;
        let elf = object::File::parse(&*bytes)?;
        if name == "firmware" {
            println!("its firmware, whole");
        }
        print_code(name, &elf, "with drivers", figures)?;
        let flash: u64 = elf.segments().map(|segment| segment.file_range().1).sum();
        let is_ram = |kind: SectionKind| matches!(kind, SectionKind::Data | SectionKind::UninitializedData);
        let ram: u64 = elf.sections().filter(|section| is_ram(section.kind())).map(|section| section.size()).sum();
        println!("{flash:>8}  bytes of flash; {ram} bytes of RAM for statics, buffers included");
        figures.insert(format!("{name}.flash"), flash);
        figures.insert(format!("{name}.static_ram"), ram);
    }
    Ok(())
}

/// The code of a program: its functions with their bytes, by symbol and by source.
struct Code {
    symbols: Vec<(String, u64)>,
    sources: Vec<(String, u64)>,
}

impl Code {
    fn read(elf: &object::File<'_>) -> Outcome<Self> {
        let data = |name| elf.section_by_name(name).map_or(Ok(&[][..]), |section| section.data());
        let dwarf = Dwarf::load(|id| data(id.name()).map(|data| EndianSlice::new(data, LittleEndian)))?;
        let context = Context::from_dwarf(dwarf)?;
        let mut sources: BTreeMap<String, u64> = BTreeMap::new();
        let mut symbols = Vec::new();
        for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let name = demangle(symbol.name()?);
            // Thumb code: the lowest bit of an address is not part of it, and no instruction is shorter than two bytes.
            let start = symbol.address() & !1;
            for at in (start..start + symbol.size()).step_by(2) {
                *sources.entry(source(&context, at)?.unwrap_or_else(|| name.clone())).or_default() += 2;
            }
            symbols.push((name, symbol.size()));
        }
        Ok(Self { symbols, sources: sources.into_iter().collect() })
    }
}

fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// The innermost function at an address that is not the standard library's.
fn source(context: &Context<EndianSlice<'_, LittleEndian>>, at: u64) -> Outcome<Option<String>> {
    let mut frames = context.find_frames(at).skip_all_loads()?;
    while let Some(frame) = frames.next()? {
        let name = frame.function.map(|function| function.raw_name().map(|name| demangle(&name))).transpose()?;
        if let Some(name) = name.filter(|name| !STANDARD.contains(&&*owner(name)) && owner(name) != OTHERS) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn print_code(program: &str, elf: &object::File<'_>, with: &str, figures: &mut Figures) -> Outcome<()> {
    let code = Code::read(elf)?;
    let mut crates: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for (column, functions) in [&code.symbols, &code.sources].into_iter().enumerate() {
        for (name, size) in functions {
            crates.entry(owner(name)).or_default()[column] += size;
        }
    }
    let section = |kind: SectionKind| {
        elf.sections().filter(|section| section.kind() == kind).map(|section| section.size()).sum::<u64>()
    };
    let (text, data) = (section(SectionKind::Text), section(SectionKind::ReadOnlyData));
    let ours = crates.iter().filter(|(name, _)| OURS.contains(&name.as_str()));
    let ours = ours.fold([0; 2], |[symbols, sources], (_, bytes)| [symbols + bytes[0], sources + bytes[1]]);
    let mut rows: Vec<(String, [u64; 2])> = crates.into_iter().collect();
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes[1]));
    println!("by symbol  by source");
    let mut print = |name: &str, [symbols, sources]: [u64; 2]| {
        println!("{symbols:>9}{sources:>11}  {name}");
        let name = name.replace(' ', "_");
        figures.insert(format!("{program}.{name}"), symbols);
        figures.insert(format!("{program}_sources.{name}"), sources);
    };
    for (name, bytes) in rows.iter().filter(|(_, bytes)| bytes.iter().any(|bytes| *bytes >= ROW_BYTES_MIN)) {
        print(name, *bytes);
    }
    print("ours together", ours);
    println!("{text:>20}  all code, {with}; {data} bytes of constants beside it");
    for (name, size) in [("all_code", text), ("constants", data)] {
        figures.insert(format!("{program}.{name}"), size);
    }
    Ok(())
}

fn print_purposes(elf: &object::File<'_>, figures: &mut Figures) -> Outcome<()> {
    let bytes = by_modules(&Code::read(elf)?, PURPOSES.map(|(_, modules)| modules));
    for ((purpose, _), ours) in PURPOSES.iter().zip(bytes) {
        println!("{ours:>8}  {purpose}");
        figures.insert(format!("purposes.{purpose}"), ours);
    }
    Ok(())
}

/// The bytes by source of the first row of modules that names each function.
fn by_modules<const ROWS: usize>(code: &Code, rows: [&[&str]; ROWS]) -> [u64; ROWS] {
    let mut bytes = [0; ROWS];
    for (name, size) in &code.sources {
        let path = path(name);
        let is_in =
            |module: &&str| path.strip_prefix(*module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        if let Some(row) = rows.iter().position(|modules| modules.iter().any(&is_in)) {
            bytes[row] += size;
        }
    }
    bytes
}

fn print_library(elf: &object::File<'_>, figures: &mut Figures) -> Outcome<()> {
    let bytes = by_modules(&Code::read(elf)?, LIBRARY.map(|(.., modules)| modules));
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

/// The path that a symbol's name starts with, which for `<A as B>::c` is A's, or B's if A is a primitive type.
fn path(symbol: &str) -> &str {
    let first = first_path(symbol);
    match symbol.split_once(" as ") {
        Some((_, of_trait)) if !first.contains("::") => first_path(of_trait),
        _ => first,
    }
}

fn first_path(name: &str) -> &str {
    let path = name.trim_start_matches(['<', '&', '(', '[', '*']).trim_start_matches("mut ").trim_start_matches("dyn ");
    let end = path.find(|char: char| !char.is_alphanumeric() && char != '_' && char != ':').unwrap_or(path.len());
    path[..end].trim_end_matches(':')
}

/// The crate that a symbol belongs to.
fn owner(symbol: &str) -> String {
    match path(symbol).split_once("::") {
        Some((name, _)) => name.into(),
        None if symbol == "_start" => symbol.into(),
        None => OTHERS.into(),
    }
}

fn static_value(elf: &object::File<'_>, name: &str) -> Outcome<u64> {
    let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name)).ok_or_else(|| format!("no {name} in it"))?;
    let index = symbol.section_index().ok_or("a static without a section")?;
    let section = elf.section_by_index(index)?;
    let bytes = section.data_range(symbol.address(), 4)?.ok_or("a static outside its section")?;
    Ok(u32::from_le_bytes(bytes.try_into()?).into())
}

fn budget_file() -> PathBuf {
    rows::top().join("tests/size/budget.toml")
}

/// Compares with the budget. Another compiler than the budget's makes other code: it gets 10 %.
fn check(compiler: &str, figures: &Figures) -> Outcome<()> {
    let file = budget_file();
    let budget = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (of_compiler, budget) = read(&budget)?;
    let percent = if of_compiler == compiler { 1 } else { 10 };
    if percent != 1 {
        println!("the budget is of {of_compiler}, this is {compiler}: figures may grow by {percent} %");
    }
    let grown = exceeded(figures, &budget, percent);
    if grown.is_empty() {
        println!("every figure is in the budget of tests/size/budget.toml");
        return Ok(());
    }
    grown.iter().for_each(|line| eprintln!("{line}"));
    Err(format!("{} figures are over tests/size/budget.toml; `tests/size/run --update` writes it anew", grown.len())
        .into())
}

/// A line for every figure that the budget does not allow: one more than `percent`, and more than the slack, above its own, or
/// a new one.
fn exceeded(figures: &Figures, budget: &Figures, percent: u64) -> Vec<String> {
    let grown = figures.iter().filter_map(|(name, bytes)| match budget.get(name) {
        None => Some(format!("{name}: {bytes}, and nothing in the budget")),
        Some(allowed) => {
            let most = (allowed * (100 + percent) / 100).max(allowed + SLACK_BYTES);
            (*bytes > most).then(|| format!("{name}: {bytes}, budget {allowed}"))
        }
    });
    grown.collect()
}

/// The budget as it is written, in TOML.
fn written(compiler: &str, figures: &Figures) -> String {
    let mut text = String::from("# Bytes: what tests/size/run printed when this file was written, with --update.\n");
    let _ = writeln!(text, "compiler = \"{compiler}\"");
    let mut table = "";
    for (name, bytes) in figures {
        let (program, figure) = name.split_once('.').unwrap_or(("", name));
        if program != table {
            let _ = write!(text, "\n[{program}]\n");
            table = program;
        }
        let _ = writeln!(text, "\"{figure}\" = {bytes}");
    }
    text
}

/// The compiler and the figures of a budget.
fn read(text: &str) -> Outcome<(String, Figures)> {
    let mut compiler = String::new();
    let mut figures = Figures::new();
    let mut table = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name.into();
            continue;
        }
        let (name, value) = line.split_once(" = ").ok_or_else(|| format!("not a line of a budget: {line}"))?;
        match name {
            "compiler" => compiler = value.trim_matches('"').into(),
            _ => drop(figures.insert(format!("{table}.{}", name.trim_matches('"')), value.parse()?)),
        }
    }
    Ok((compiler, figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the pages round it.
    fn kilobytes(bytes: u64) -> String {
        let tenths = (bytes + 50) / 100;
        format!("{}.{}", tenths / 10, tenths % 10)
    }

    fn figures(bytes: &[(&str, u64)]) -> Figures {
        bytes.iter().map(|(name, bytes)| (name.to_string(), *bytes)).collect()
    }

    #[test]
    fn a_budget_is_read_as_it_was_written() {
        let all = figures(&[("agent.core_and_others", 7), ("agent.ota_jobs", 1_000), ("c_library.ota.c", 3)]);
        let (compiler, read) = read(&written("rustc 1.0", &all)).expect("a budget");
        assert_eq!((compiler.as_str(), read), ("rustc 1.0", all));
    }

    #[test]
    fn a_figure_that_grows_by_more_than_a_hundredth_is_over_the_budget() {
        let budget = figures(&[("a", 10_000), ("b", 50)]);
        assert!(exceeded(&figures(&[("a", 10_100), ("b", 114)]), &budget, 1).is_empty());
        assert!(exceeded(&figures(&[("a", 10)]), &budget, 1).is_empty());
        assert_eq!(exceeded(&figures(&[("a", 10_101), ("b", 115)]), &budget, 1).len(), 2);
        assert_eq!(exceeded(&figures(&[("c", 1)]), &budget, 1).len(), 1);
    }

    /// With a comma before the last three digits.
    fn grouped(bytes: u64) -> String {
        format!("{},{:03}", bytes / 1_000, bytes % 1_000)
    }

    /// What the pages state, `{}` in kB or `{bytes}`, and the figures of the budget that it is the sum of.
    const STATED: [(&str, &str, &[&str]); 9] = [
        ("README.md", "**{} kB**;", &["agent_sources.ours_together"]),
        ("README.md", "; {} kB with the C library's features alone", &["c_library.together"]),
        ("README.md", "a firmware of nothing but the agent has {} kB of code", &["agent.all_code"]),
        ("README.md", "P-256 and SHA-256 it is {} kB", &["agent.all_code"]),
        ("README.md", "{} kB are the agent's own", &["agent_sources.ours_together"]),
        ("README.md", "It takes {bytes} bytes of RAM, plus stack and buffers", &["ram.FUTURE_BYTES"]),
        ("README.md", "selector is a program of {} kB", &["selector.all_code", "selector.constants"]),
        (
            "docs/porting.md",
            "| agent, platform, MQTT session, every await | {bytes} (`tests/size/run`)",
            &["ram.FUTURE_BYTES"],
        ),
        ("docs/board.md", "it takes {} kB (`tests/size/run`)", &["selector.all_code", "selector.constants"]),
    ];

    #[test]
    fn the_pages_state_the_sizes_of_the_budget() {
        let page = |name: &str| fs::read_to_string(rows::top().join(name)).expect("a page");
        let (_, budget) = read(&fs::read_to_string(budget_file()).expect("a budget")).expect("a budget");
        for (name, text, parts) in STATED {
            let bytes: u64 = parts.iter().map(|part| budget[*part]).sum();
            let stated = text.replace("{}", &kilobytes(bytes)).replace("{bytes}", &grouped(bytes));
            assert!(page(name).split_whitespace().collect::<Vec<_>>().join(" ").contains(&stated), "{name}: {stated}");
        }
    }

    #[test]
    fn every_file_of_the_c_library_has_a_figure_in_the_budget_and_these_add_up() {
        let (_, budget) = read(&fs::read_to_string(budget_file()).expect("a budget")).expect("a budget");
        let sum: u64 = LIBRARY.iter().map(|(file, ..)| budget[&format!("c_library.{file}")]).sum();
        assert_eq!(sum, budget["c_library.together"]);
    }

    #[test]
    fn a_symbol_belongs_to_the_path_that_it_starts_with() {
        for (symbol, owner_is) in [
            ("ota_agent::machine::Machine::on", "ota_agent"),
            ("<ota_jobs::stream::Get as core::fmt::Debug>::fmt", "ota_jobs"),
            ("<&mut dyn core::fmt::Write>::write", "core"),
            ("memcpy", OTHERS),
            ("<[u64] as ctutils::traits::CtAssign>::ct_assign", "ctutils"),
            ("_start", "_start"),
        ] {
            assert_eq!(owner(symbol), owner_is);
        }
    }
}
