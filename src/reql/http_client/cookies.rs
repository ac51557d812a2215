//! Cookies of one request and of those that follow it: redirects, retries, pages. They go with the query.

use std::net::IpAddr;
use std::time::SystemTime;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};

use crate::limits;

/// What servers asked to be told again.
#[derive(Clone, Debug, Default)]
pub struct Cookies {
    kept: Vec<Cookie>,
}

#[derive(Clone, Debug)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Whether hosts below the domain are told as well.
    wide: bool,
    path: String,
    secure: bool,
}

impl Cookies {
    /// Keeps what a response from this address sets.
    pub(super) fn store(&mut self, url: &Url, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let Some((cookie, over)) = line.to_str().ok().and_then(|line| Cookie::read(url, line))
            else {
                continue;
            };
            self.kept.retain(|kept| !kept.is_same(&cookie));
            if !over && self.kept.len() < limits::FETCH_COOKIES {
                self.kept.push(cookie);
            }
        }
    }

    /// The header for a request to this address; `own` is what the user wants to tell.
    pub(super) fn header(&self, url: &Url, own: Option<&HeaderValue>) -> Option<HeaderValue> {
        let told = self.kept.iter().filter(|cookie| cookie.is_for(url));
        let mut parts: Vec<String> =
            told.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        if parts.is_empty() {
            return None;
        }
        if let Some(own) = own.and_then(|own| own.to_str().ok()) {
            parts.insert(0, own.to_owned());
        }
        HeaderValue::from_str(&parts.join("; ")).ok()
    }
}

impl Cookie {
    /// Reads a `Set-Cookie` line; true with it when the cookie is to be forgotten.
    fn read(url: &Url, line: &str) -> Option<(Cookie, bool)> {
        if line.len() > limits::FETCH_COOKIE_BYTES {
            return None;
        }
        let host = url.host_str()?.to_ascii_lowercase();
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        if name.trim().is_empty() {
            return None;
        }
        let mut cookie = Cookie {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            domain: host.clone(),
            wide: false,
            path: default_path(url),
            secure: false,
        };
        let mut expired = false;
        let mut age = None;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "secure" => cookie.secure = true,
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "max-age" => age = value.parse::<i64>().ok().or(age),
                "expires" => {
                    let end = httpdate::parse_http_date(value);
                    expired = end.is_ok_and(|end| end <= SystemTime::now());
                }
                "domain" if !value.is_empty() => {
                    cookie.domain = value.trim_start_matches('.').to_ascii_lowercase();
                    cookie.wide = true;
                }
                _ => {}
            }
        }
        // A server may speak for its own host and for domains above it, but not for a top-level one.
        let allowed = cookie.domain == host
            || (cookie.domain.contains('.') && is_below(&host, &cookie.domain));
        allowed.then_some((cookie, age.map_or(expired, |age| age <= 0)))
    }

    fn is_same(&self, other: &Cookie) -> bool {
        self.name == other.name && self.domain == other.domain && self.path == other.path
    }

    fn is_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let host_fits = host == self.domain || (self.wide && is_below(&host, &self.domain));
        let path = url.path();
        let path_fits = match path.strip_prefix(self.path.as_str()) {
            Some(rest) => rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'),
            None => false,
        };
        host_fits && path_fits && (!self.secure || url.scheme() == "https")
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.parse::<IpAddr>().is_err()
        && host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

/// The folder of the address's path.
fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(end) => url.path().get(..end).unwrap_or("/").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str], from: &str, to: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SET_COOKIE, HeaderValue::from_str(line).expect("a header"));
        }
        let mut cookies = Cookies::default();
        cookies.store(&Url::parse(from).expect("an address"), &headers);
        let header = cookies.header(&Url::parse(to).expect("an address"), None)?;
        header.to_str().ok().map(str::to_owned)
    }

    #[test]
    fn cookies_go_back_to_where_they_came_from() {
        let home = "http://a.example.org/x/y";
        let told = |lines: &[&str], to: &str| after(lines, home, to);
        assert_eq!(told(&["k=v; HttpOnly", "l=w"], home).as_deref(), Some("k=v; l=w"));
        assert_eq!(told(&["k=v"], "http://b.example.org/x/y"), None);
        assert_eq!(told(&["k=v"], "http://a.example.org/"), None);
        assert_eq!(told(&["k=v"], "http://a.example.org/xx"), None);
        assert_eq!(told(&["k=v; Path=/"], "http://a.example.org/").as_deref(), Some("k=v"));
        let wide = ["k=v; Domain=.example.org; Path=/"];
        assert_eq!(told(&wide, "http://b.example.org/").as_deref(), Some("k=v"));
        assert_eq!(told(&wide, "http://badexample.org/"), None);
        assert_eq!(told(&["k=v; Domain=org; Path=/"], home), None);
        assert_eq!(told(&["k=v; Domain=other.org; Path=/"], home), None);
        assert_eq!(told(&["k=v; Secure"], home), None);
        assert_eq!(told(&["k=v; Secure"], "https://a.example.org/x/").as_deref(), Some("k=v"));
    }

    #[test]
    fn cookies_are_replaced_and_forgotten() {
        let home = "http://example.org/";
        assert_eq!(after(&["k=v", "k=w"], home, home).as_deref(), Some("k=w"));
        assert_eq!(after(&["k=v", "k=; Max-Age=0"], home, home), None);
        let past = "k=; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(after(&["k=v", past], home, home), None);
        assert_eq!(after(&["=v", "nothing", ""], home, home), None);
        let many: Vec<String> = (0..1000).map(|i| format!("k{i}=v")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let told = after(&many, home, home).expect("some are kept");
        assert_eq!(told.matches('=').count(), limits::FETCH_COOKIES);
    }
}
