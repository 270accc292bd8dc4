//! The code of a program, shared out twice. By symbol: what was inlined into another crate's function counts there. By source: each
//! address counts for the innermost inlined function that is not the standard library's, as the debug information has it.
//! Code of a generic function counts for the crate that wrote it.

use std::collections::BTreeMap;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use crate::budget::{Figures, Outcome};

/// Crates of ours, as their symbols name them.
const OURS: [&str; 4] = ["ota_jobs", "ota_pal", "ota_agent", "ota_boot"];

/// Rows of less are left out; they are in the sums.
const ROW_BYTES_MIN: u64 = 256;

/// Crates of the standard library: what is inlined of them counts for the function that calls it.
const STANDARD: [&str; 3] = ["core", "alloc", "compiler_builtins"];
/// Where code counts that belongs to no crate.
pub const OTHERS: &str = "core and others";

/// Prints a program by crate, by symbol and by source.
pub fn print(program: &str, elf: &object::File<'_>, with: &str, figures: &mut Figures) -> Outcome<()> {
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

/// The code of a program: its functions with their bytes, by symbol and by source.
pub struct Code {
    /// By symbol.
    pub symbols: Vec<(String, u64)>,
    /// By the innermost function that is not inlined from the standard library.
    pub sources: Vec<(String, u64)>,
}

impl Code {
    /// Reads the symbols and the debug information of a program.
    pub fn read(elf: &object::File<'_>) -> Outcome<Self> {
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

/// The name in the source.
pub fn demangle(name: &str) -> String {
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

/// The bytes by source of the first row of modules that names each function.
pub fn by_modules<const ROWS: usize>(code: &Code, rows: [&[&str]; ROWS]) -> [u64; ROWS] {
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
pub fn owner(symbol: &str) -> String {
    match path(symbol).split_once("::") {
        Some((name, _)) => name.into(),
        None if symbol == "_start" => symbol.into(),
        None => OTHERS.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
