//! The common name of a certificate: which thing holds it.

use rustls::pki_types::CertificateDer;

/// `06 03 55 04 03`: the object identifier 2.5.4.3, commonName. Source: RFC 5280, appendix A.1.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// The string types that a common name comes in: UTF8String, PrintableString, IA5String.
const STRINGS: [u8; 3] = [0x0C, 0x13, 0x16];
/// Longest common name. Source: RFC 5280, ub-common-name is 64; AWS thing names have 128.
const NAME_BYTES_MAX: usize = 128;

/// The first common name of the subject; `None` if there is none, or it is empty, or not plain text.
///
/// The certificate has been verified already: this only reads it.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    read(certificate.subject())
}

/// Walks RDNs (SET) of attributes (SEQUENCE of type and value).
fn read(mut subject: &[u8]) -> Option<String> {
    while !subject.is_empty() {
        let (set, rest) = value(subject, 0x31)?;
        subject = rest;
        let mut attributes = set;
        while !attributes.is_empty() {
            let (attribute, rest) = value(attributes, 0x30)?;
            attributes = rest;
            if let Some(text) = attribute.strip_prefix(&COMMON_NAME) {
                return text_of(text);
            }
        }
    }
    None
}

fn text_of(bytes: &[u8]) -> Option<String> {
    let tag = *bytes.first().filter(|tag| STRINGS.contains(tag))?;
    let (text, _) = value(bytes, tag)?;
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then(|| text.to_owned())
}

/// Contents of the DER value at the start, which has this tag, and what follows it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&got, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(&len, rest)| (usize::from(len), rest))?,
        0x82 => rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        _ => return None,
    };
    (got == tag).then_some(())?;
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(name: Option<&str>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Some works");
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn the_name_is_found_among_other_attributes() {
        assert_eq!(common_name(&certificate(Some("lamp-7"))), Some("lamp-7".to_owned()));
        assert_eq!(common_name(&certificate(None)), None);
        let longest = "t".repeat(128);
        assert_eq!(common_name(&certificate(Some(&longest))), Some(longest));
        assert_eq!(common_name(&certificate(Some(&"t".repeat(129)))), None);
    }

    #[test]
    fn damaged_names_are_no_names_and_never_a_panic() {
        let good = [0x31, 0x0B, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x02, b'o', b'k'];
        assert_eq!(read(&good), Some("ok".to_owned()));
        for cut in 0..good.len() {
            assert_eq!(read(&good[..cut]), None, "cut at {cut}");
        }
        let huge = [0x31, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00];
        assert_eq!(read(&huge), None);
    }
}
