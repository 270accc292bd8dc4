//! How much a user has to learn: `examples/board.rs`, a whole device program, stays short and names few types of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LINES_MAX: usize = 60;
const TYPES_MAX: usize = 10;
/// What the program names besides types: the drivers and the application that the user writes.
const TRAITS: [&str; 4] = ["Application", "Connector", "Flash", "Reset"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect("the file is there")
}

/// The capitalized identifiers of a text, without comments.
fn names(text: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let words = code.split(|char: char| !char.is_alphanumeric() && char != '_');
    let is_type = |word: &&str| word.len() > 1 && word.starts_with(|char: char| char.is_ascii_uppercase());
    let is_constant = |word: &str| !word.contains(|char: char| char.is_ascii_lowercase());
    words.filter(is_type).filter(|word| !is_constant(word)).map(String::from).collect()
}

#[test]
fn a_device_program_has_at_most_sixty_lines_and_ten_types_of_ours() {
    let board = read("examples/board.rs");
    let agent = read("agent/src/lib.rs");
    let prelude = agent.split("pub mod prelude {").nth(1).and_then(|rest| rest.split("\n}").next());
    let prelude = names(prelude.expect("the agent has a prelude"));
    let imported = board.lines().filter(|line| line.starts_with("use ota_pal::")).collect::<String>();
    let ours: BTreeSet<String> = prelude.union(&names(&imported)).cloned().collect();
    let used: BTreeSet<String> = names(&board).intersection(&ours).cloned().collect();
    let types: Vec<&String> = used.iter().filter(|name| !TRAITS.contains(&name.as_str())).collect();
    assert!(types.len() > 5, "the test finds the types: {types:?}");
    assert!(types.len() <= TYPES_MAX, "{types:?}");
    assert!(board.lines().count() <= LINES_MAX, "{} lines", board.lines().count());
}
