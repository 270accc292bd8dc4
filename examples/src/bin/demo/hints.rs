//! What to type beside the demo: to check its sums, and for a next job. Lines that fit 80 columns wherever the folder
//! allows it.

use std::env;
use std::path::Path;

use ota_examples::device::Flash;
use ota_pal::Flash as _;

use crate::Protocol;

/// How the commands reach the service.
pub struct Service<'a> {
    /// Its URL.
    pub url: &'a str,
    /// Where its token lies.
    pub token: &'a Path,
    /// Who signs its certificate; `None` without TLS.
    pub ca: Option<&'a Path>,
}

/// The lines of a next job for `thing`.
pub fn next_job(service: &Service<'_>, ota: &Path, thing: &str, protocol: Protocol, image: &Path) -> Vec<String> {
    let mut lines = vec![
        format!("  export OTA_SERVER={}", service.url),
        format!("  export OTA_TOKEN_FILE={}", near(service.token)),
    ];
    lines.extend(service.ca.map(|ca| format!("  export OTA_CA={}", near(ca))));
    lines.push(format!("  {} job create --thing {thing} --id next-1 \\", near(ota)));
    lines.push(format!("    --protocol {} --image {}", protocol.name(), near(image)));
    lines
}

/// The line that sums up a file.
pub fn file_sum(file: &Path) -> String {
    format!("  sha256sum {}", near(file))
}

/// The lines that sum up `len_bytes` of a flash file, from the start of a slot on.
pub fn flash_sum(flash: &Path, offset_bytes: u32, len_bytes: usize) -> [String; 2] {
    // Slots start with a sector.
    let (sector, skip) = (Flash::ERASE_SIZE, offset_bytes as usize / Flash::ERASE_SIZE);
    [
        format!("  dd if={} bs={sector} skip={skip} \\", near(flash)),
        format!("    status=none | head -c {len_bytes} | sha256sum"),
    ]
}

/// A path as it is typed in the folder that the demo was started in.
pub fn near(path: &Path) -> String {
    let here = env::current_dir().ok();
    let path = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    quoted(&path.to_string_lossy())
}

/// Quoted where a shell would take it apart.
fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-+@,:=".contains(char);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_this_folder_is_short_and_a_strange_one_is_quoted() {
        let here = env::current_dir().expect("there is one");
        assert_eq!(near(&here.join("target/demo/ota")), "target/demo/ota");
        assert_eq!(near(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn the_flash_is_read_from_the_slot_on_and_no_further_than_the_image() {
        let lines = flash_sum(Path::new("/f"), 5 * 4096, 4097);
        assert_eq!(lines, ["  dd if=/f bs=4096 skip=5 \\", "    status=none | head -c 4097 | sha256sum"]);
    }
}
