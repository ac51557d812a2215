//! The options of `r.http`, checked in RethinkDB's order; each error blames the option.

use std::sync::Arc;

use crate::datum::{Datum, Object};
use crate::limits;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::http_client::{
    Auth, AuthKind, Method, Request, ResultFormat, encode_fields, field_text,
};

/// The request that the term asks for.
pub(super) fn read(args: &Args<'_>, url: &str) -> Result<Request> {
    let auth = auth(args)?;
    let method = method(args)?;
    let data = data(args, method)?;
    let format = result_format(args)?;
    let params = params(args)?;
    let header = header(args)?;
    let timeout = timeout(args)?;
    Ok(Request {
        method,
        url: url.to_owned(),
        params,
        header,
        content_type: data.content_type,
        body: data.body,
        auth,
        timeout,
        attempts: attempts(args)?,
        redirects: redirects(args)?,
        verify: args.optarg_bool("verify", true)?,
        format,
    })
}

/// An option as a value, and where it is.
fn option(args: &Args<'_>, name: &'static str) -> Result<Option<(Datum, NodeId)>> {
    let Some(val) = args.optarg(name)? else { return Ok(None) };
    let at = val.at;
    Ok(Some((val.into_datum(args.env)?, at)))
}

/// An option as text, and where it is.
fn text_option(args: &Args<'_>, name: &'static str) -> Result<Option<(Arc<str>, NodeId)>> {
    let Some(val) = args.optarg(name)? else { return Ok(None) };
    let at = val.at;
    Ok(Some((val.str(args.env)?, at)))
}

fn fault<T>(at: NodeId, text: String) -> Result<T> {
    Err(Error::logic(text).at(at))
}

fn auth(args: &Args<'_>) -> Result<Option<Auth>> {
    let Some((auth, at)) = option(args, "auth")? else { return Ok(None) };
    let Datum::Object(fields) = &auth else {
        let found = auth.type_name();
        return fault(at, format!("Expected `auth` to be an OBJECT, but found {found}."));
    };
    let kind = match fields.get("type") {
        None => "basic",
        Some(Datum::String(kind)) => kind,
        Some(_) => {
            let found = auth.type_name();
            return fault(at, format!("Expected `auth.type` to be a STRING, but found {found}."));
        }
    };
    let item = |name: &str| match fields.get(name) {
        Some(Datum::String(text)) => Ok(text.to_string()),
        Some(other) => {
            let found = other.type_name();
            fault(at, format!("Expected `auth.{name}` to be a STRING, but found {found}."))
        }
        None => fault(at, format!("`auth.{name}` not found in the auth object.")),
    };
    let (user, password) = (item("user")?, item("pass")?);
    let kind = match kind {
        "basic" => AuthKind::Basic,
        "digest" => AuthKind::Digest,
        _ => {
            let text = "`auth.type` is not recognized ('basic', and 'digest' are allowed).";
            return fault(at, text.to_owned());
        }
    };
    Ok(Some(Auth { kind, user, password }))
}

fn method(args: &Args<'_>) -> Result<Method> {
    let Some((name, at)) = text_option(args, "method")? else { return Ok(Method::Get) };
    match Method::from_name(&name) {
        Some(method) => Ok(method),
        None => fault(
            at,
            format!(
                "`method` ({name}) is not recognized (GET, HEAD, POST, PUT, PATCH and DELETE are allowed)."
            ),
        ),
    }
}

struct Data {
    content_type: Option<&'static str>,
    body: Vec<u8>,
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

/// The body: text as it is; of a POST, an object as a form; of the others, any value as JSON.
fn data(args: &Args<'_>, method: Method) -> Result<Data> {
    let content_type = if method == Method::Post { FORM } else { None };
    let Some((data, at)) = option(args, "data")? else {
        return Ok(Data { content_type, body: Vec::new() });
    };
    let body = match (method, &data) {
        (Method::Get | Method::Head, _) => {
            return Err(Error::logic(
                "`data` should only be specified on a PUT, POST, PATCH, or DELETE request.  If you want URL \
                 parameters, use `params` instead.",
            ));
        }
        (_, Datum::String(text)) => text.as_bytes().to_vec(),
        (Method::Post, Datum::Object(fields)) => form(fields, at)?.into_bytes(),
        (Method::Post, other) => {
            let found = other.type_name();
            return fault(
                at,
                format!("Expected `data` to be a STRING or OBJECT, but found {found}."),
            );
        }
        (Method::Put | Method::Patch | Method::Delete, value) => {
            let content_type = Some("application/json");
            return Ok(Data { content_type, body: value.to_json().into_bytes() });
        }
    };
    Ok(Data { content_type, body })
}

fn form(fields: &Object, at: NodeId) -> Result<String> {
    let mut texts = Vec::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let Some(text) = field_text(value) else {
            let found = value.type_name();
            return fault(
                at,
                format!(
                    "Expected `data.{name}` to be a NUMBER, STRING or NULL, but found {found}."
                ),
            );
        };
        texts.push((name.as_ref(), text));
    }
    Ok(encode_fields(texts.into_iter()))
}

fn result_format(args: &Args<'_>) -> Result<ResultFormat> {
    let Some((name, at)) = text_option(args, "result_format")? else {
        return Ok(ResultFormat::Auto);
    };
    match ResultFormat::from_name(&name) {
        Some(format) => Ok(format),
        None => fault(
            at,
            format!(
                "`result_format` ({name}) is not recognized, ('auto', 'json', 'jsonp', 'text', and 'binary' are \
                 allowed)."
            ),
        ),
    }
}

fn params(args: &Args<'_>) -> Result<Object> {
    match option(args, "params")? {
        Some((params, at)) => checked_params(&params).map_err(|error| error.at(at)),
        None => Ok(Object::empty()),
    }
}

/// Parameters for an address: texts, numbers and nulls by name.
pub(super) fn checked_params(params: &Datum) -> Result<Object> {
    let Datum::Object(fields) = params else {
        return Err(Error::logic(format!(
            "Expected `params` to be an OBJECT, but found {}:\n{}",
            params.type_name(),
            params.print()
        )));
    };
    match fields.iter().find(|(_, value)| field_text(value).is_none()) {
        Some((name, value)) => Err(Error::logic(format!(
            "Expected `params.{name}` to be a NUMBER, STRING or NULL, but found {}:\n{}",
            value.type_name(),
            value.print()
        ))),
        None => Ok(fields.clone()),
    }
}

fn header(args: &Args<'_>) -> Result<Vec<String>> {
    let Some((header, at)) = option(args, "header")? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    match &header {
        Datum::Object(fields) => {
            for (name, value) in fields.iter() {
                match value {
                    Datum::String(value) => lines.push(format!("{name}: {value}")),
                    // No line at all.
                    Datum::Null => {}
                    other => {
                        let found = other.type_name();
                        let text = format!(
                            "Expected `header.{name}` to be a STRING or NULL, but found {found}."
                        );
                        return fault(at, text);
                    }
                }
            }
        }
        Datum::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                match value {
                    Datum::String(line) => lines.push(line.to_string()),
                    other => {
                        let found = other.type_name();
                        let text =
                            format!("Expected `header[{i}]` to be a STRING, but found {found}.");
                        return fault(at, text);
                    }
                }
            }
        }
        other => {
            let found = other.type_name();
            let text = format!("Expected `header` to be an ARRAY or OBJECT, but found {found}.");
            return fault(at, text);
        }
    }
    if lines.iter().any(|line| line.contains(['\r', '\n'])) {
        return fault(at, "A `header` item contains newline characters.".to_owned());
    }
    Ok(lines)
}

fn timeout(args: &Args<'_>) -> Result<u64> {
    let Some(val) = args.optarg("timeout")? else { return Ok(limits::FETCH_TIMEOUT_MILLISECONDS) };
    let at = val.at;
    let milliseconds = val.number(args.env)? * 1000.0;
    if milliseconds < 0.0 {
        return fault(at, "`timeout` may not be negative.".to_owned());
    }
    // The conversion keeps to the largest number.
    Ok((milliseconds as u64).min(limits::FETCH_TIMEOUT_MAX_MILLISECONDS))
}

fn attempts(args: &Args<'_>) -> Result<u64> {
    match args.optarg("attempts")? {
        // A negative number is a very large one, as in RethinkDB; the server has a bound of its own.
        Some(val) => Ok(val.integer(args.env)? as u64),
        None => Ok(limits::FETCH_ATTEMPTS),
    }
}

fn redirects(args: &Args<'_>) -> Result<u32> {
    let Some(val) = args.optarg("redirects")? else { return Ok(limits::FETCH_REDIRECTS) };
    let at = val.at;
    let redirects = val.integer(args.env)?;
    match u32::try_from(redirects) {
        Ok(redirects) => Ok(redirects),
        Err(_) => fault(at, format!("Integer too large: {redirects}")),
    }
}
