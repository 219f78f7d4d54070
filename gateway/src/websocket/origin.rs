//! Which pages may call, over HTTP and over a socket alike. A browser tells the page's origin and a page cannot forge it.
//!
//! The token is not a cookie, so a foreign page has nothing to ride on; this is a second lock. A page of the same host
//! name may always call, whatever its port. Behind a proxy that changes Host, the proxy's X-Forwarded-Host counts too:
//! a page cannot set that header on a socket, and over HTTP only after a preflight that allows it, which ours never does.
//! Callers without an Origin are no browsers and pass.

use axum::http::{HeaderMap, HeaderName, header};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Origins that may call besides our own host.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<String>,
}

impl AllowedOrigins {
    /// From the configuration; `*` allows all.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        let named = origins
            .iter()
            .map(|origin| origin.trim().trim_end_matches('/'))
            .filter(|origin| !origin.is_empty());
        let listed: Vec<String> = named.map(str::to_ascii_lowercase).collect();
        Self { any: listed.iter().any(|origin| origin == "*"), listed }
    }

    /// Whether a page of this origin was named in the configuration.
    fn lists(&self, origin: &str) -> bool {
        self.any || self.listed.contains(&origin.to_ascii_lowercase())
    }

    /// Whether the sender of these headers may call.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.lists(origin) {
            return true;
        }
        let Some(page) = host_of_origin(origin) else { return false };
        [header::HOST, FORWARDED_HOST]
            .iter()
            .filter_map(|name| headers.get(name)?.to_str().ok())
            .any(|host| host_name(host).eq_ignore_ascii_case(page))
    }
}

fn host_of_origin(origin: &str) -> Option<&str> {
    let (_, authority) = origin.split_once("://")?;
    Some(host_name(authority)).filter(|host| !host.is_empty())
}

/// Without the port; the colons of an IPv6 address are inside brackets.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(configured: &[&str], headers: &[(&str, &str)]) -> bool {
        let configured: Vec<String> = configured.iter().map(|&origin| origin.to_owned()).collect();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        AllowedOrigins::new(&configured).allows(&headers.collect::<HeaderMap>())
    }

    #[test]
    fn our_own_pages_and_programs_may_call() {
        assert!(allows(&[], &[("host", "quotes.example:3000")]));
        for origin in ["http://quotes.example:3000", "https://quotes.example", "http://QUOTES.example:5173"] {
            assert!(allows(&[], &[("host", "quotes.example:3000"), ("origin", origin)]), "{origin}");
        }
        assert!(allows(&[], &[("host", "[::1]:3000"), ("origin", "http://[::1]:5173")]));
        assert!(allows(
            &[],
            &[("host", "backend"), ("x-forwarded-host", "api.example"), ("origin", "https://api.example")]
        ));
    }

    #[test]
    fn foreign_pages_may_not_unless_listed() {
        for origin in
            ["https://evil.example", "null", "", "https://quotes.example.evil.example", "file://", "://"]
        {
            assert!(!allows(&[], &[("host", "quotes.example"), ("origin", origin)]), "{origin}");
        }
        let foreign = [("host", "quotes.example"), ("origin", "https://erp.example")];
        assert!(allows(&["https://erp.example/"], &foreign));
        assert!(allows(&["*"], &foreign));
        assert!(!allows(&["https://erp.example:8443"], &foreign));
    }
}
