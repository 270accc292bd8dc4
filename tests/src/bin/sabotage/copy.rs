//! The copy of the tree, in which the bugs are planted.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// Copies the files that git tracks or would add, and removes what an earlier copy has beyond them.
pub fn copy(top: &Path) -> Outcome<PathBuf> {
    let copy = top.join("target/sabotage/tree");
    let list = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(top).output()?;
    let list = String::from_utf8(list.stdout)?;
    let names: HashSet<&Path> = list.lines().map(Path::new).filter(|name| top.join(name).exists()).collect();
    remove_others(&copy, &copy, &names)?;
    for name in names {
        let (from, to) = (top.join(name), copy.join(name));
        fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
        // Written only where it differs, so that cargo builds again only what must be.
        let bytes = fs::read(&from)?;
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            fs::write(to, bytes)?;
        }
    }
    Ok(copy)
}

/// Removes the files of `folder` whose path from `copy` on is not among the names.
fn remove_others(copy: &Path, folder: &Path, names: &HashSet<&Path>) -> Outcome<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(copy, &path, names)?;
        } else if !names.contains(path.strip_prefix(copy)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Links what cargo built of other projects' crates into a new target folder, so that it is not built again.
pub fn share_dependencies(from: &Path, to: &Path) -> Outcome<()> {
    if to.exists() {
        return Ok(());
    }
    for folder in ["deps", "build", ".fingerprint"] {
        link_all(&from.join(folder), &to.join(folder))?;
    }
    Ok(())
}

fn link_all(from: &Path, to: &Path) -> Outcome<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("ota") || name.starts_with("libota") {
            continue;
        }
        match entry.is_dir() {
            true => link_all(&entry, &to)?,
            false => fs::hard_link(&entry, &to)?,
        }
    }
    Ok(())
}
