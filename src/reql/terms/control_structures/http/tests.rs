//! `r.http` as queries use it, against a server of the test's own.

use crate::reql::error::ErrorKind;
use crate::reql::http_client::test_server::{TestServer, reply};
use crate::reql::terms::testing::{check, check_compile_error, check_error};

const JSON: &str = "Content-Type: application/json";

/// A term with options; `URL` stands for the server's address.
fn http(server: &TestServer, path: &str, options: &str) -> String {
    format!(r#"[153,["{}"],{options}]"#, server.url(path))
}

#[test]
fn answers_become_values() {
    let server = TestServer::start(|asked| match asked.line.as_str() {
        "GET /json" => reply("200 OK", &[JSON], r#"{"a":[1,null,"x"]}"#),
        "GET /bytes" => reply("200 OK", &["Content-Type: image/png"], b"\x00\xff"),
        "GET /jsonp" => reply("200 OK", &[], r#"f({"a":1});"#),
        "HEAD /json" => reply("200 OK", &[], ""),
        line => reply("200 OK", &[], line),
    });
    check(&http(&server, "/json", "{}"), r#"{"a":[1,null,"x"]}"#);
    let text = r#""{\"a\":[1,null,\"x\"]}""#;
    check(&http(&server, "/json", r#"{"result_format":"text"}"#), text);
    check(&http(&server, "/jsonp", r#"{"result_format":"jsonp"}"#), r#"{"a":1}"#);
    check(&http(&server, "/bytes", "{}"), r#"{"$reql_type$":"BINARY","data":"AP8="}"#);
    check(&http(&server, "/json", r#"{"method":"HEAD"}"#), "null");
    let params = r#"{"params":{"a":"x y","b":1.5,"c":null}}"#;
    check(&http(&server, "/p", params), r#""GET /p?a=x%20y&b=1.5&c=""#);
    // A pseudo type in the answer is one.
    let query = format!("[52,[{}]]", http(&server, "/bytes", "{}"));
    check(&query, r#""PTYPE<BINARY>""#);
}

#[test]
fn data_is_sent_by_the_rules_of_the_method() {
    let server = TestServer::start(|asked| {
        let kind = asked.header("content-type").unwrap_or_default();
        reply("200 OK", &[], format!("{}|{kind}|{}", asked.line, asked.body))
    });
    let sent = |method: &str, data: &str, expected: &str| {
        let options = format!(r#"{{"method":"{method}","data":{data}}}"#);
        check(&http(&server, "/", &options), &format!("{expected:?}"));
    };
    let form = "application/x-www-form-urlencoded";
    sent("POST", r#"{"b":"x&y","a":1}"#, &format!("POST /|{form}|a=1&b=x%26y"));
    sent("POST", r#""as it is""#, &format!("POST /|{form}|as it is"));
    sent("PUT", r#"{"a":[2,[1]]}"#, "PUT /|application/json|{\"a\":[1]}");
    sent("PATCH", r#""text""#, "PATCH /||text");
    sent("DELETE", "5", "DELETE /|application/json|5");
    let own = r#"{"method":"PUT","data":5,"header":{"Content-Type":"x/y","none":null}}"#;
    check(&http(&server, "/", own), r#""PUT /|x/y|5""#);
}

#[test]
fn options_are_checked_and_blamed() {
    let server = TestServer::start(|_| reply("200 OK", &[], ""));
    let refused = |options: &str, text: &str, path: &str| {
        check_error(&http(&server, "/", options), ErrorKind::Logic, text, path);
    };
    let text =
        "`method` (get) is not recognized (GET, HEAD, POST, PUT, PATCH and DELETE are allowed).";
    refused(r#"{"method":"get"}"#, text, r#"["method"]"#);
    let text = "`data` should only be specified on a PUT, POST, PATCH, or DELETE request.  If you want URL parameters, use `params` instead.";
    refused(r#"{"data":"x"}"#, text, "[]");
    let text = "Expected `data` to be a STRING or OBJECT, but found NUMBER.";
    refused(r#"{"method":"POST","data":1}"#, text, r#"["data"]"#);
    let text = "Expected `data.a` to be a NUMBER, STRING or NULL, but found BOOL.";
    refused(r#"{"method":"POST","data":{"a":true}}"#, text, r#"["data"]"#);
    let text = "Expected `params` to be an OBJECT, but found NUMBER:\n1";
    refused(r#"{"params":1}"#, text, r#"["params"]"#);
    let text = "Expected `params.a` to be a NUMBER, STRING or NULL, but found BOOL:\ntrue";
    refused(r#"{"params":{"a":true}}"#, text, r#"["params"]"#);
    let text = "Expected `header.a` to be a STRING or NULL, but found NUMBER.";
    refused(r#"{"header":{"a":1}}"#, text, r#"["header"]"#);
    let text = "Expected `header[1]` to be a STRING, but found NUMBER.";
    refused(r#"{"header":[2,["a: b",1]]}"#, text, r#"["header"]"#);
    let text = "A `header` item contains newline characters.";
    refused(r#"{"header":{"a":"b\r\nc: d"}}"#, text, r#"["header"]"#);
    refused(r#"{"timeout":-1}"#, "`timeout` may not be negative.", r#"["timeout"]"#);
    refused(r#"{"redirects":-1}"#, "Integer too large: -1", r#"["redirects"]"#);
    let text = "`auth.pass` not found in the auth object.";
    refused(r#"{"auth":{"user":"a"}}"#, text, r#"["auth"]"#);
    let text = "`auth.type` is not recognized ('basic', and 'digest' are allowed).";
    refused(r#"{"auth":{"user":"a","pass":"b","type":"x"}}"#, text, r#"["auth"]"#);
    let text = "`result_format` (xml) is not recognized, ('auto', 'json', 'jsonp', 'text', and 'binary' are allowed).";
    refused(r#"{"result_format":"xml"}"#, text, r#"["result_format"]"#);
    let text = "Cannot use `page` without specifying `page_limit` (a positive number performs that many requests, -1 is unlimited).";
    refused(r#"{"page":"link-next"}"#, text, r#"["page"]"#);
    let text = "`page` method 'x' not recognized, only 'link-next' is available.";
    refused(r#"{"page":"x","page_limit":1}"#, text, r#"["page"]"#);
    let text = "`page_limit` should be greater than or equal to -1.";
    refused(r#"{"page":"link-next","page_limit":-2}"#, text, r#"["page_limit"]"#);
    check_error("[153,[1]]", ErrorKind::Logic, "Expected type STRING but found NUMBER.", "[0]");
    let text = "Unrecognized optional argument `headers`.";
    check_compile_error(r#"[153,["x"],{"headers":1}]"#, text, r#"["headers"]"#);
    assert!(server.asked().is_empty());
}

#[test]
fn failures_are_told_and_have_defaults() {
    let refused = r#"[153,["http://127.0.0.1:1/"]]"#;
    let text = "Error in HTTP GET of `http://127.0.0.1:1/`: could not connect to server.\nheader:\nnull\nbody:\nnull";
    check_error(refused, ErrorKind::NonExistence, text, "[]");
    check(&format!("[92,[{refused},7]]"), "7");
    let server = TestServer::start(|asked| match asked.line.as_str() {
        "GET /bad" => reply("200 OK", &[JSON], "[1,"),
        "GET /none" => b"HTTP/1.1 404 None\r\nX-A: b\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        _ => {
            std::thread::sleep(std::time::Duration::from_secs(5));
            Vec::new()
        }
    });
    let failed = |path: &str, options: &str, text: &str| {
        let text = format!("Error in HTTP GET of `{}`: {text}", server.url(path));
        check_error(&http(&server, path, options), ErrorKind::NonExistence, &text, "[]");
    };
    let text = "status code 404.\nheader:\n{\n\t\"content-length\":\t\"2\",\n\t\"x-a\":\t\"b\"\n}\nbody:\n\"no\"";
    failed("/none", "{}", text);
    failed("/slow", r#"{"timeout":0.2}"#, "timed out after 0.200 seconds.");
    let text = "failed to parse JSON response: Invalid value..\nheader:\n{\n\t\"connection\":\t\"close\",\n\t\"content-length\":\t\"3\",\n\t\"content-type\":\t\"application/json\"\n}\nbody:\n\"[1,\"";
    failed("/bad", "{}", text);
}

#[test]
fn pages_follow_links() {
    let server = TestServer::start(|asked| {
        let next = |n: u32| {
            format!(
                "Link: <http://{}/?n={n}>; rel=\"next\"",
                asked.header("host").unwrap_or_default()
            )
        };
        match asked.line.as_str() {
            "GET /" => reply("200 OK", &[JSON, &next(1)], "[1,2]"),
            "GET /?n=1" => reply("200 OK", &[JSON, &next(2)], "3"),
            "GET /?n=2" => reply("200 OK", &[JSON], "[4]"),
            _ => reply("404 None", &[], ""),
        }
    });
    let pages = |limit: i64| format!(r#"{{"page":"link-next","page_limit":{limit}}}"#);
    check(&http(&server, "/", &pages(-1)), "[1,2,3,4]");
    check(&http(&server, "/", &pages(2)), "[1,2,3]");
    check(&http(&server, "/", &pages(0)), "[]");
    let before = server.asked().len();
    // Only what is wanted is asked for.
    check(&format!("[71,[{},1]]", http(&server, "/", &pages(-1))), "[1]");
    assert_eq!(server.asked().len(), before + 1);
}

#[test]
fn pages_follow_functions() {
    let server = TestServer::start(|asked| {
        let cookie = asked.header("cookie").unwrap_or_default();
        let body = format!(r#"["{} {cookie}"]"#, asked.line);
        reply("200 OK", &[JSON, "Set-Cookie: seen=1"], body)
    });
    // While there is a cookie to be seen in the body, the parameters say which page it is.
    let next = r#"[69,[[2,[1]],{"params":{"p":[24,[[31,[[170,[[10,[1]],"params"]],"p"]],1]]}}]]"#;
    let options = format!(r#"{{"page":{next},"page_limit":3,"params":{{"p":1}}}}"#);
    let rows = r#"["GET /?p=1 ","GET /?p=2 seen=1","GET /?p=3 seen=1"]"#;
    check(&http(&server, "/", &options), rows);

    let url = server.url("/");
    let paged = |body: &str| format!(r#"{{"page":[69,[[2,[1]],{body}]],"page_limit":2}}"#);
    check(&http(&server, "/", &paged("null")), r#"["GET / "]"#);
    let query = http(&server, "/", &paged("5"));
    match crate::reql::terms::testing::run(&query) {
        crate::reql::terms::testing::Outcome::Error(ErrorKind::Logic, text, place) => {
            let start = format!(
                "Error in HTTP GET of `{url}`: Expected `page` to return an OBJECT, but found NUMBER..\nError occurred during `page` called with:\n{{\n\t\"body\":\t["
            );
            assert!(text.starts_with(&start), "{text}");
            assert_eq!(place, "[]");
        }
        other => panic!("{other:?}"),
    }
}
