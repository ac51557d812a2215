//! `r.http(url, {...})`: what another server answers, as a value; with `page`, page after page as a stream.
//! Knows what a failed request means to a query; nothing of connections.

mod options;
mod pages;

use std::cell::RefCell;
use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::http_client::{self, Cookies, HttpError, Request, Response};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::json::{JsonFault, parse_json};
use pages::{NextPage, Pages};

pub static HTTP: TermSpec = TermSpec {
    options: &[
        "attempts",
        "auth",
        "data",
        "header",
        "method",
        "page",
        "page_limit",
        "params",
        "redirects",
        "result_format",
        "timeout",
        "verify",
    ],
    determinism: Determinism::No,
    cost: Cost::Heavy,
    ..TermSpec::pure(TermType::Http, "HTTP", Chapter::ControlStructures, Arity::exactly(1), eval)
};

fn eval(args: &Args<'_>) -> Result<Val> {
    if !args.env.may_wait() {
        return Err(Error::new(ErrorKind::NotResident, "A request is not made inline."));
    }
    let url = args.str(0)?;
    let request = options::read(args, &url)?;
    match page(args)? {
        Some((next, limit)) => {
            args.stream_value(Box::new(Pages::new(request, next, limit, args.node.id)))
        }
        None => {
            let response = perform(args.env, &Arc::new(request), Cookies::default())?;
            args.value(response.body)
        }
    }
}

/// How the next page is found, and how many pages there may be: -1 for any number.
fn page(args: &Args<'_>) -> Result<Option<(NextPage, i64)>> {
    let page = args.optarg("page")?;
    let limit = args.optarg("page_limit")?;
    let Some(page) = page else { return Ok(None) };
    let Some(limit) = limit else {
        return Err(Error::logic(
            "Cannot use `page` without specifying `page_limit` (a positive number performs that many requests, \
             -1 is unlimited).",
        )
        .at(page.at));
    };
    let next = NextPage::read(page, args.env)?;
    let limit_at = limit.at;
    let limit = limit.integer(args.env)?;
    if limit < -1 {
        let text = "`page_limit` should be greater than or equal to -1.";
        return Err(Error::logic(text).at(limit_at));
    }
    // Without a way to the next page there is one answer, not a stream.
    Ok(next.map(|next| (next, limit)))
}

/// Makes a request. What goes wrong between two servers is an error that `default` catches.
fn perform(env: &Env, request: &Arc<Request>, cookies: Cookies) -> Result<Response> {
    let json = |text: &str| read_json(env, text);
    let refused = RefCell::new(None);
    let receive = |bytes| match env.receive(bytes) {
        Ok(()) => true,
        Err(error) => {
            refused.replace(Some(error));
            false
        }
    };
    let result = http_client::perform(
        &env.context.http,
        request,
        cookies,
        env.cancel_flag(),
        env.deadline().map(|deadline| deadline.at()),
        &receive,
        &json,
    );
    let (text, received) = match result {
        Ok(response) => return Ok(response),
        Err(HttpError::Interrupted) => {
            env.check_interrupt_now()?;
            ("interrupted".to_owned(), String::new())
        }
        Err(HttpError::TooMuch) => {
            let error = refused.take();
            return Err(error.unwrap_or_else(|| Error::internal("Nothing refused an answer.")));
        }
        Err(HttpError::SwitchedOff) => {
            return Err(Error::op_failed(
                "Requests to other servers are switched off on this server (`--no-http-requests`).",
            ));
        }
        Err(HttpError::TimedOut) => {
            let (whole, part) = (request.timeout / 1000, request.timeout % 1000);
            (format!("timed out after {whole}.{part:03} seconds"), String::new())
        }
        Err(HttpError::Failed { text, header, body }) => {
            let print = |datum: Datum| datum.print();
            (text, format!("\nheader:\n{}\nbody:\n{}", print(header), print(body)))
        }
    };
    let (method, url) = (request.method.name(), &request.url);
    let text = format!("Error in HTTP {method} of `{url}`: {text}.{received}");
    Err(Error::non_existence(text))
}

/// What an answer of JSON is; as text, what is wrong with it.
fn read_json(env: &Env, text: &str) -> std::result::Result<Datum, String> {
    parse_json(env, text).map_err(|fault| match fault {
        JsonFault::Malformed(complaint) => format!("failed to parse JSON response: {complaint}"),
        JsonFault::Refused(error) => error.message().to_owned(),
    })
}

#[cfg(test)]
mod tests;
