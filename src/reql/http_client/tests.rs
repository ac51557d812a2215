//! Requests against a server of the test's own: what is sent, what is made of the answers, what ends them.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::test_server::{TestServer, reply};
use super::*;
use crate::datum::Object;
use crate::limits;

fn request(url: String) -> Request {
    Request {
        method: Method::Get,
        url,
        params: Object::empty(),
        header: Vec::new(),
        content_type: None,
        body: Vec::new(),
        auth: None,
        timeout: 20_000,
        attempts: 5,
        redirects: 1,
        verify: true,
        format: ResultFormat::Text,
    }
}

fn run(request: Request) -> Result<Response, HttpError> {
    run_on(&HttpHost::default(), request)
}

fn run_on(host: &HttpHost, request: Request) -> Result<Response, HttpError> {
    let json = |_: &str| Err("no JSON here".to_owned());
    let cancel = CancelFlag::default();
    perform(host, &Arc::new(request), Cookies::default(), &cancel, None, &|_| true, &json)
}

#[track_caller]
fn body(request: Request) -> String {
    match run(request) {
        Ok(response) => response.body.to_json(),
        Err(error) => panic!("{error:?}"),
    }
}

#[track_caller]
fn failure(request: Request) -> String {
    match run(request) {
        Err(HttpError::Failed { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_says_who_asks_and_what_it_reads() {
    let server = TestServer::start(|_| reply("200 OK", &["X-Kind: A", "X-Kind: B"], "hello"));
    let mut asked = request(server.url("/a b?x=1"));
    asked.header = vec!["X-Own: 1".to_owned(), "X-Own: 2".to_owned(), "X-Empty;".to_owned()];
    let response = run(asked).expect("an answer");
    assert_eq!(response.body.to_json(), "\"hello\"");
    let kind = response.header.get("x-kind").map(Datum::to_json);
    assert_eq!(kind.as_deref(), Some("\"B\""));
    let asked = server.asked();
    let asked = asked.first().expect("a request");
    assert_eq!(asked.line, "GET /a%20b?x=1");
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("PhotonDB/")));
    assert_eq!(asked.header("accept-encoding").as_deref(), Some("deflate;q=1, gzip;q=0.5"));
    assert_eq!(asked.header("x-own").as_deref(), Some("1, 2"));
    assert_eq!(asked.header("accept").as_deref(), Some("*/*"));
}

#[test]
fn troubled_servers_are_asked_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = TestServer::start(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => reply("503 Busy", &[], "later"),
        1 => reply("408 Slow", &[], "later"),
        _ => reply("200 OK", &[], "now"),
    });
    assert_eq!(body(request(server.url("/"))), "\"now\"");
    assert_eq!(count.load(Ordering::Relaxed), 3);

    let server = TestServer::start(|_| reply("500 No", &[], "never"));
    let mut twice = request(server.url("/"));
    twice.attempts = 2;
    assert_eq!(failure(twice), "status code 500");
    assert_eq!(server.asked().len(), 2);

    let server = TestServer::start(|_| reply("404 No", &["X-A: b"], "none"));
    match run(request(server.url("/"))) {
        Err(HttpError::Failed { text, header, body }) => {
            assert_eq!((text.as_str(), body.to_json().as_str()), ("status code 404", "\"none\""));
            assert_eq!(header.get("x-a").map(Datum::to_json).as_deref(), Some("\"b\""));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.asked().len(), 1);
    let mut never = request(server.url("/"));
    never.attempts = 0;
    assert_eq!(failure(never), "could not perform, no attempts allowed");
}

#[test]
fn redirects_are_followed_as_far_as_allowed() {
    let server = TestServer::start(|asked| match asked.line.as_str() {
        "POST /form" => reply("302 Found", &["Location: /result"], ""),
        "PUT /moved" => reply("307 Moved", &["Location: result"], ""),
        "GET /loop" => reply("301 Moved", &["Location: /loop"], ""),
        "GET /out" => reply("301 Moved", &["Location: ftp://127.0.0.1/"], ""),
        line => reply("200 OK", &[], format!("{line} {}", asked.body)),
    });
    let mut form = request(server.url("/form"));
    (form.method, form.body) = (Method::Post, b"a=1".to_vec());
    assert_eq!(body(form.clone()), "\"GET /result \"");
    let mut moved = form.clone();
    (moved.method, moved.url) = (Method::Put, server.url("/moved"));
    assert_eq!(body(moved), "\"PUT /result a=1\"");
    let mut endless = request(server.url("/loop"));
    endless.redirects = 7;
    let before = server.asked().len();
    assert_eq!(failure(endless), "Number of redirects hit maximum amount");
    assert_eq!(server.asked().len() - before, 8);
    form.redirects = 0;
    assert_eq!(failure(form), "status code 302");
    assert_eq!(failure(request(server.url("/out"))), "Unsupported protocol");
}

#[test]
fn secrets_stay_with_their_server() {
    let other = TestServer::start(|_| reply("200 OK", &[], "there"));
    let there = format!("Location: {}", other.url("/"));
    let server = TestServer::start(move |asked| match asked.line.as_str() {
        "GET /" => reply("302 Found", &["Location: /next", "Set-Cookie: k=v"], ""),
        _ => reply("302 Found", &[&there], ""),
    });
    let mut asked = request(server.url("/"));
    asked.redirects = 2;
    asked.header = vec!["Cookie: own=1".to_owned()];
    let (user, password) = ("me".to_owned(), "secret".to_owned());
    asked.auth = Some(Auth { kind: AuthKind::Basic, user, password });
    assert_eq!(body(asked), "\"there\"");
    let told = server.asked();
    assert!(
        told.iter().all(|asked| {
            asked.header("authorization").as_deref() == Some("Basic bWU6c2VjcmV0")
        })
    );
    let cookies: Vec<_> = told.iter().map(|asked| asked.header("cookie")).collect();
    assert_eq!(cookies, [Some("own=1".to_owned()), Some("own=1; k=v".to_owned())]);
    let elsewhere = other.asked();
    let elsewhere = elsewhere.first().expect("a request");
    // A cookie belongs to a host, whatever the port; what the user wrote was for the first server alone.
    let told = (elsewhere.header("authorization"), elsewhere.header("cookie"));
    assert_eq!(told, (None, Some("k=v".to_owned())));
}

#[test]
fn digest_proofs_are_given_when_asked_for() {
    let server = TestServer::start(|asked| match asked.header("authorization") {
        None => {
            let ask = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
            reply("401 No", &["WWW-Authenticate: Basic realm=\"r\"", ask], "who?")
        }
        Some(proof) if proof.contains("username=\"me\"") && proof.contains("uri=\"/x?y=1\"") => {
            reply("200 OK", &[], format!("welcome {}", asked.body))
        }
        Some(proof) => reply("401 No", &[], proof),
    });
    let (user, password) = ("me".to_owned(), "secret".to_owned());
    let mut asked = request(server.url("/x?y=1"));
    (asked.method, asked.body) = (Method::Post, b"data".to_vec());
    asked.auth =
        Some(Auth { kind: AuthKind::Digest, user: user.clone(), password: password.clone() });
    assert_eq!(body(asked.clone()), "\"welcome data\"");
    asked.auth = Some(Auth { kind: AuthKind::Digest, user: "you".to_owned(), password });
    assert_eq!(failure(asked), "status code 401");
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn what_breaks_is_named() {
    let mut refused = request("http://127.0.0.1:1/".to_owned());
    assert_eq!(failure(refused.clone()), "could not connect to server");
    refused.url = "http://no.such.host.invalid/".to_owned();
    assert_eq!(failure(refused.clone()), "Couldn't resolve host name");
    refused.header = vec!["no line".to_owned()];
    assert_eq!(failure(refused), "`no line` is not a header line");
    let cases: [(&[u8], &str); 5] = [
        (b"", "Server returned nothing (no headers, no data)"),
        (b"what?\r\n\r\n", "Weird server reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "Transferred a partial file"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "Transferred a partial file",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\na",
            "Unrecognized or bad HTTP Content or Transfer-Encoding",
        ),
    ];
    for (answer, text) in cases {
        let server = TestServer::start(move |_| answer.to_vec());
        assert_eq!(failure(request(server.url("/"))), text);
    }
    let server = TestServer::start(|_| reply("200 OK", &["Link: <x>"], ""));
    let text = "failed to parse link header line: '<x>'";
    assert_eq!(failure(request(server.url("/"))), text);
    // A server of plain text where TLS is expected.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let secure = request(format!("https://{}/", listener.local_addr().expect("an address")));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 No\r\n\r\n");
        }
    });
    assert_eq!(failure(secure), "SSL connect error");
}

#[test]
fn endless_answers_are_cut_off() {
    let server = TestServer::start(|_| {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(limits::FETCH_BODY_BYTES + (1 << 20), b'x');
        answer
    });
    let text = format!("the response is larger than {} bytes", limits::FETCH_BODY_BYTES);
    assert_eq!(failure(request(server.url("/"))), text);
}

#[test]
fn slow_servers_are_given_up() {
    let server = TestServer::start(|_| {
        std::thread::sleep(Duration::from_secs(30));
        Vec::new()
    });
    let host = HttpHost::default();
    let mut slow = request(server.url("/"));
    slow.timeout = 150;
    let start = Instant::now();
    assert!(matches!(run_on(&host, slow.clone()), Err(HttpError::TimedOut)));
    assert!(start.elapsed() < Duration::from_secs(10));

    slow.timeout = 60_000;
    let cancel = CancelFlag::default();
    let stopper = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        stopper.cancel();
    });
    let json = |_: &str| Err(String::new());
    let slow = Arc::new(slow);
    let stopped = perform(&host, &slow, Cookies::default(), &cancel, None, &|_| true, &json);
    assert!(matches!(stopped, Err(HttpError::Interrupted)));
    let soon = Some(Instant::now() + Duration::from_millis(100));
    let late =
        perform(&host, &slow, Cookies::default(), &CancelFlag::default(), soon, &|_| true, &json);
    assert!(matches!(late, Err(HttpError::Interrupted)));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn servers_must_prove_who_they_are() {
    let server = TestServer::start_secure(|_| reply("200 OK", &[], "secret"));
    let mut asked = request(server.url("/").replace("http://", "https://"));
    assert_eq!(failure(asked.clone()), "SSL peer certificate or SSH remote key was not OK");
    assert!(server.asked().is_empty());
    asked.verify = false;
    assert_eq!(body(asked), "\"secret\"");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn requests_do_not_go_where_the_operator_forbids_it() {
    let server = TestServer::start(|_| reply("200 OK", &[], "there"));
    let port = server.url("/").split(':').nth(2).unwrap().trim_end_matches('/').parse().unwrap();
    let ask = |policy: Policy, url: String| {
        let host = HttpHost::default();
        host.set_policy(policy);
        match run_on(&host, request(url)) {
            Ok(response) => response.body.to_json(),
            Err(HttpError::Failed { text, .. }) => text,
            Err(other) => format!("{other:?}"),
        }
    };
    let denied = "requests to that address are not allowed (`--http-deny`)";
    assert_eq!(ask(Policy::default(), "http://169.254.169.254/latest".to_owned()), denied);
    let loopback = ["127.0.0.0/8", "::1"].map(|text| Network::parse(text).unwrap()).to_vec();
    let own = "requests to the server's own ports are not allowed";
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}/");
        let policy = Policy { denied: loopback.clone(), ..Policy::default() };
        assert_eq!(ask(policy, url.clone()), denied);
        let policy = Policy { own_ports: vec![port], ..Policy::default() };
        assert_eq!(ask(policy, url.clone()), own);
        let policy = Policy { own_ports: vec![1], ..Policy::default() };
        assert_eq!(ask(policy, url.clone()), "\"there\"");
        let policy = Policy { allowed: false, ..Policy::default() };
        assert_eq!(ask(policy, url), "SwitchedOff");
    }
    // Nor does a redirect lead there.
    let redirecting = TestServer::start(move |_| {
        let there = format!("Location: http://127.0.0.1:{port}/");
        reply("302 Found", &[&there], "")
    });
    let policy = Policy { own_ports: vec![port], ..Policy::default() };
    assert_eq!(ask(policy, redirecting.url("/")), own);
}

#[test]
fn a_troubled_server_gets_more_time_with_each_attempt_and_no_more_than_so_many() {
    let server = TestServer::start(|_| reply("503 Busy", &[], "later"));
    let mut four = request(server.url("/"));
    four.attempts = 4;
    let began = Instant::now();
    assert_eq!(failure(four), "status code 503");
    assert_eq!(server.asked().len(), 4);
    assert!(began.elapsed() >= 7 * limits::FETCH_PAUSE, "{:?}", began.elapsed());
    let mut many = request(server.url("/"));
    (many.attempts, many.timeout) = (u64::MAX, 500);
    assert!(matches!(run(many), Err(HttpError::TimedOut)));
    assert!(server.asked().len() < 12, "{}", server.asked().len());
}
