//! SCRAM-SHA-256 (RFC 5802, RFC 7677) from the server's side: stored credentials, and the two messages of a login.
//! Knows nothing of JSON and connections.
//!
//! The `scram` crate is not used: its server wants the salted password, which is as good as the password, where
//! this one stores only what verifies a proof; it draws its own nonce; its errors do not tell apart what RethinkDB
//! gives different numbers; and it brings a second, old `ring`.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::{HandshakeError, NONCE_SIZE};

/// Bytes of a salt.
pub const SALT_SIZE: usize = 16;

/// Rounds of hashing for a new password, RethinkDB's number. Users that do not exist show it too.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// Base64 of `n,,`: the client knows of no channel binding.
const NO_CHANNEL_BINDING: &str = "biws";

/// What the server keeps of a password: enough to verify it, not enough to log in elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredentials {
    /// Random, one for each password.
    pub salt: [u8; SALT_SIZE],
    /// Rounds of hashing.
    pub iterations: NonZeroU32,
    /// Verifies the client's proof.
    pub stored_key: [u8; 32],
    /// Proves to the client that the server knows the user.
    pub server_key: [u8; 32],
}

/// Where users are found.
pub trait UserLookup {
    /// What is stored for a user's password, or none if there is no such user.
    fn credentials(&self, user: &str) -> Option<ScramCredentials>;

    /// A secret of this server, the same at every call. The salts shown for users that do not exist come from it,
    /// so that nobody can tell them from salts of users that do.
    fn secret(&self) -> &[u8];
}

impl ScramCredentials {
    /// Hashes a password. Takes as long as the iterations ask for.
    pub fn from_password(
        password: &[u8],
        salt: [u8; SALT_SIZE],
        iterations: NonZeroU32,
    ) -> ScramCredentials {
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut salted);
        let client_key = keyed_hash(&salted, &[b"Client Key"]);
        ScramCredentials {
            salt,
            iterations,
            stored_key: hash(&client_key),
            server_key: keyed_hash(&salted, &[b"Server Key"]),
        }
    }

    /// Whether this is the password. Takes as long as the iterations ask for.
    pub fn is_password(&self, password: &[u8]) -> bool {
        let given = ScramCredentials::from_password(password, self.salt, self.iterations);
        same(&given.stored_key, &self.stored_key)
    }

    /// Credentials that no password fits, the same for the same name.
    fn of_nobody(user: &str, secret: &[u8]) -> ScramCredentials {
        let part = |name: &[u8]| keyed_hash(secret, &[name, b" of ", user.as_bytes()]);
        let mut salt = [0; SALT_SIZE];
        for (to, from) in salt.iter_mut().zip(part(b"salt")) {
            *to = from;
        }
        ScramCredentials {
            salt,
            iterations: DEFAULT_ITERATIONS,
            stored_key: part(b"stored key"),
            server_key: part(b"server key"),
        }
    }
}

impl std::fmt::Debug for ScramCredentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScramCredentials").finish_non_exhaustive()
    }
}

/// A login between the server's first message and the client's last.
#[derive(Debug)]
pub(super) struct Login {
    user: String,
    known: bool,
    credentials: ScramCredentials,
    /// The client's nonce with the server's behind it.
    nonce: String,
    /// The two messages so far, as they go into the proof, and the comma after them.
    messages: String,
}

impl Login {
    /// Reads the client's first message. Gives the server's first message with the login.
    pub(super) fn begin(
        message: &str,
        nonce: &[u8; NONCE_SIZE],
        users: &impl UserLookup,
    ) -> Result<(Login, String), HandshakeError> {
        let Some(after_binding) = message.strip_prefix("n,") else {
            return Err(error(15, "Channel binding is not supported"));
        };
        // What stands before the second comma, an authorization identity, is not looked at.
        let Some((_, bare)) = after_binding.split_once(',') else {
            return Err(invalid_encoding());
        };
        let (mut user, mut client_nonce) = (None, None);
        for (name, value) in attributes(bare)? {
            match name {
                'n' => user = Some(decode_name(value)?),
                'r' => client_nonce = Some(value),
                'm' => return Err(error(11, "Extensions not supported")),
                _ => return Err(invalid_encoding()),
            }
        }
        let (Some(user), Some(client_nonce)) = (user, client_nonce) else {
            return Err(invalid_encoding());
        };
        let stored = users.credentials(&user);
        let known = stored.is_some();
        let credentials =
            stored.unwrap_or_else(|| ScramCredentials::of_nobody(&user, users.secret()));
        let nonce = format!("{client_nonce}{}", STANDARD.encode(nonce));
        let salt = STANDARD.encode(credentials.salt);
        let first = format!("r={nonce},s={salt},i={}", credentials.iterations);
        let messages = format!("{bare},{first},");
        Ok((Login { user, known, credentials, nonce, messages }, first))
    }

    /// Reads the client's last message. Gives the user and the server's last message if the proof holds.
    pub(super) fn finish(self, message: &str) -> Result<(String, String), HandshakeError> {
        let without_proof = message.split_once(",p=").map_or(message, |(before, _)| before);
        let (mut binding, mut nonce, mut proof) = (None, None, None);
        let attributes = attributes(message)?;
        for &(name, value) in &attributes {
            match name {
                'c' => binding = Some(value),
                'r' => nonce = Some(value),
                'p' => proof = Some(value),
                'm' => return Err(error(11, "Extensions not supported")),
                _ => return Err(invalid_encoding()),
            }
        }
        let (Some(binding), Some(nonce), Some(proof)) = (binding, nonce, proof) else {
            return Err(invalid_encoding());
        };
        if binding != NO_CHANNEL_BINDING {
            return Err(invalid_encoding());
        }
        let signed = [self.messages.as_bytes(), without_proof.as_bytes()];
        // A user that does not exist gets the answer of a wrong password, after the same work. RethinkDB says
        // "Unknown user" here, which tells anyone who asks which users there are.
        if !self.proves(proof, &signed) || !self.known {
            return Err(error(12, "Wrong password"));
        }
        if nonce != self.nonce {
            return Err(error(20, "Other error"));
        }
        let signature = keyed_hash(&self.credentials.server_key, &signed);
        Ok((self.user, format!("v={}", STANDARD.encode(signature))))
    }

    fn proves(&self, proof: &str, signed: &[&[u8]]) -> bool {
        let Ok(mut client_key) = STANDARD.decode(proof) else { return false };
        let signature = keyed_hash(&self.credentials.stored_key, signed);
        if client_key.len() != signature.len() {
            return false;
        }
        for (byte, mask) in client_key.iter_mut().zip(signature) {
            *byte ^= mask;
        }
        same(&hash(&client_key), &self.credentials.stored_key)
    }
}

/// Splits `n=…,r=…`. Every attribute has a name of one letter, and no name comes twice.
fn attributes(message: &str) -> Result<Vec<(char, &str)>, HandshakeError> {
    let mut found: Vec<(char, &str)> = Vec::new();
    for part in message.split_terminator(',') {
        let mut letters = part.chars();
        let (Some(name), Some('=')) = (letters.next(), letters.next()) else {
            return Err(invalid_encoding());
        };
        if name == '=' || found.iter().any(|(seen, _)| *seen == name) {
            return Err(invalid_encoding());
        }
        found.push((name, letters.as_str()));
    }
    // RethinkDB judges them in this order, which decides what a message with several faults is told.
    found.sort_by_key(|(name, _)| *name);
    Ok(found)
}

/// Undoes the two escapes of a name: `=2C` for a comma, `=3D` for an equals sign.
fn decode_name(name: &str) -> Result<String, HandshakeError> {
    let mut parts = name.split('=');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(error(18, "Invalid username encoding")),
        };
        decoded.push(escaped);
        decoded.push_str(rest);
    }
    Ok(decoded)
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    sized(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    sized(context.sign().as_ref())
}

/// The 32 bytes of a SHA-256 value.
fn sized(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

/// Compares in a time that does not depend on where the difference is.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn invalid_encoding() -> HandshakeError {
    error(10, "Invalid encoding")
}

fn error(code: i32, message: &str) -> HandshakeError {
    HandshakeError { code, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user and salt of RFC 7677's example.
    struct Example;

    impl UserLookup for Example {
        fn credentials(&self, user: &str) -> Option<ScramCredentials> {
            let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
            (user == "user")
                .then(|| ScramCredentials::from_password(b"pencil", salt, DEFAULT_ITERATIONS))
        }

        fn secret(&self) -> &[u8] {
            b"secret"
        }
    }

    #[test]
    fn the_example_of_the_rfc() {
        // Its server nonce is no base64 of 24 bytes, so the login is built by hand.
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let first = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let login = Login {
            user: "user".to_owned(),
            known: true,
            credentials: Example.credentials("user").unwrap(),
            nonce: nonce.to_owned(),
            messages: format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{first},"),
        };
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (user, last) = login.finish(&format!("c=biws,r={nonce},p={proof}")).unwrap();
        assert_eq!(user, "user");
        assert_eq!(last, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn salts_of_nobody_stay_the_same_and_differ_by_name() {
        let first = |user: &str| {
            let message = format!("n,,n={user},r=abc");
            Login::begin(&message, &[0; NONCE_SIZE], &Example).unwrap().1
        };
        assert_eq!(first("nobody"), first("nobody"));
        assert_ne!(first("nobody"), first("somebody"));
        assert!(first("nobody").ends_with(",i=4096"));
        let known = first("user");
        assert_eq!(known.len(), first("nobody").len());
    }

    #[test]
    fn first_messages_at_fault() {
        for (message, code) in [
            ("", 15),
            ("y,,n=user,r=abc", 15),
            ("p=tls-unique,,n=user,r=abc", 15),
            ("n,", 10),
            ("n,,", 10),
            ("n,,r=abc", 10),
            ("n,,n=user", 10),
            ("n,,n=user,r=abc,r=abc", 10),
            ("n,,n=user,r=abc,x=1", 10),
            ("n,,n=user,,r=abc", 10),
            ("n,,n=user,r", 10),
            ("n,,nn=user,r=abc", 10),
            ("n,,m=1,n=user,r=abc", 11),
            ("n,,n=us=er,r=abc", 18),
            ("n,,n=us=2,r=abc", 18),
        ] {
            let error = Login::begin(message, &[0; NONCE_SIZE], &Example).unwrap_err();
            assert_eq!(error.code, code, "{message}");
        }
    }

    #[test]
    fn last_messages_at_fault() {
        let finish = |user: &str, message: &str| {
            let first = format!("n,,n={user},r=abc");
            Login::begin(&first, &[0; NONCE_SIZE], &Example).unwrap().0.finish(message)
        };
        let proof = STANDARD.encode([0; 32]);
        for (message, code) in [
            (format!("c=biws,r=abc,p={proof}"), 12),
            ("c=biws,r=abc,p=AAAA".to_owned(), 12),
            ("c=biws,r=abc,p=!".to_owned(), 12),
            (format!("c=eSws,r=abc,p={proof}"), 10),
            (format!("c=biws,r=abc,x=1,p={proof}"), 10),
            (format!("c=biws,m=1,r=abc,p={proof}"), 11),
            ("c=biws,r=abc".to_owned(), 10),
            (String::new(), 10),
        ] {
            for user in ["user", "nobody"] {
                assert_eq!(finish(user, &message).unwrap_err().code, code, "{message} as {user}");
            }
        }
    }

    #[test]
    fn names_are_decoded() {
        for (written, name) in [("a", "a"), ("=2C=3D", ",="), ("a=3D2Cb", "a=2Cb"), ("", "")] {
            assert_eq!(decode_name(written).unwrap(), name);
        }
    }

    #[test]
    fn passwords_verify_and_do_not_print() {
        let credentials = Example.credentials("user").unwrap();
        assert!(credentials.is_password(b"pencil"));
        assert!(!credentials.is_password(b"pencil "));
        assert_eq!(format!("{credentials:?}"), "ScramCredentials { .. }");
    }
}
