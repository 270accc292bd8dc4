//! Generated names in AWS's format.

use ring::rand::{SecureRandom, SystemRandom};

/// Returns `AFR_OTA-` and a random UUID: 44 characters, AWS's format for the job and the stream of an update.
fn afr_ota() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system provides random numbers");
    // RFC 9562, section 5.4: version 4, variant 10.
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let text = hex::encode(bytes);
    format!("AFR_OTA-{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Returns a job id.
pub fn job_id() -> String {
    afr_ota()
}

/// Returns a stream name.
pub fn stream_name() -> String {
    afr_ota()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_length_and_the_charset_of_aws() {
        let name = stream_name();
        assert_eq!(name.len(), 44);
        assert!(name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)), "{name}");
        assert_eq!(&name[22..23], "4", "version 4");
        assert_ne!(name, stream_name());
    }
}
