//! Reads the common name of a certificate, which is the thing's name.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::Ia5StringRef;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::name::Name;

/// Longest common name. Source: RFC 5280, ub-common-name is 64; AWS thing names have 128.
const NAME_BYTES_MAX: usize = 128;

/// Returns the first common name of the subject; `None` if it is missing, empty, too long or not a text string.
///
/// The certificate must have been verified before.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let name = text(certificate.tbs_certificate().subject())?;
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX).then_some(name)
}

/// Source: RFC 5280, appendix A.1: a common name is a DirectoryString. Some issuers write an IA5String.
fn text(subject: &Name) -> Option<String> {
    match subject.common_name() {
        Ok(name) => name.map(|name| name.value().into_owned()),
        Err(_) => subject.by_oid::<Ia5StringRef<'_>>(COMMON_NAME).ok()?.map(|name| name.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    fn certificate(name: Option<DnValue>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Some works");
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn read(name: &str) -> Option<String> {
        common_name(&certificate(Some(name.into())))
    }

    #[test]
    fn the_name_is_found_among_other_attributes() {
        assert_eq!(read("lamp-7"), Some("lamp-7".to_owned()));
        assert_eq!(common_name(&certificate(None)), None);
        let longest = "t".repeat(128);
        assert_eq!(read(&longest), Some(longest));
        assert_eq!((read(&"t".repeat(129)), read("")), (None, None));
    }

    #[test]
    fn each_string_type_of_text_is_read() {
        let printable = DnValue::PrintableString("lamp-7".try_into().unwrap());
        let ia5 = DnValue::Ia5String("lamp-7".try_into().unwrap());
        for name in [printable, ia5] {
            assert_eq!(common_name(&certificate(Some(name.clone()))).as_deref(), Some("lamp-7"), "{name:?}");
        }
    }

    #[test]
    fn a_cut_certificate_has_no_name() {
        let good = certificate(Some("lamp-7".into()));
        for cut in 0..good.len() {
            assert_eq!(common_name(&CertificateDer::from(&good[..cut])), None, "cut at {cut}");
        }
    }
}
