//! Digest authentication (RFC 7616, and RFC 2069 of servers that name no `qop`): MD5 and SHA-256, with and without
//! `-sess`.

use md5::{Digest, Md5};
use ring::rand::{SecureRandom, SystemRandom};

use super::request::Auth;

/// What a server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    hash: Hash,
    session: bool,
    /// Whether the answer counts its uses.
    counted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header; none when it asks for something else, or in a way that is not known.
    pub(super) fn read(header: &str) -> Option<Challenge> {
        let header = header.trim();
        let (scheme, rest) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let fields = fields(rest);
        let field = |name: &str| {
            fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
        };
        let algorithm = field("algorithm").unwrap_or_else(|| "MD5".to_owned());
        let (hash, session) = match algorithm.to_ascii_uppercase().as_str() {
            "MD5" => (Hash::Md5, false),
            "MD5-SESS" => (Hash::Md5, true),
            "SHA-256" => (Hash::Sha256, false),
            "SHA-256-SESS" => (Hash::Sha256, true),
            _ => return None,
        };
        let counted = match field("qop") {
            None => false,
            Some(kinds) if kinds.split(',').any(|kind| kind.trim() == "auth") => true,
            Some(_) => return None,
        };
        Some(Challenge {
            realm: field("realm")?,
            nonce: field("nonce")?,
            opaque: field("opaque"),
            hash,
            session,
            counted,
        })
    }

    /// The `Authorization` header for a request. None when there is no randomness to be had.
    pub(super) fn answer(&self, auth: &Auth, method: &str, uri: &str) -> Option<String> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).ok()?;
        Some(self.answer_with(auth, method, uri, &hex(&random)))
    }

    fn answer_with(&self, auth: &Auth, method: &str, uri: &str, own: &str) -> String {
        let hash = |text: String| self.hash.of(text.as_bytes());
        let Challenge { realm, nonce, .. } = self;
        let mut secret = hash(format!("{}:{realm}:{}", auth.user, auth.password));
        if self.session {
            secret = hash(format!("{secret}:{nonce}:{own}"));
        }
        let asked = hash(format!("{method}:{uri}"));
        let response = if self.counted {
            hash(format!("{secret}:{nonce}:00000001:{own}:auth:{asked}"))
        } else {
            hash(format!("{secret}:{nonce}:{asked}"))
        };
        let mut text = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
            quoted(&auth.user),
            quoted(realm),
            quoted(nonce),
        );
        text.push_str(match self.hash {
            Hash::Md5 if self.session => ", algorithm=MD5-sess",
            Hash::Md5 => ", algorithm=MD5",
            Hash::Sha256 if self.session => ", algorithm=SHA-256-sess",
            Hash::Sha256 => ", algorithm=SHA-256",
        });
        if self.counted {
            text.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{own}\""));
        } else if self.session {
            text.push_str(&format!(", cnonce=\"{own}\""));
        }
        if let Some(opaque) = &self.opaque {
            text.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        text
    }
}

impl Hash {
    fn of(self, bytes: &[u8]) -> String {
        match self {
            Hash::Md5 => hex(&Md5::digest(bytes)),
            Hash::Sha256 => hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// `name=value, name="value"`, names in lower case. What cannot be read ends it.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace());
        let (value, after) = value(after.trim_start());
        fields.push((name.to_ascii_lowercase(), value));
        rest = after;
    }
    fields
}

fn value(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, inner.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::http_client::AuthKind;

    fn auth(user: &str, password: &str) -> Auth {
        Auth { kind: AuthKind::Digest, user: user.to_owned(), password: password.to_owned() }
    }

    /// The examples of RFC 7616, 3.9.1.
    #[test]
    fn the_standards_examples() {
        let ask = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let own = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let mufasa = auth("Mufasa", "Circle of Life");
        let answer = |algorithm: &str| {
            let challenge = Challenge::read(&ask(algorithm)).expect("a challenge");
            challenge.answer_with(&mufasa, "GET", "/dir/index.html", own)
        };
        assert!(answer("MD5").contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
        let sha = "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"";
        assert!(answer("SHA-256").contains(sha));
        assert!(answer("MD5").contains("qop=auth, nc=00000001"));
    }

    /// The example of RFC 2069, with its response as corrected by the errata.
    #[test]
    fn a_server_without_qop() {
        let ask = "Digest realm=\"testrealm@host.com\", \
                   nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c\"";
        let challenge = Challenge::read(ask).expect("a challenge");
        let text =
            challenge.answer_with(&auth("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", "");
        assert!(text.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{text}");
        assert!(!text.contains("qop"));
    }

    #[test]
    fn other_questions_are_not_answered() {
        assert_eq!(Challenge::read("Basic realm=\"x\""), None);
        assert_eq!(Challenge::read("Digest realm=\"x\""), None);
        assert_eq!(Challenge::read("Digest realm=\"x\", nonce=\"y\", algorithm=TIGER"), None);
        assert_eq!(Challenge::read("Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\""), None);
        assert_eq!(Challenge::read("Digest"), None);
        let odd = Challenge::read("digest Realm=\"a \\\"b\\\", c\" ,nonce=y").expect("a challenge");
        assert_eq!((odd.realm.as_str(), odd.nonce.as_str()), ("a \"b\", c", "y"));
    }
}
