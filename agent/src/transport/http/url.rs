//! URLs of images, and the servers that a job document may name.

use ota_jobs::Reason;

/// The longest host name. Source: RFC 1035, 2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// The parts of an absolute http or https URL. The fragment is not kept: servers do not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'u> {
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// The host name or address; an IPv6 address without its brackets.
    pub host: &'u str,
    /// The port; 443 or 80 by default.
    pub port: u16,
    /// Path and query, or a query alone; `/` if the URL has neither.
    pub target: &'u str,
}

impl<'u> Url<'u> {
    /// Parses an absolute http or https URL. One with a user name is refused.
    ///
    /// Errors: [`Reason::UrlNotAllowed`].
    pub fn parse(url: &'u str) -> Result<Self, Reason> {
        Self::split(url).ok_or(Reason::UrlNotAllowed)
    }

    fn split(url: &'u str) -> Option<Self> {
        let (tls, rest) = match strip(url, "https://") {
            Some(rest) => (true, rest),
            None => (false, strip(url, "http://")?),
        };
        let (authority, target) = rest.split_at(end(rest.as_bytes(), b"/?#"));
        let target = &target[..end(target.as_bytes(), b"#")];
        let (host, port) = match authority.strip_prefix('[') {
            Some(address) => address.split_at_checked(end(address.as_bytes(), b"]")).and_then(|(host, rest)| {
                let is_address = host.contains(':') && host.bytes().all(|byte| b":.%".contains(&byte) || is_word(byte));
                is_address.then_some((host, rest.strip_prefix(']')?))
            })?,
            None => authority.split_at(end(authority.as_bytes(), b":")),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Self::default_port(tls),
            Some("") => Self::default_port(tls),
            port => port?.parse().ok()?,
        };
        let is_host = (1..=HOST_BYTES_MAX).contains(&host.len()) && !host.contains('@');
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let target = if target.is_empty() { "/" } else { target };
        (is_host && is_plain(host) && is_plain(target)).then_some(Self { tls, host, port, target })
    }

    /// The port of the scheme.
    pub fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }

    /// How many bytes of `url`, a valid one, go before `location`, to which a server redirects: 0 if that is absolute. Segments
    /// of dots are left to the server. Source: RFC 3986, 5.2.2.
    ///
    /// Errors: [`Reason::HttpRedirectRefused`] for an empty location, and for one without a slash at a URL without a path.
    pub fn base_bytes(url: &str, location: &str) -> Result<usize, Reason> {
        let (url, location) = (url.as_bytes(), location.as_bytes());
        let scheme = end(url, b":") + ":".len();
        let authority = scheme + "//".len();
        let origin = authority + end(&url[authority..], b"/?#");
        let path = origin + end(&url[origin..], b"?#");
        match location {
            [b'/', b'/', ..] => Ok(scheme),
            [b'/', ..] => Ok(origin),
            [b'?', ..] => Ok(path),
            _ if location.get(end(location, b":/?#")) == Some(&b':') => Ok(0),
            [] => Err(Reason::HttpRedirectRefused),
            _ => {
                let slash = url[origin..path].iter().rposition(|byte| *byte == b'/');
                slash.map(|slash| origin + slash + 1).ok_or(Reason::HttpRedirectRefused)
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Strips a prefix, in any case.
fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The position of the first of these bytes; the length if there is none.
#[inline(never)] // for size
fn end(text: &[u8], stops: &[u8]) -> usize {
    text.iter().position(|byte| stops.contains(byte)).unwrap_or(text.len())
}

/// The servers that a job document may name.
#[derive(Clone, Copy, Debug)]
pub struct AllowedHosts<'a> {
    /// Host names, in any case; one that starts with a dot matches its subdomains. An IPv6 address has no brackets.
    pub names: &'a [&'a str],
    /// Whether http without TLS is allowed: only for a server on the same machine.
    pub plain: bool,
}

impl AllowedHosts<'_> {
    /// Whether an image may be downloaded from `url`. A client asks for each request, also for one after a redirect.
    pub fn allow(&self, url: &Url<'_>) -> bool {
        let host = url.host.as_bytes();
        let named = |name: &&str| match name.strip_prefix('.') {
            Some(_) => host.len() > name.len() && host[host.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes()),
            None => host.eq_ignore_ascii_case(name.as_bytes()),
        };
        (url.tls || self.plain) && self.names.iter().any(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn parts(url: &str) -> (bool, &str, u16, &str) {
        let Url { tls, host, port, target } = Url::parse(url).expect(url);
        (tls, host, port, target)
    }

    #[test]
    fn a_url_is_split_into_its_parts() {
        let presigned = "https://bucket.s3.amazonaws.com/v2.bin?X-Amz-Expires=60&a=b";
        assert_eq!(parts(presigned), (true, "bucket.s3.amazonaws.com", 443, "/v2.bin?X-Amz-Expires=60&a=b"));
        for (url, expected) in [
            ("http://localhost:8080", (false, "localhost", 8080, "/")),
            ("HTTP://Images.Example/a", (false, "Images.Example", 80, "/a")),
            ("https://a?b=c/d", (true, "a", 443, "?b=c/d")),
            ("https://a/b?c#d", (true, "a", 443, "/b?c")),
            ("https://a#b/c", (true, "a", 443, "/")),
            ("https://a:/b", (true, "a", 443, "/b")),
            ("https://[2001:db8::1]/b", (true, "2001:db8::1", 443, "/b")),
            ("http://[::1]:8080?b", (false, "::1", 8080, "?b")),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn a_text_that_is_no_such_url_is_refused() {
        for bad in [
            "",
            "ftp://a/b",
            "https:/a/b",
            "https://",
            "https://:1/",
            "https://a:b/",
            "https://a:70000/",
            "https://u@a/",
            "https://a/\r\nX: y",
            "https://a b/",
            "https://[::1/",
            "https://[]/",
            "https://[a]/",
            "https://[::1]1/",
            "https://[::1@a]/",
            "https://[::1!]/",
        ] {
            assert_eq!(Url::parse(bad), Err(Reason::UrlNotAllowed), "{bad}");
        }
        let host = |len| format!("https://{}/", "h".repeat(len));
        assert!(Url::parse(&host(253)).is_ok() && Url::parse(&host(254)).is_err());
    }

    #[test]
    fn a_location_is_relative_to_the_url_as_in_rfc_3986() {
        let resolved =
            |url: &str, location: &str| Url::base_bytes(url, location).map(|len| format!("{}{location}", &url[..len]));
        for (location, url) in [
            ("https://c/d", "https://c/d"),
            ("HTTP://c", "HTTP://c"),
            ("//c:2/d", "https://c:2/d"),
            ("/d/e?f", "https://a:1/d/e?f"),
            ("?f/g", "https://a:1/b/c/d?f/g"),
            ("e.img", "https://a:1/b/c/e.img"),
            ("e/f:g", "https://a:1/b/c/e/f:g"),
            ("./e", "https://a:1/b/c/./e"),
        ] {
            assert_eq!(resolved("https://a:1/b/c/d?x=/y#z", location).as_deref(), Ok(url), "{location}");
        }
        assert_eq!(resolved("http://[::1]:8080?b", "/c").as_deref(), Ok("http://[::1]:8080/c"));
        assert_eq!(resolved("http://[::1]:8080?b/c", "?d").as_deref(), Ok("http://[::1]:8080?d"));
        assert_eq!(resolved("http://a/b", "c").as_deref(), Ok("http://a/c"));
        for (url, location) in [("http://a", "c"), ("http://a?b/c", "d"), ("https://a/b", "")] {
            assert_eq!(resolved(url, location), Err(Reason::HttpRedirectRefused), "{url} {location}");
        }
    }

    #[test]
    fn a_job_document_cannot_send_the_device_to_a_server_that_is_not_named() {
        let hosts = AllowedHosts { names: &[".amazonaws.com", "Updates.example", "::1"], plain: false };
        let allow = |url| hosts.allow(&Url::parse(url).expect("a URL"));
        for url in [
            "https://b.s3.amazonaws.com/x",
            "https://updates.example/x",
            "https://B.S3.AmazonAWS.com/",
            "https://[::1]/",
        ] {
            assert!(allow(url), "{url}");
        }
        for url in [
            "https://evil.example/x",
            "https://evilamazonaws.com/x",
            "https://.amazonaws.com/x",
            "https://amazonaws.com.evil/",
            "http://updates.example/x",
        ] {
            assert!(!allow(url), "{url}");
        }
    }
}
