//! The budget: every figure that was printed, in tests/size/budget.toml. Fails if one grew by more than 1 % and 64 bytes while the
//! file did not change. The pages state the figures of that file.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use ota_tests::rows;

/// What a figure may grow by in any case: small rows differ with the folder that the tree is in, by what is inlined where.
const SLACK_BYTES: u64 = 64;

/// What may fail here.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Every figure that was printed, by its name.
pub type Figures = BTreeMap<String, u64>;

fn budget_file() -> PathBuf {
    rows::top().join("tests/size/budget.toml")
}

/// The compiler and the figures of the file.
pub fn load() -> Outcome<(String, Figures)> {
    let file = budget_file();
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    read(&text)
}

/// Writes the file.
pub fn store(compiler: &str, figures: &Figures) -> Outcome<()> {
    Ok(fs::write(budget_file(), written(compiler, figures))?)
}

/// Compares with the budget. Another compiler than the budget's makes other code: it gets 10 %.
pub fn check(compiler: &str, figures: &Figures) -> Outcome<()> {
    let (of_compiler, budget) = load()?;
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
    let mut text = String::from(
        "# Bytes, and instructions: what tests/size/run printed when this file was written, with --update.\n",
    );
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

    /// What the pages state, `{}` in kB, `{bytes}` or `{millions}`, and the figures of the budget that it is the sum of.
    const STATED: [(&str, &str, &[&str]); 11] = [
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
        ("docs/porting.md", "SHA-256 takes {bytes} instructions for each KiB", &["instructions.sha256_KiB"]),
        ("docs/porting.md", "an ECDSA signature {millions} million", &["instructions.ecdsa_p256"]),
        ("docs/board.md", "it takes {} kB (`tests/size/run`)", &["selector.all_code", "selector.constants"]),
    ];

    #[test]
    fn the_pages_state_the_sizes_of_the_budget() {
        let page = |name: &str| fs::read_to_string(rows::top().join(name)).expect("a page");
        let (_, budget) = load().expect("a budget");
        for (name, text, parts) in STATED {
            let bytes: u64 = parts.iter().map(|part| budget[*part]).sum();
            let stated = text.replace("{}", &kilobytes(bytes)).replace("{bytes}", &grouped(bytes));
            let stated = stated.replace("{millions}", &kilobytes(bytes / 1_000));
            assert!(page(name).split_whitespace().collect::<Vec<_>>().join(" ").contains(&stated), "{name}: {stated}");
        }
    }
}
