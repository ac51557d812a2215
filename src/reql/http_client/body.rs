//! The body of a response: out of its encoding, into a value.

use std::borrow::Cow;
use std::io::Read;
use std::sync::LazyLock;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use regex::Regex;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

use super::ReadJson;
use super::failure::Failure;
use super::request::ResultFormat;
use crate::datum::Datum;
use crate::limits;

/// The body out of the encoding that the header names.
pub(super) fn decode(headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<u8>, String> {
    match lower(headers, CONTENT_ENCODING).as_str() {
        "" | "identity" | "none" => Ok(body),
        _ if body.is_empty() => Ok(body),
        "gzip" | "x-gzip" => read(MultiGzDecoder::new(body.as_slice())),
        // Some servers send the bare data that the name promises, most the form with a header that the standard asks for.
        "deflate" => match body.first() {
            Some(first) if first & 0x0f == 8 => read(ZlibDecoder::new(body.as_slice())),
            _ => read(DeflateDecoder::new(body.as_slice())),
        },
        _ => Err(BAD_ENCODING.to_owned()),
    }
}

/// The body as text, whatever it is.
pub(super) fn text(body: &[u8]) -> Datum {
    Datum::string(&lossy(body))
}

fn lossy(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// The body in the format asked for.
pub(super) fn to_datum(
    headers: &HeaderMap,
    body: &[u8],
    format: ResultFormat,
    json: ReadJson<'_>,
) -> Result<Datum, String> {
    match format {
        ResultFormat::Text => Ok(text(body)),
        ResultFormat::Binary => Ok(Datum::Binary(body.into())),
        ResultFormat::Json => json(&lossy(body)),
        ResultFormat::Jsonp => jsonp(&lossy(body), json),
        ResultFormat::Auto => auto(&lower(headers, CONTENT_TYPE), body, json),
    }
}

fn auto(content_type: &str, body: &[u8], json: ReadJson<'_>) -> Result<Datum, String> {
    let is = |kinds: &[&str]| kinds.iter().any(|kind| content_type.starts_with(kind));
    if is(&["application/json"]) {
        json(&lossy(body))
    } else if is(&["text/javascript", "application/json-p", "text/json-p"]) {
        let text = lossy(body);
        json(&text).or_else(|_| jsonp(&text, json)).or_else(|_| Ok(Datum::string(&text)))
    } else if is(&["audio/", "image/", "video/", "application/octet-stream"]) {
        Ok(Datum::Binary(body.into()))
    } else {
        Ok(text(body))
    }
}

/// `name(JSON);`, `object.name(JSON);`, `object["name"](JSON);`.
fn jsonp(text: &str, json: ReadJson<'_>) -> Result<Datum, String> {
    static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let letter = r"$_\p{Ll}\p{Lt}\p{Lu}\p{Lm}\p{Lo}\p{Nl}";
        let name = format!(r"\s*[{letter}][{letter}\p{{Mn}}\p{{Mc}}\p{{Nd}}\p{{Pc}}]*\s*");
        let member = format!(r#"(?:\.{name}|\[\s*['"].*['"]\s*\]\s*)?"#);
        Regex::new(&format!(r"\A{name}{member}\(((?s).*)\)\s*;?\s*\z")).ok()
    });
    let found = CALL.as_ref().and_then(|call| call.captures(text));
    match found.and_then(|found| found.get(1)) {
        Some(inner) => json(inner.as_str()),
        None => Err("failed to parse JSONP response".to_owned()),
    }
}

fn read(decoder: impl Read) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    // One more than allowed, to see that there is more.
    let bound = limits::FETCH_BODY_BYTES as u64 + 1;
    decoder.take(bound).read_to_end(&mut out).map_err(|_| BAD_ENCODING.to_owned())?;
    if out.len() > limits::FETCH_BODY_BYTES {
        return Err(Failure::TooLarge(limits::FETCH_BODY_BYTES).to_string());
    }
    Ok(out)
}

fn lower(headers: &HeaderMap, name: HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

const BAD_ENCODING: &str = "Unrecognized or bad HTTP Content or Transfer-Encoding";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use reqwest::header::HeaderValue;

    /// Enough of JSON for these tests.
    fn json(text: &str) -> Result<Datum, String> {
        match text.trim() {
            "[1]" => Ok(Datum::array(vec![Datum::Number(1.0)])),
            other => Err(format!("failed to parse JSON response: {other}")),
        }
    }

    fn header(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        headers
    }

    #[test]
    fn encodings_are_undone() {
        let level = Compression::fast();
        let mut gzip = GzEncoder::new(Vec::new(), level);
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        let mut bare = DeflateEncoder::new(Vec::new(), level);
        for encoder in [&mut gzip as &mut dyn Write, &mut zlib, &mut bare] {
            encoder.write_all(b"some text").expect("memory has room");
        }
        let bodies = [
            ("GZIP", gzip.finish().expect("an end")),
            ("deflate", zlib.finish().expect("an end")),
            ("deflate", bare.finish().expect("an end")),
            ("identity", b"some text".to_vec()),
        ];
        for (encoding, body) in bodies {
            let headers = header(CONTENT_ENCODING, encoding);
            assert_eq!(decode(&headers, body).as_deref(), Ok(&b"some text"[..]), "{encoding}");
        }
        for encoding in ["gzip", "deflate", "br"] {
            let headers = header(CONTENT_ENCODING, encoding);
            assert_eq!(decode(&headers, b"\x08no".to_vec()), Err(BAD_ENCODING.to_owned()));
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..=limits::FETCH_BODY_BYTES / zeros.len() {
            gzip.write_all(&zeros).expect("memory has room");
        }
        let packed = gzip.finish().expect("an end");
        assert!(packed.len() < 1 << 20);
        let error = decode(&header(CONTENT_ENCODING, "gzip"), packed).expect_err("it is too large");
        assert_eq!(
            error,
            format!("the response is larger than {} bytes", limits::FETCH_BODY_BYTES)
        );
    }

    #[test]
    fn content_types_choose() {
        let cases: [(&str, &str, &str); 8] = [
            ("application/json; charset=utf-8", "[1]", "[1]"),
            ("text/plain", "[1]", "\"[1]\""),
            ("", "[1]", "\"[1]\""),
            ("text/javascript", "[1]", "[1]"),
            ("text/javascript", " jq_1.f ( [1]) ; ", "[1]"),
            ("text/javascript", "x['a b']([1])", "[1]"),
            ("text/javascript", "var a = 1", "\"var a = 1\""),
            ("image/png", "abc", r#"{"$reql_type$":"BINARY","data":"YWJj"}"#),
        ];
        for (kind, body, expected) in cases {
            let read =
                to_datum(&header(CONTENT_TYPE, kind), body.as_bytes(), ResultFormat::Auto, &json);
            assert_eq!(read.map(|datum| datum.to_json()).as_deref(), Ok(expected), "{kind} {body}");
        }
        let jsonp = to_datum(&HeaderMap::new(), b"f(1", ResultFormat::Jsonp, &json);
        assert_eq!(jsonp.err().as_deref(), Some("failed to parse JSONP response"));
    }
}
