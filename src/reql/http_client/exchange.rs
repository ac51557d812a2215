//! One request as the user sees it: sent again while the server is troubled, sent elsewhere when it redirects, with
//! a proof when it asks for one.

use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    WWW_AUTHENTICATE,
};
use reqwest::{StatusCode, Url};

use super::cookies::Cookies;
use super::digest::Challenge;
use super::failure::Failure;
use super::host::Clients;
use super::request::{AuthKind, Method, Request};
use super::{headers, url};
use crate::limits;

/// A response as it came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Still in the encoding that the header names.
    pub(super) body: Vec<u8>,
    pub(super) cookies: Cookies,
}

/// Performs a request. A response of any status is a success here.
pub(super) async fn exchange(
    clients: &Clients,
    request: &Request,
    mut cookies: Cookies,
) -> Result<Received, Failure> {
    let url = url::full(&request.url, &request.params)?;
    let headers = headers::for_request(request)?;
    let mut last = Err(Failure::NoAttempts);
    let mut pause = limits::FETCH_PAUSE;
    for number in 0..request.attempts.min(limits::FETCH_ATTEMPTS_MAX) {
        // A server that is troubled gets more time with each attempt.
        if number > 0 {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(limits::FETCH_PAUSE_MAX);
        }
        last = attempt(clients, request, &url, &headers, &mut cookies).await;
        match &last {
            Ok(received) if is_temporary(received.status) => {}
            Err(failure) if failure.is_temporary() => {}
            _ => break,
        }
    }
    last.map(|received| Received { cookies, ..received })
}

fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 500 | 502 | 503 | 504)
}

/// Sends a request once, and follows where it is sent.
async fn attempt(
    clients: &Clients,
    request: &Request,
    first: &Url,
    headers: &HeaderMap,
    cookies: &mut Cookies,
) -> Result<Received, Failure> {
    let mut hop = Hop {
        url: first.clone(),
        method: request.method,
        headers: headers.clone(),
        with_body: true,
        with_secrets: true,
        challenge: None,
    };
    let mut redirects = 0;
    loop {
        let response = hop.send(clients, request, cookies).await?;
        cookies.store(&hop.url, response.headers());
        if hop.answer_challenge(request, &response) {
            continue;
        }
        let location = match response.headers().get(LOCATION) {
            Some(location) if response.status().is_redirection() && request.redirects > 0 => {
                location.clone()
            }
            _ => return receive(response).await,
        };
        if redirects == request.redirects {
            return Err(Failure::Redirects);
        }
        redirects += 1;
        hop.redirect(first, response.status(), &location)?;
    }
}

/// One of the requests that a redirected request consists of.
struct Hop {
    url: Url,
    method: Method,
    headers: HeaderMap,
    with_body: bool,
    with_secrets: bool,
    /// What the server asked, once it has asked.
    challenge: Option<Challenge>,
}

impl Hop {
    async fn send(
        &self,
        clients: &Clients,
        request: &Request,
        cookies: &Cookies,
    ) -> Result<reqwest::Response, Failure> {
        let client = clients.of(&self.url, request.verify)?;
        let method = match self.method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut headers = self.headers.clone();
        if let Some(cookie) = cookies.header(&self.url, headers.get(COOKIE)) {
            headers.insert(COOKIE, cookie);
        }
        if let Some(proof) = self.proof(request) {
            headers.insert(AUTHORIZATION, proof);
        }
        let mut sent = client.request(method, self.url.clone()).headers(headers);
        if self.with_body && (!request.body.is_empty() || self.method == Method::Post) {
            sent = sent.body(request.body.clone());
        }
        sent.send().await.map_err(|error| Failure::of_request(&error))
    }

    fn proof(&self, request: &Request) -> Option<HeaderValue> {
        let auth = request.auth.as_ref().filter(|_| self.with_secrets)?;
        let text = match auth.kind {
            AuthKind::Basic => {
                let pair = format!("{}:{}", auth.user, auth.password);
                format!("Basic {}", crate::datum::base64_text(pair.as_bytes()))
            }
            AuthKind::Digest => {
                self.challenge.as_ref()?.answer(auth, self.method.name(), &uri(&self.url))?
            }
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether the server asked for a proof that can be given now. It is asked once.
    fn answer_challenge(&mut self, request: &Request, response: &reqwest::Response) -> bool {
        let digest = request.auth.as_ref().is_some_and(|auth| auth.kind == AuthKind::Digest);
        if !digest
            || !self.with_secrets
            || self.challenge.is_some()
            || response.status() != StatusCode::UNAUTHORIZED
        {
            return false;
        }
        let asked = response.headers().get_all(WWW_AUTHENTICATE);
        self.challenge =
            asked.iter().filter_map(|value| Challenge::read(value.to_str().ok()?)).next();
        self.challenge.is_some()
    }

    /// Goes where a response says. A redirected POST becomes a GET, as with every browser; secrets stay with the server
    /// they were meant for.
    fn redirect(
        &mut self,
        first: &Url,
        status: StatusCode,
        location: &HeaderValue,
    ) -> Result<(), Failure> {
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| Failure::BadUrl)?;
        self.url = url::redirected(&self.url, location)?;
        self.challenge = None;
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::Post,
            StatusCode::SEE_OTHER => self.method != Method::Head,
            _ => false,
        };
        if becomes_get {
            self.method = Method::Get;
            self.with_body = false;
            self.headers.remove(CONTENT_TYPE);
        }
        self.with_secrets = url::same_server(first, &self.url);
        if !self.with_secrets {
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
            self.headers.remove(HeaderName::from_static("host"));
        }
        Ok(())
    }
}

/// The part of an address that the request line carries.
fn uri(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

async fn receive(mut response: reqwest::Response) -> Result<Received, Failure> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limits::FETCH_BODY_BYTES => {
                return Err(Failure::TooLarge(limits::FETCH_BODY_BYTES));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(Received { status, headers, body, cookies: Cookies::default() }),
            Err(error) => return Err(Failure::of_body(&error)),
        }
    }
}
