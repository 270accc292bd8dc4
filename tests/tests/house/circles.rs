//! No import circle ties the files of a crate together: each file can be read after those that it names. What a file names of
//! the modules around it does not count, they are its context.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Crate, Edges};
use ota_tests::rows;

const ROOMS: [&str; 7] = ["jobs", "pal", "agent", "boot", "cloud", "examples", "tests"];

/// Crates that still have circles. A crate that has none left must go from this list.
const STILL_TIED: &[&str] = &[];

/// The root files of a room: its library and its programs.
fn roots(room: &Path) -> Vec<PathBuf> {
    let mut roots = vec![room.join("src/lib.rs"), room.join("src/main.rs")];
    for entry in fs::read_dir(room.join("src/bin")).into_iter().flatten() {
        let path = entry.expect("it can be listed").path();
        roots.push(if path.is_dir() { path.join("main.rs") } else { path });
    }
    roots.retain(|root| root.exists());
    roots
}

/// Groups of files each of which reaches every other of its group.
fn circles(edges: &Edges) -> Vec<BTreeSet<&Path>> {
    let reach = |start: &Path| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start.to_path_buf()];
        while let Some(file) = open.pop() {
            for next in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Path, BTreeSet<PathBuf>> = edges.keys().map(|file| (&**file, reach(file))).collect();
    let mut circles: Vec<BTreeSet<&Path>> = Vec::new();
    for (&file, from_here) in &reached {
        if !from_here.contains(file) || circles.iter().any(|circle| circle.contains(file)) {
            continue;
        }
        let back = |other: &&Path| from_here.contains(*other) && reached[*other].contains(file);
        circles.push(reached.keys().copied().filter(back).collect());
    }
    circles
}

/// The circles of a room, each with its files and the names that tie them.
fn described(room: &str) -> Vec<String> {
    let top = rows::top();
    let short = |file: &Path| file.strip_prefix(&top).unwrap_or(file).display().to_string();
    let mut found = Vec::new();
    for root in roots(&top.join(room)) {
        let edges = Crate::read(&root).edges();
        for circle in circles(&edges) {
            let mut lines = vec![format!("a circle of {} files in {room}:", circle.len())];
            for (from, ties) in edges.iter().filter(|(from, _)| circle.contains(&***from)) {
                for (to, names) in ties.iter().filter(|(to, _)| circle.contains(&***to)) {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    lines.push(format!("  {} names of {}: {}", short(from), short(to), names.join(", ")));
                }
            }
            found.push(lines.join("\n"));
        }
    }
    found
}

#[test]
fn no_import_circle_ties_the_files_of_a_crate() {
    let mut bad = Vec::new();
    for room in ROOMS {
        let circles = described(room);
        match (STILL_TIED.contains(&room), circles.is_empty()) {
            (false, false) => bad.extend(circles),
            (true, true) => bad.push(format!("{room} has no circle any more: take it from STILL_TIED")),
            (true, false) => println!("{}", circles.join("\n")),
            (false, true) => {}
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Writes a crate of these files and returns the groups of files that its circles tie, by their names.
fn planted(name: &str, files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("circles").join(name);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let edges = Crate::read(&folder.join("lib.rs")).edges();
    let name = |file: &&Path| file.strip_prefix(&folder).expect("a file of ours").display().to_string();
    circles(&edges).iter().map(|circle| circle.iter().map(name).collect()).collect()
}

#[test]
fn a_circle_through_the_re_exports_of_the_root_is_found() {
    let found = planted(
        "re_exports",
        &[
            ("lib.rs", "mod a; mod b; mod c; pub use a::A; pub use b::*;"),
            ("a.rs", "use crate::B; pub struct A(Option<B>);"),
            ("b.rs", "pub struct B; impl B { fn a() -> crate::A { unimplemented!() } }"),
            ("c.rs", "use crate::{A, B}; pub struct C(A, B);"),
        ],
    );
    assert_eq!(found, [["a.rs", "b.rs"]]);
}

#[test]
fn a_circle_of_three_through_super_self_and_a_macro_is_found() {
    let found = planted(
        "three",
        &[
            ("lib.rs", "pub mod a; pub mod b { pub mod c; }"),
            ("a.rs", "pub mod d; pub const A: u8 = self::d::D;"),
            ("a/d.rs", "use super::super::b::c; pub const D: u8 = c::C;"),
            ("b/c.rs", "pub const C: u8 = 1; pub fn f() { assert_eq!(C, crate::a::A) }"),
        ],
    );
    assert_eq!(found, [["a/d.rs", "a.rs", "b/c.rs"]]);
}

#[test]
fn tests_and_what_the_modules_around_define_are_no_circle() {
    let found = planted(
        "none",
        &[
            ("lib.rs", "mod a; pub use a::A;"),
            ("a.rs", "mod b; pub struct A; #[cfg(test)] mod tests { use super::b::B; }"),
            ("a/b.rs", "use super::A; pub struct B(A); impl A { fn b(self) -> B { B(self) } }"),
        ],
    );
    assert_eq!(found, Vec::<Vec<String>>::new());
}
