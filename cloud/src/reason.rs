//! Finds the reason that a text names: a code or a name, as devices report them and as people write them.

use ota_jobs::Reason;

/// The reason with this code, hexadecimal or decimal, or this name.
pub fn find(text: &str) -> Option<Reason> {
    let prefixed = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let hexadecimal = u16::from_str_radix(prefixed.unwrap_or(text), 16).ok().and_then(Reason::from_code);
    // No decimal code is the hexadecimal one of another reason; a test checks it.
    let decimal = || text.parse().ok().and_then(Reason::from_code);
    let named = || Reason::all().find(|reason| reason.name().eq_ignore_ascii_case(text));
    hexadecimal.or_else(decimal).or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_code_and_by_its_name() {
        for text in ["0x0305", "0X0305", "0305", "305", "773", "HttpForbidden", "httpforbidden"] {
            assert_eq!(find(text), Some(Reason::HttpForbidden), "{text}");
        }
        for text in ["", "0x", "0x0399", "99999", "Forbidden", "x0305"] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn each_form_of_a_code_is_of_one_reason() {
        for reason in Reason::all() {
            let code = reason.code();
            for text in [format!("{code:#06x}"), format!("{code:04X}"), format!("{code:x}"), code.to_string()] {
                assert_eq!(find(&text), Some(reason), "{text}");
            }
        }
    }
}
