//! The cookie that carries the id of a session. Source: RFC 6265, and its successor's draft for `SameSite` and `__Host-`.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::limits::SESSION_LIFETIME;

/// The prefix makes a browser refuse the cookie unless it is secure and of this host only.
const NAME_TLS: &str = "__Host-ota-session";
const NAME_PLAIN: &str = "ota-session";

fn name(tls: bool) -> &'static str {
    if tls { NAME_TLS } else { NAME_PLAIN }
}

/// Returns the session id that a request carries.
pub fn session_id(headers: &HeaderMap, tls: bool) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name(tls)).map(|(_, id)| id)
}

/// `Set-Cookie` of a new session.
pub fn begin(id: &str, tls: bool) -> HeaderValue {
    line(id, SESSION_LIFETIME.as_secs(), tls)
}

/// `Set-Cookie` that removes the cookie.
pub fn end(tls: bool) -> HeaderValue {
    line("", 0, tls)
}

fn line(id: &str, seconds: u64, tls: bool) -> HeaderValue {
    let secure = if tls { "; Secure" } else { "" };
    let text = format!("{}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(tls));
    HeaderValue::from_str(&text).expect("an id is hexadecimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_hidden_from_scripts_and_other_sites_and_secure_under_tls() {
        let (plain, secure) = (begin("ab", false), begin("ab", true));
        assert_eq!(plain, "ota-session=ab; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
        assert_eq!(secure, "__Host-ota-session=ab; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure");
    }

    #[test]
    fn the_id_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xota-session=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=d;  ota-session=12"));
        assert_eq!((session_id(&headers, false), session_id(&headers, true)), (Some("12"), None));
    }
}
