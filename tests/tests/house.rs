//! The house rules that a compiler does not enforce: who may import whom, what is on the default path, and that
//! the device crates stay free of heap, unsafe code and runtimes. `circles`: that no files import each other.

#[path = "house/circles.rs"]
mod circles;
#[path = "house/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, its package, and the packages of ours that it may import.
const ROOMS: [(&str, &str, &[&str]); 9] = [
    ("jobs", "ota-jobs", &[]),
    ("pal", "ota-pal", &[]),
    ("agent", "ota-agent", &["ota-jobs", "ota-pal"]),
    ("boot", "ota-boot", &["ota-pal"]),
    ("cloud", "ota-cloud", &["ota-jobs", "ota-pal"]),
    ("examples", "ota-examples", &["ota-jobs", "ota-pal", "ota-agent", "ota-boot", "ota-cloud"]),
    (
        "examples/emulator",
        "ota-emulator",
        &["ota-jobs", "ota-pal", "ota-agent", "ota-boot", "ota-cloud", "ota-examples"],
    ),
    ("examples/firmware", "ota-firmware", &["ota-jobs", "ota-pal", "ota-agent"]),
    ("tests", "ota-tests", &["ota-jobs", "ota-pal", "ota-agent", "ota-boot", "ota-cloud"]),
];

const DEVICE_ROOMS: [&str; 4] = ["jobs", "pal", "agent", "boot"];

/// The packages that the project was given, and the room whose default path each is on.
const GIVEN: [(&str, &[&str]); 7] = [
    ("minimq", &["agent"]),
    ("serde-json-core", &["jobs"]),
    ("sha2", &["pal"]),
    ("p256", &["pal"]),
    ("embedded-storage", &["pal"]),
    ("embassy-time", &["agent"]),
    ("heapless", &["jobs", "pal", "agent"]),
];

/// What the cloud may take of pal: the image header, and what checks a signature.
const PAL_FOR_CLOUD: [&str; 16] = [
    "BODY_OFFSET_DEFAULT_BYTES",
    "Body",
    "Component",
    "Digest",
    "HEADER_BYTES",
    "HardwareId",
    "Header",
    "HeaderError",
    "Key",
    "KeySet",
    "Link",
    "MajorMinor",
    "SignatureRefusal",
    "SlotId",
    "Verifier",
    "Version",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(room: &str) -> toml::Table {
    let path = root().join(room).join("Cargo.toml");
    fs::read_to_string(&path).expect("every room has a manifest").parse().expect("cargo reads it, so it is TOML")
}

/// The names below `[dependencies]` of a room; only those of the default path if `default`.
fn dependencies(room: &str, default: bool) -> BTreeSet<String> {
    let manifest = manifest(room);
    let table = manifest["dependencies"].as_table().expect("a table of dependencies");
    let on_default_path = |value: &toml::Value| value.get("optional").is_none_or(|flag| flag.as_bool() != Some(true));
    table.iter().filter(|(_, value)| !default || on_default_path(value)).map(|(name, _)| name.clone()).collect()
}

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            found.push((path, text));
        }
    }
}

fn sources_of(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// The lines that are code: no comment, and nothing from where the tests begin.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn no_room_imports_what_the_import_table_forbids() {
    for (room, _, allowed) in ROOMS {
        let ours = ROOMS.iter().map(|(_, package, _)| package.to_string());
        for package in ours.filter(|package| dependencies(room, false).contains(package)) {
            assert!(allowed.contains(&package.as_str()), "{room} may not import {package}");
        }
    }
}

#[test]
fn the_machine_imports_jobs_and_nothing_else() {
    for (path, text) in sources_of("agent/src/machine") {
        for line in code(&text) {
            for word in ["ota_pal", "embassy", "minimq", "httparse", "embedded_io", "crate::", "async ", ".await"] {
                let of_its_own = word == "crate::" && line.contains("crate::machine");
                assert!(!line.contains(word) || of_its_own, "{}: {word} in: {line}", path.display());
            }
        }
    }
}

/// The names in a file's imports and paths that come from `package`, each as it is written.
fn names_of(package: &str, text: &str) -> Vec<String> {
    let (used, paths) = source::paths(text);
    let imported = used.into_iter().map(|used| match used.name {
        Some(name) if used.path.last() == Some(&name) => used.path,
        // Under another name, or all of it: the names taken are unknown.
        Some(_) | None => used.path.into_iter().chain(["*".into()]).collect(),
    });
    imported.chain(paths).filter(|path| path[0] == package).map(|path| path.join("::")).collect()
}

/// Whether a path below `ota_pal` names what the cloud may take, or something of it.
fn cloud_may_take(path: &str) -> bool {
    !path.ends_with('*') && path.split("::").any(|name| PAL_FOR_CLOUD.contains(&name))
}

#[test]
fn the_cloud_takes_of_pal_only_header_signature_and_digest() {
    let mut taken = BTreeSet::new();
    for (path, text) in sources_of("cloud/src") {
        for name in names_of("ota_pal", &text) {
            assert!(cloud_may_take(&name), "{}: {name}", path.display());
            taken.extend(name.split("::").map(String::from));
        }
    }
    let idle = PAL_FOR_CLOUD.iter().find(|name| !taken.contains(**name));
    assert_eq!(idle, None, "the cloud does not take it: it must go from the list");
}

#[test]
fn what_the_cloud_may_not_take_of_pal_is_found_in_every_form() {
    for bad in [
        "use ota_pal::{Header, Native};",
        "use ota_pal::BootRecord as Header;",
        "use ota_pal::*;",
        "use ota_pal as pal;",
        "use ota_pal::native;",
        "use {ota_pal::{self}, std::fs};",
        "fn a() { let _ = ota_pal::Native::new(); }",
        "fn a(_: impl ota_pal::Flash) {}",
        "fn a() { assert!(ota_pal::poll_ready(1)); }",
    ] {
        assert!(names_of("ota_pal", bad).iter().any(|name| !cloud_may_take(name)), "{bad}");
    }
    for good in [
        "use ota_pal::header::{Body, HeaderError};",
        "fn a() { ota_pal::Header::parse(&[]); }",
        "#[cfg(test)] mod tests { use ota_pal::Native; }",
    ] {
        assert!(names_of("ota_pal", good).iter().all(|name| cloud_may_take(name)), "{good}");
    }
}

#[test]
fn the_given_packages_are_on_the_default_path() {
    for (package, rooms) in GIVEN {
        for room in rooms {
            assert!(dependencies(room, true).contains(package), "{room} must use {package}");
            let module = package.replace('-', "_");
            let used = sources_of(&format!("{room}/src")).iter().any(|(_, text)| {
                code(text).any(|line| line.contains(&format!("{module}::")) || line.contains(&format!("use {module}")))
            });
            assert!(used, "{room} names {package} and does not use it");
        }
    }
}

#[test]
fn device_crates_have_no_heap_no_unsafe_code_and_no_runtime() {
    for room in DEVICE_ROOMS {
        let lib = fs::read_to_string(root().join(room).join("src/lib.rs")).expect("a library");
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            assert!(lib.contains(attribute), "{room} lacks {attribute}");
        }
        for name in ["tokio", "embassy-executor", "alloc", "serde_json"] {
            assert!(!dependencies(room, false).contains(name), "{room} must not need {name}");
        }
        assert!(!dependencies(room, true).contains("embassy-sync"), "{room} must not need it by default");
        for (path, text) in sources_of(&format!("{room}/src")) {
            let heap = code(&text).find(|line| line.contains("extern crate alloc") || line.contains("alloc::"));
            assert_eq!(heap, None, "{}", path.display());
        }
    }
}

#[test]
fn every_package_has_the_licence_the_version_and_the_lints_of_the_workspace() {
    for (room, package, _) in ROOMS {
        let manifest = manifest(room);
        assert_eq!(manifest["package"]["name"].as_str(), Some(package));
        for field in ["version", "edition", "license"] {
            assert_eq!(manifest["package"][field]["workspace"].as_bool(), Some(true), "{room}: {field}");
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{room}: lints");
    }
}

#[test]
fn nothing_else_is_at_the_top() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "deny.toml",
        "agent",
        "pal",
        "jobs",
        "boot",
        "cloud",
        "examples",
        "tests",
        "docs",
        "target",
    ];
    for entry in fs::read_dir(root()).expect("the top") {
        let name = entry.expect("it can be listed").file_name().into_string().expect("a plain name");
        assert!(name.starts_with('.') || known.contains(&name.as_str()), "{name} is at the top");
    }
}
