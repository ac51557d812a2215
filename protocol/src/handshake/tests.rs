//! Handshakes as recorded from RethinkDB 2.4.4, and logins played to their end. Nonces, salts and versions are this
//! test's own, so the expected bytes are whole.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::scram::{SALT_SIZE, ScramCredentials};
use super::*;
use crate::limits;

const NONCE: [u8; NONCE_SIZE] = [7; NONCE_SIZE];
const SALT: [u8; SALT_SIZE] = [9; SALT_SIZE];
const HELLO: &str = "{\"max_protocol_version\":0,\"min_protocol_version\":0,\
                     \"server_version\":\"rethinkdb 2.4.4\",\"success\":true}\0";

/// `admin` with an empty password, as a new server has it, and `bob, =` with a password.
struct Users;

impl UserLookup for Users {
    fn credentials(&self, user: &str) -> Option<ScramCredentials> {
        let (password, iterations) = match user {
            "admin" => ("", 1),
            "bob, =" => ("hunter2", 4096),
            _ => return None,
        };
        let iterations = NonZeroU32::new(iterations).unwrap();
        Some(ScramCredentials::from_password(password.as_bytes(), SALT, iterations))
    }

    fn secret(&self) -> &[u8] {
        b"secret"
    }
}

/// Feeds the input in pieces of one size: what was answered, how it ended, what was left of the input.
fn play(input: &[u8], piece: usize) -> (String, Progress, Vec<u8>) {
    let mut handshake = Handshake::new("rethinkdb 2.4.4", NONCE);
    let (mut buffer, mut output) = (BytesMut::new(), Vec::new());
    let mut progress = Progress::NeedMore;
    let mut pieces = input.chunks(piece);
    for piece in pieces.by_ref() {
        buffer.extend_from_slice(piece);
        progress = feed(&mut handshake, &mut buffer, &mut output);
        if progress != Progress::NeedMore {
            break;
        }
        assert!(buffer.len() <= limits::HANDSHAKE_INPUT_MAX);
    }
    let left = pieces.fold(buffer.to_vec(), |left, piece| [&left, piece].concat());
    (String::from_utf8(output).unwrap(), progress, left)
}

/// Feeds until more input is needed or the handshake ends.
fn feed(handshake: &mut Handshake, input: &mut BytesMut, output: &mut Vec<u8>) -> Progress {
    loop {
        match handshake.feed(input, &Users, output) {
            Progress::Answered => {}
            progress => return progress,
        }
    }
}

fn number(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

fn legacy(version: Version, key: &[u8], protocol: u32) -> Vec<u8> {
    let length = key.len() as u32;
    [&number(version.number())[..], &number(length), key, &number(protocol)].concat()
}

fn current(messages: &[&str]) -> Vec<u8> {
    let mut bytes = number(Version::V1_0.number()).to_vec();
    for message in messages {
        bytes.extend_from_slice(message.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn first(authentication: &str) -> String {
    format!(
        "{{\"protocol_version\": 0, \"authentication_method\": \"SCRAM-SHA-256\", \
         \"authentication\": \"{authentication}\"}}"
    )
}

/// The client's last message, computed here from the password.
fn last(user: &str, password: &str, iterations: u32) -> String {
    let nonce = format!("abc{}", STANDARD.encode(NONCE));
    let salt = STANDARD.encode(SALT);
    let without_proof = format!("c=biws,r={nonce}");
    let signed = format!("n={user},r=abc,r={nonce},s={salt},i={iterations},{without_proof}");
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(iterations).unwrap();
    let password = password.as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &SALT, password, &mut salted);
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
    };
    let client_key = sign(&salted, "Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), &signed);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    format!("{{\"authentication\":\"{without_proof},p={}\"}}", STANDARD.encode(proof))
}

fn refusal(code: i32, message: &str) -> Progress {
    Progress::Refused(HandshakeError { code, message: message.to_owned() })
}

#[test]
fn legacy_handshakes_as_recorded() {
    let json = crate::numbers::Protocol::Json.number();
    let protobuf = crate::numbers::Protocol::Protobuf.number();
    let no_protobuf = "The PROTOBUF client protocol is no longer supported";
    let no_version = "Received an unsupported protocol version. This port is for RethinkDB queries. \
                      Does your client driver version not match the server?";
    let long_key = [number(Version::V0_4.number()), number(1 << 20)].concat();
    for (input, message) in [
        (legacy(Version::V0_2, b"", json), no_protobuf),
        (legacy(Version::V0_1, b"", json), no_protobuf),
        (legacy(Version::V0_4, b"", protobuf), no_protobuf),
        (legacy(Version::V0_4, b"hunter2", json), "Incorrect authorization key."),
        (legacy(Version::V0_4, b"", 5), "Unrecognized protocol specified: '5'"),
        (legacy(Version::V0_4, b"", u32::MAX), "Unrecognized protocol specified: '-1'"),
        (long_key, "Client provided an authorization key that is too long."),
        (number(0x1234_5678).to_vec(), no_version),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), no_version),
        (number(0).to_vec(), no_version),
    ] {
        for piece in [1, 3, 4096] {
            let (output, progress, _) = play(&input, piece);
            assert_eq!(output, format!("ERROR: {message}\n\0"));
            assert_eq!(progress, refusal(-1, message));
        }
    }
}

#[test]
fn legacy_clients_are_the_admin_and_may_go_on_at_once() {
    for version in [Version::V0_3, Version::V0_4] {
        let mut input = legacy(version, b"", crate::numbers::Protocol::Json.number());
        input.extend_from_slice(b"frames");
        for piece in 1..=input.len() {
            let (output, progress, left) = play(&input, piece);
            assert_eq!(output, "SUCCESS\0");
            let user = "admin".to_owned();
            assert_eq!(progress, Progress::Ready(Client { user, version }));
            assert_eq!(left, b"frames");
        }
    }
}

#[test]
fn refusals_of_v1_0_as_recorded() {
    let admin = first("n,,n=admin,r=abc");
    for (message, code, text) in [
        (first("n,,r=abc"), 10, "Invalid encoding"),
        (first("p=tls-unique,,n=admin,r=abc"), 15, "Channel binding is not supported"),
        (first("y,,n=admin,r=abc"), 15, "Channel binding is not supported"),
        (admin.replace("SCRAM-SHA-256", "PLAIN"), 4, "Unsupported `authentication_method`."),
        (admin.replace(": 0", ": 7"), 2, "Unsupported `protocol_version`."),
        (admin.replace(": 0", ": \"0\""), 1, "Expected a number for `protocol_version`."),
        ("hello".to_owned(), 8, "Invalid JSON object."),
        (
            "{\"protocol_version\":0}".to_owned(),
            3,
            "Expected a string for `authentication_method`.",
        ),
        (
            "{\"protocol_version\":0,\"authentication_method\":\"SCRAM-SHA-256\"}".to_owned(),
            5,
            "Expected a string for `authentication`.",
        ),
        (admin.replace("{", "{\"a\":1,\"a\":1,"), 9, "Failed to convert JSON to datum."),
        (format!("{{\"a\":\"{}", "x".repeat(3000)), 7, "Limited read buffer size."),
    ] {
        for piece in [1, 7, 4096] {
            let (output, progress, _) = play(&current(&[&message]), piece);
            let error =
                format!("{{\"error\":\"{text}\",\"error_code\":{code},\"success\":false}}\0");
            assert_eq!(output, format!("{HELLO}{error}"));
            assert_eq!(progress, refusal(code, text));
        }
    }
}

#[test]
fn json_that_is_no_object_is_closed_on_without_a_word() {
    let (output, progress, _) = play(&current(&["[1]"]), 4096);
    assert_eq!(output, HELLO);
    assert!(matches!(progress, Progress::Refused(_)));
}

#[test]
fn the_longest_message_of_v1_0() {
    let padded = |length: usize| {
        let message = first("n,,n=admin,r=abc");
        " ".repeat(length - message.len()) + &message
    };
    let answer = |length: usize| play(&current(&[&padded(length)]), 4096).0;
    assert!(answer(limits::HANDSHAKE_MESSAGE_MAX - 2).contains("i=1"));
    assert!(answer(limits::HANDSHAKE_MESSAGE_MAX - 1).contains("\"error_code\":7"));
}

#[test]
fn the_hello_goes_out_before_anything_else_arrives() {
    assert_eq!(play(&current(&[]), 4), (HELLO.to_owned(), Progress::NeedMore, vec![]));
}

/// All of a client's messages arrive at once, and yet each answer is given out alone.
#[test]
fn each_feed_gives_one_message() {
    let messages = [&first("n,,n=admin,r=abc"), &last("admin", "", 1)];
    let mut input = BytesMut::from(&current(&messages.map(String::as_str))[..]);
    let mut handshake = Handshake::new("rethinkdb 2.4.4", NONCE);
    let user = "admin".to_owned();
    for expected in [
        Progress::Answered,
        Progress::Answered,
        Progress::Ready(Client { user, version: Version::V1_0 }),
    ] {
        let mut output = Vec::new();
        assert_eq!(handshake.feed(&mut input, &Users, &mut output), expected);
        assert_eq!(output.iter().filter(|&&byte| byte == 0).count(), 1);
        assert_eq!(output.last(), Some(&0));
    }
    assert!(input.is_empty());
}

#[test]
fn a_login_to_its_end() {
    for (name, user, password, iterations) in
        [("admin", "admin", "", 1), ("bob, =", "bob=2C =3D", "hunter2", 4096)]
    {
        let messages = [&first(&format!("n,,n={user},r=abc")), &last(user, password, iterations)];
        let mut input = current(&messages.map(String::as_str));
        input.extend_from_slice(b"frames");
        let (nonce, salt) = (STANDARD.encode(NONCE), STANDARD.encode(SALT));
        for piece in [1, 5, 4096] {
            let (output, progress, left) = play(&input, piece);
            let server_first = format!(
                "{{\"authentication\":\"r=abc{nonce},s={salt},i={iterations}\",\"success\":true}}\0"
            );
            let rest = output.strip_prefix(HELLO).unwrap().strip_prefix(&server_first).unwrap();
            assert!(rest.starts_with("{\"authentication\":\"v="), "{rest}");
            assert!(rest.ends_with("=\",\"success\":true}\0"), "{rest}");
            let user = name.to_owned();
            assert_eq!(progress, Progress::Ready(Client { user, version: Version::V1_0 }));
            assert_eq!(left, b"frames");
        }
    }
}

#[test]
fn wrong_passwords_and_unknown_users_are_told_the_same() {
    let answer = |user: &str, last: &str| {
        let first = first(&format!("n,,n={user},r=abc"));
        play(&current(&[&first, last]), 4096)
    };
    let bad_proof = "{\"authentication\": \"c=biws,r=abc,p=AAAA\"}";
    let wrong = "{\"error\":\"Wrong password\",\"error_code\":12,\"success\":false}\0";
    for (user, last) in [
        ("admin", last("admin", "x", 1)),
        ("admin", bad_proof.to_owned()),
        ("nobody", last("nobody", "", 4096)),
        ("nobody", bad_proof.to_owned()),
    ] {
        let (output, progress, _) = answer(user, &last);
        assert!(output.ends_with(wrong), "{output}");
        assert_eq!(progress, refusal(12, "Wrong password"));
    }
}

#[test]
fn who_is_turned_away_is_told_in_the_form_that_it_reads() {
    let current = turn_away(&Version::V1_0.number().to_le_bytes(), "full");
    assert_eq!(current, b"{\"error\":\"full\",\"error_code\":-1,\"success\":false}\0");
    for said in [&b""[..], &Version::V0_4.number().to_le_bytes()] {
        assert_eq!(turn_away(said, "full"), b"ERROR: full\n\0");
    }
}

#[test]
fn a_refused_handshake_stays_refused() {
    let mut handshake = Handshake::new("x", NONCE);
    let (mut input, mut output) = (BytesMut::from(&[0; 4][..]), Vec::new());
    assert!(matches!(handshake.feed(&mut input, &Users, &mut output), Progress::Refused(_)));
    let told = output.len();
    input.extend_from_slice(&current(&["hello"]));
    assert_eq!(handshake.feed(&mut input, &Users, &mut output), Progress::NeedMore);
    assert_eq!(output.len(), told);
}
