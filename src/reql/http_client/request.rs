//! What is asked of another server.
//! Knows no option of `r.http` by name.

use crate::datum::{Datum, Object, number_to_text};

/// A request, checked as far as it can be without sending it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to, as the user wrote it.
    pub url: String,
    /// Parameters that are added to the address: texts, numbers and nulls by name.
    pub params: Object,
    /// Header lines, `Name: value`.
    pub header: Vec<String>,
    /// The type of the body, unless a header line tells it.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
    /// Who asks.
    pub auth: Option<Auth>,
    /// How long the request may take, retries and redirects included, in milliseconds.
    pub timeout: u64,
    /// How often it is sent at most.
    pub attempts: u64,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Whether the server must prove who it is.
    pub verify: bool,
    /// How the body of the answer is read.
    pub format: ResultFormat,
}

/// The methods that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are HTTP's")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// How the body of an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultFormat {
    /// As its content type says.
    Auto,
    /// As text.
    Text,
    /// As JSON.
    Json,
    /// As the JSON inside of a call of a function.
    Jsonp,
    /// As bytes.
    Binary,
}

/// A name and its proof.
#[derive(Clone, Debug)]
pub struct Auth {
    /// How the proof is made.
    pub kind: AuthKind,
    /// The name.
    pub user: String,
    /// The secret.
    pub password: String,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// It tells its password.
    Basic,
    /// It shows that it knows its password.
    Digest,
}

impl Method {
    /// Reads its name.
    pub fn from_name(name: &str) -> Option<Method> {
        Some(match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl ResultFormat {
    /// Reads its name.
    pub fn from_name(name: &str) -> Option<ResultFormat> {
        Some(match name {
            "auto" => ResultFormat::Auto,
            "text" => ResultFormat::Text,
            "json" => ResultFormat::Json,
            "jsonp" => ResultFormat::Jsonp,
            "binary" => ResultFormat::Binary,
            _ => return None,
        })
    }
}

/// A parameter's or form field's text: numbers with all their digits, null as nothing; none for other types.
pub fn field_text(value: &Datum) -> Option<String> {
    match value {
        Datum::String(text) => Some(text.to_string()),
        Datum::Number(number) => Some(number_to_text(*number)),
        Datum::Null => Some(String::new()),
        _ => None,
    }
}

/// `name=value&name=value`, everything but letters, digits and `-._~` escaped.
pub fn encode_fields<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        escape(name, &mut text);
        text.push('=');
        escape(&value, &mut text);
    }
    text
}

fn escape(part: &str, out: &mut String) {
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_escaped() {
        let fields = [("a b", "ü&=".to_owned()), ("n", "1-._~".to_owned())];
        assert_eq!(encode_fields(fields.into_iter()), "a%20b=%C3%BC%26%3D&n=1-._~");
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(field_text(&Datum::Number(10.0)).as_deref(), Some("10"));
        assert_eq!(field_text(&Datum::Number(0.1)).as_deref(), Some("0.10000000000000000555"));
        assert_eq!(field_text(&Datum::Null).as_deref(), Some(""));
        assert_eq!(field_text(&Datum::Bool(true)), None);
    }
}
