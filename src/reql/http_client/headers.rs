//! Header lines: those of a request from the user's text, those of a response as a value.

use std::sync::{Arc, LazyLock};

use regex::Regex;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use super::failure::Failure;
use super::request::Request;
use crate::datum::{Datum, ObjectBuilder};

/// How the server calls itself.
const AGENT: &str = concat!("PhotonDB/", env!("CARGO_PKG_VERSION"));

/// The header of a request: ours, overridden by the user's lines. `Name:` takes a line away, `Name;` sends it empty.
pub(super) fn for_request(request: &Request) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("deflate;q=1, gzip;q=0.5"));
    if let Some(content_type) = request.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let mut own = HeaderMap::new();
    for line in request.header.iter().filter(|line| !line.trim().is_empty()) {
        let bad = || Failure::BadHeader(line.clone());
        let (name, value) = match (line.split_once(':'), line.strip_suffix(';')) {
            (Some((name, value)), _) => {
                (name, Some(value.trim()).filter(|value| !value.is_empty()))
            }
            (None, Some(name)) => (name, Some("")),
            (None, None) => return Err(bad()),
        };
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
        headers.remove(&name);
        if let Some(value) = value {
            own.append(name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?);
        }
    }
    headers.extend(own);
    Ok(headers)
}

/// A response's header as an object of texts. Of lines of one name the last counts; links are an object by what they
/// say of themselves (`rel="next"`).
pub(super) fn to_datum(headers: &HeaderMap) -> Result<Datum, String> {
    let mut object = ObjectBuilder::new();
    let mut links = ObjectBuilder::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == "link" {
            read_links(&value, &mut links)?;
        } else {
            object.insert(Arc::from(name.as_str()), Datum::string(&value));
        }
    }
    if !links.is_empty() {
        object.insert(Arc::from("link"), Datum::Object(links.build()));
    }
    Ok(Datum::Object(object.build()))
}

/// `<address>; parameter, <address>; parameter`. RethinkDB's reading: each link has a parameter, and none has a comma.
fn read_links(line: &str, links: &mut ObjectBuilder) -> Result<(), String> {
    static LINK: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^\s*<([^>]*)>\s*(?:;\s*([^,]+)\s*(?:,|$))").ok());
    let mut rest = line;
    while let Some(found) = LINK.as_ref().and_then(|link| link.captures(rest)) {
        let part = |i| found.get(i).map_or("", |part| part.as_str());
        links.insert(Arc::from(part(2)), Datum::string(part(1)));
        rest = found.get(0).and_then(|whole| rest.get(whole.end()..)).unwrap_or_default();
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(format!("failed to parse link header line: '{line}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_str(value).expect("a header");
            headers.append(HeaderName::from_static(name), value);
        }
        to_datum(&headers).map(|datum| datum.to_json())
    }

    #[test]
    fn links_are_read() {
        let line = "<http://x/?page=2>; rel=\"next\", <http://x/?page=9>; rel=\"last\"";
        let json = r#"{"link":{"rel=\"last\"":"http://x/?page=9","rel=\"next\"":"http://x/?page=2"},"x":"2"}"#;
        assert_eq!(read(&[("link", line), ("x", "1"), ("x", "2")]).as_deref(), Ok(json));
        assert_eq!(read(&[]).as_deref(), Ok("{}"));
        let text = "failed to parse link header line: '<http://x/>'".to_owned();
        assert_eq!(read(&[("link", "<http://x/>")]), Err(text));
    }
}
