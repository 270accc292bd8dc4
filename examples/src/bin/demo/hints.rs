//! Commands for the user: to check digests, to create another job, and to open the console. Lines fit into 80 columns if the paths are short.

use std::env;
use std::path::Path;

use ota_examples::device::Flash;
use ota_pal::Flash as _;

use crate::Protocol;

/// How the commands reach the service.
pub struct Service<'a> {
    /// Its URL.
    pub url: &'a str,
    /// Path of its token.
    pub token: &'a Path,
    /// CA certificate of the service; `None` without TLS.
    pub ca: Option<&'a Path>,
}

/// Returns the commands that create a job for `thing`.
pub fn next_job(service: &Service<'_>, ota: &Path, thing: &str, protocol: Protocol, image: &Path) -> Vec<String> {
    let mut lines = vec![
        format!("  export OTA_SERVER={}", service.url),
        format!("  export OTA_TOKEN_FILE={}", relative(service.token)),
    ];
    lines.extend(service.ca.map(|ca| format!("  export OTA_CA={}", relative(ca))));
    lines.push(format!("  {} job create --thing {thing} --id next-1 \\", relative(ota)));
    lines.push(format!("    --protocol {} --image {}", protocol.name(), relative(image)));
    lines
}

/// Returns where the console is, and how to sign in.
pub fn console(service: &Service<'_>) -> Vec<String> {
    let mut lines = vec![
        "The same in a browser: sign in with the line in the file of the token.".to_owned(),
        format!("  {}/", service.url),
        format!("  cat {}", relative(service.token)),
    ];
    lines.extend(service.ca.map(|_| "The browser warns: it does not trust the certificates of this demo.".to_owned()));
    lines
}

/// Returns the command that prints the digest of a file.
pub fn file_digest(file: &Path) -> String {
    format!("  sha256sum {}", relative(file))
}

/// Returns the command that prints the digest of `len_bytes` of a flash file from the start of a slot.
pub fn flash_digest(flash: &Path, offset_bytes: u32, len_bytes: usize) -> [String; 2] {
    // Slots start at a sector boundary.
    let (sector, skip) = (Flash::ERASE_SIZE, offset_bytes as usize / Flash::ERASE_SIZE);
    [
        format!("  dd if={} bs={sector} skip={skip} \\", relative(flash)),
        format!("    status=none | head -c {len_bytes} | sha256sum"),
    ]
}

/// Returns a path relative to the current folder if possible.
pub fn relative(path: &Path) -> String {
    let here = env::current_dir().ok();
    let path = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    quote(&path.to_string_lossy())
}

/// Quotes the text if a shell would split it.
fn quote(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-+@,:=".contains(char);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_this_folder_is_short_and_a_strange_one_is_quoted() {
        let here = env::current_dir().expect("there is one");
        assert_eq!(relative(&here.join("target/demo/ota")), "target/demo/ota");
        assert_eq!(relative(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn the_flash_is_read_from_the_slot_on_and_no_further_than_the_image() {
        let lines = flash_digest(Path::new("/f"), 5 * 4096, 4097);
        assert_eq!(lines, ["  dd if=/f bs=4096 skip=5 \\", "    status=none | head -c 4097 | sha256sum"]);
    }
}
