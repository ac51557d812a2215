//! Addresses: the user's text with parameters added, and where a redirect leads.

use reqwest::Url;

use super::failure::Failure;
use super::request::{encode_fields, field_text};
use crate::datum::Object;

/// The address to ask for.
pub(super) fn full(url: &str, params: &Object) -> Result<Url, Failure> {
    let fields =
        params.iter().filter_map(|(name, value)| Some((name.as_ref(), field_text(value)?)));
    let params = encode_fields(fields);
    let mut text = url.to_owned();
    if !params.is_empty() {
        append(&mut text, &params);
    }
    if !text.contains("://") {
        text.insert_str(0, "http://");
    }
    checked(Url::parse(&text).map_err(|_| Failure::BadUrl)?)
}

/// Where a redirect leads.
pub(super) fn redirected(from: &Url, location: &str) -> Result<Url, Failure> {
    checked(from.join(location).map_err(|_| Failure::BadUrl)?)
}

/// Whether secrets meant for one may be told to the other.
pub(super) fn same_server(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

fn checked(url: Url) -> Result<Url, Failure> {
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        "http" | "https" => Err(Failure::BadUrl),
        _ => Err(Failure::BadScheme),
    }
}

/// Adds parameters to an address that may have some already, or lack the path before them.
fn append(url: &mut String, params: &str) {
    let question = url.rfind('?');
    let slash = url.rfind('/');
    match (question, slash) {
        (None, None) => url.push_str("/?"),
        (None, Some(_)) => url.push('?'),
        (Some(question), Some(slash)) if slash > question => url.push('?'),
        (Some(_), Some(_)) => url.push('&'),
        (Some(_), None) => url.push('&'),
    }
    url.push_str(params);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::Datum;

    fn built(url: &str) -> Option<String> {
        let Datum::Object(params) = Datum::object([("b", Datum::Number(2.0)), ("a", "x y".into())])
        else {
            return None;
        };
        full(url, &params).ok().map(String::from)
    }

    #[test]
    fn parameters_are_added() {
        let cases = [
            ("example.org", "http://example.org/?a=x%20y&b=2"),
            ("http://example.org", "http://example.org/?a=x%20y&b=2"),
            ("http://example.org/page", "http://example.org/page?a=x%20y&b=2"),
            ("http://example.org/page?id=0", "http://example.org/page?id=0&a=x%20y&b=2"),
            ("http://example.org/?id=0/page", "http://example.org/?id=0/page?a=x%20y&b=2"),
            ("https://[::1]:8080/x", "https://[::1]:8080/x?a=x%20y&b=2"),
        ];
        for (url, expected) in cases {
            assert_eq!(built(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn only_http_is_spoken() {
        let none = Object::empty();
        assert!(matches!(full("ftp://example.org/", &none), Err(Failure::BadScheme)));
        assert!(matches!(full("file:///etc/passwd", &none), Err(Failure::BadScheme)));
        assert!(matches!(full("http://", &none), Err(Failure::BadUrl)));
        assert!(matches!(full("", &none), Err(Failure::BadUrl)));
        let from = full("http://example.org/a/b?c", &none).expect("an address");
        assert!(matches!(redirected(&from, "ftp://x/"), Err(Failure::BadScheme)));
        let next = redirected(&from, "../d").expect("an address");
        assert_eq!(next.as_str(), "http://example.org/d");
        assert!(same_server(&from, &next));
        let other = redirected(&from, "http://example.org:81/").expect("an address");
        assert!(!same_server(&from, &other));
    }
}
