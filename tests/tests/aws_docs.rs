//! The AWS page and its scripts agree: every command block of `docs/aws.md` is a script of `examples/aws`, line for line,
//! and a shell can parse every script. Nothing here talks to AWS.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first lines of every script; readers who paste the blocks source `env.sh` by hand instead.
const HEADER: &str = "#!/bin/sh\nset -eu\n. \"$(dirname \"$0\")/env.sh\"\n";
/// Definitions that all scripts share. It is sourced, so it is not a step of the page.
const SHARED: &str = "env.sh";
const FENCE: &str = "```";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folder() -> PathBuf {
    root().join("examples").join("aws")
}

fn page() -> String {
    fs::read_to_string(root().join("docs").join("aws.md")).expect("the page is there")
}

/// Every script by its name, [`SHARED`] included.
fn scripts() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let shell = paths.filter(|path| path.extension().is_some_and(|ending| ending == "sh"));
    let named = shell.map(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are text").to_owned();
        (name, fs::read_to_string(&path).expect("scripts are text"))
    });
    named.collect()
}

/// The command blocks of a page in their order: the script that the line above names, and the commands.
///
/// Errors: the number of the line that opens a block which is not headed by a script's name.
fn blocks(page: &str) -> Result<Vec<(String, String)>, usize> {
    let mut found = Vec::new();
    let mut above = "";
    let mut lines = (1_usize..).zip(page.lines());
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with(FENCE) {
            let name = script_named(above).ok_or(number)?;
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != FENCE);
            let commands: String = inside.flat_map(|line| [line, "\n"]).collect();
            found.push((name.to_owned(), commands));
        }
        above = line;
    }
    Ok(found)
}

fn script_named(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- examples/aws/")?.strip_suffix(" -->")
}

fn blocks_of_the_page() -> Vec<(String, String)> {
    blocks(&page()).unwrap_or_else(|line| panic!("docs/aws.md:{line}: a block that names no script"))
}

#[test]
fn each_command_block_of_the_page_is_its_script_line_for_line() {
    let scripts = scripts();
    for (name, commands) in blocks_of_the_page() {
        let script =
            scripts.get(&name).unwrap_or_else(|| panic!("examples/aws/{name} is on the page and nowhere else"));
        assert_eq!(*script, format!("{HEADER}{commands}"), "examples/aws/{name}");
    }
}

#[test]
fn each_script_stands_on_the_page_once() {
    let mut shown: Vec<String> = blocks_of_the_page().into_iter().map(|(name, _)| name).collect();
    shown.push(SHARED.to_owned());
    shown.sort();
    let there: Vec<String> = scripts().into_keys().collect();
    assert_eq!(shown, there);
    assert!(page().contains(&format!("examples/aws/{SHARED}")), "the page names the script that sets the variables");
}

#[test]
fn a_shell_can_read_each_script() {
    for name in scripts().into_keys() {
        let read = Command::new("sh").arg("-n").arg(folder().join(&name)).output().expect("there is a shell");
        assert!(read.status.success(), "examples/aws/{name}: {}", String::from_utf8_lossy(&read.stderr));
    }
}

#[test]
fn a_block_that_names_no_script_is_found() {
    assert_eq!(blocks("Type this:\n```sh\nrm -r x\n```\n"), Err(2));
    let named = "<!-- examples/aws/a.sh -->\n```sh\none\ntwo\n```\nand then\n";
    assert_eq!(blocks(named), Ok(vec![("a.sh".to_owned(), "one\ntwo\n".to_owned())]));
}
