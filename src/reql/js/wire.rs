//! What goes between the server and a script helper: frames of a length and bytes, and in them jobs, results and values.
//! Both ends are the same binary, so there are no versions. Knows bytes and values; not who reads them.
//!
//! What comes from a helper is not trusted: it runs what clients wrote. Lengths are bounded before anything is kept, and
//! values that are nested deeper than any result may be are refused.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Job, Outcome, ScriptError};
use crate::datum::{Datum, work};
use crate::limits;

/// What a helper says first. What comes before it is passed over.
pub(super) const GREETING: &[u8] = b"photondb script helper\n";

/// Asks for an engine in which no script has run yet.
pub(super) const RENEW: &[u8] = &[];

/// Text of a value that is nested too deep, at either end.
pub(super) const TOO_DEEP: &str = "The value is nested too deep for `r.js`.";

/// Writes a frame.
pub(super) fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(frame)?;
    to.flush()
}

/// Reads a frame.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length as usize > limits::SCRIPT_FRAME_BYTES {
        return Err(io::Error::other("a frame is too long"));
    }
    let mut frame = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut frame)?;
    if frame.len() < length as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame) }
}

/// The frame of a job. Fails when an argument is too deep or too large to be passed.
pub(super) fn write_job(job: &Job) -> Result<Vec<u8>, ScriptError> {
    let mut out = Vec::new();
    let left = job.deadline.map(|end| end.saturating_duration_since(Instant::now()));
    let left = left.map_or(u64::MAX, |left| u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
    out.extend_from_slice(&left.to_le_bytes());
    out.extend_from_slice(&(job.array_limit as u64).to_le_bytes());
    write_bytes(job.source.as_bytes(), &mut out)?;
    match &job.args {
        None => out.push(0),
        Some(args) => {
            out.push(1);
            write_count(args.len(), &mut out)?;
            args.iter().try_for_each(|arg| write_value(arg, 0, &mut out))?;
        }
    }
    Ok(out)
}

/// The job of a frame.
pub(super) fn read_job(frame: &[u8]) -> Option<Job> {
    let mut input = Input(frame);
    let left = input.number()?;
    let array_limit = usize::try_from(input.number()?).ok()?;
    let source = input.text()?;
    let args = match input.byte()? {
        0 => None,
        _ => Some((0..input.count()?).map(|_| input.value(0)).collect::<Option<_>>()?),
    };
    let deadline = match left {
        u64::MAX => None,
        left => Instant::now().checked_add(Duration::from_micros(left)),
    };
    Some(Job { source, args, array_limit, deadline })
}

/// The frame of a result.
pub(super) fn write_result(result: &Result<Outcome, ScriptError>) -> Vec<u8> {
    let mut out = vec![match result {
        Ok(Outcome::Value(_)) => 0,
        Ok(Outcome::Function) => 1,
        Err(ScriptError::Failed(_)) => 2,
        Err(ScriptError::ArrayTooLong(_)) => 3,
        Err(ScriptError::Interrupted) => 4,
        Err(ScriptError::OutOfMemory) => 5,
        Err(ScriptError::Busy | ScriptError::NotStarted(_) | ScriptError::Crashed) => 6,
    }];
    let written = match result {
        Ok(Outcome::Value(value)) => write_value(value, 0, &mut out),
        Err(ScriptError::Failed(text)) => write_bytes(text.as_bytes(), &mut out),
        Err(ScriptError::ArrayTooLong(length)) => {
            out.extend_from_slice(&(*length as u64).to_le_bytes());
            Ok(())
        }
        _ => Ok(()),
    };
    match written {
        Ok(()) => out,
        // It is no longer than the results that are let through; its text may be.
        Err(error) => write_result(&Err(match error {
            ScriptError::Failed(_) => ScriptError::Failed(TOO_DEEP.to_owned()),
            _ => ScriptError::OutOfMemory,
        })),
    }
}

/// The result of a frame.
pub(super) fn read_result(frame: &[u8]) -> Option<Result<Outcome, ScriptError>> {
    let mut input = Input(frame);
    Some(match input.byte()? {
        0 => Ok(Outcome::Value(input.value(0)?)),
        1 => Ok(Outcome::Function),
        2 => Err(ScriptError::Failed(input.text()?.to_string())),
        3 => Err(ScriptError::ArrayTooLong(usize::try_from(input.number()?).ok()?)),
        4 => Err(ScriptError::Interrupted),
        5 => Err(ScriptError::OutOfMemory),
        _ => Err(ScriptError::Crashed),
    })
}

fn write_count(count: usize, out: &mut Vec<u8>) -> Result<(), ScriptError> {
    let count = u32::try_from(count).map_err(|_| ScriptError::OutOfMemory)?;
    out.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ScriptError> {
    if bytes.len() + out.len() > limits::SCRIPT_FRAME_BYTES {
        return Err(ScriptError::OutOfMemory);
    }
    write_count(bytes.len(), out)?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn write_value(value: &Datum, depth: usize, out: &mut Vec<u8>) -> Result<(), ScriptError> {
    work::step();
    if depth >= limits::SCRIPT_VALUE_DEPTH {
        return Err(ScriptError::Failed(TOO_DEEP.to_owned()));
    }
    if out.len() > limits::SCRIPT_FRAME_BYTES {
        return Err(ScriptError::OutOfMemory);
    }
    match value {
        Datum::MinVal => out.push(0),
        Datum::Null => out.push(1),
        Datum::Bool(false) => out.push(2),
        Datum::Bool(true) => out.push(3),
        Datum::Number(number) => {
            out.push(4);
            out.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        Datum::String(text) => {
            out.push(5);
            write_bytes(text.as_bytes(), out)?;
        }
        // What is in it is of no use to a script, which is told so.
        Datum::Binary(_) => out.push(6),
        Datum::Array(values) => {
            out.push(7);
            write_count(values.len(), out)?;
            values.iter().try_for_each(|value| write_value(value, depth + 1, out))?;
        }
        Datum::Object(object) => {
            out.push(8);
            write_count(object.len(), out)?;
            for (name, value) in object.iter() {
                write_bytes(name.as_bytes(), out)?;
                write_value(value, depth + 1, out)?;
            }
        }
        Datum::MaxVal => out.push(9),
    }
    Ok(())
}

/// What is left of a frame.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn count(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?) as usize)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok().map(Arc::from)
    }

    fn value(&mut self, depth: usize) -> Option<Datum> {
        if depth > limits::SCRIPT_VALUE_DEPTH {
            return None;
        }
        Some(match self.byte()? {
            0 => Datum::MinVal,
            1 => Datum::Null,
            2 => Datum::Bool(false),
            3 => Datum::Bool(true),
            4 => Datum::Number(f64::from_bits(self.number()?)),
            5 => Datum::String(self.text()?),
            6 => Datum::Binary(Arc::from([])),
            7 => {
                let values = (0..self.count()?).map(|_| self.value(depth + 1));
                Datum::array(values.collect::<Option<_>>()?)
            }
            8 => {
                let fields =
                    (0..self.count()?).map(|_| Some((self.text()?, self.value(depth + 1)?)));
                Datum::Object(fields.collect::<Option<Vec<_>>>()?.into_iter().collect())
            }
            9 => Datum::MaxVal,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_results_pass() {
        let value = Datum::object([
            ("a", Datum::array(vec![Datum::Null, Datum::Bool(true), Datum::Number(-0.0)])),
            ("é", "\0text".into()),
        ]);
        let deadline = Some(Instant::now() + Duration::from_secs(60));
        let args = Some(vec![value.clone(), Datum::MinVal]);
        let job = Job { source: "x => x".into(), args: args.clone(), array_limit: 7, deadline };
        let read = read_job(&write_job(&job).unwrap()).unwrap();
        assert_eq!((&*read.source, &read.args, read.array_limit), ("x => x", &args, 7));
        let left = read.deadline.unwrap() - Instant::now();
        assert!(left > Duration::from_secs(59) && left <= Duration::from_secs(60), "{left:?}");
        let Ok(Outcome::Value(read)) =
            read_result(&write_result(&Ok(Outcome::Value(value.clone())))).unwrap()
        else {
            panic!("a value");
        };
        assert_eq!(read.to_json(), value.to_json());
        for error in [
            ScriptError::Failed("no".to_owned()),
            ScriptError::ArrayTooLong(9),
            ScriptError::Interrupted,
            ScriptError::OutOfMemory,
            ScriptError::Crashed,
        ] {
            let read = read_result(&write_result(&Err(error.clone()))).unwrap();
            assert_eq!(read.err(), Some(error));
        }
    }

    #[test]
    fn what_is_no_frame_of_ours_is_refused() {
        for frame in [&b""[..], b"\0", b"\0\x05\xff\xff\xff\xff", b"\0\x07\xff\xff\xff\xff\x01"] {
            assert!(read_result(frame).is_none(), "{frame:?}");
        }
        let deep: Vec<u8> =
            [0].into_iter().chain((0..100_000).flat_map(|_| [7, 1, 0, 0, 0])).collect();
        assert!(read_result(&deep).is_none());
        let mut long: &[u8] = &[0xff; 8];
        assert!(read_frame(&mut long).is_err());
    }

    #[test]
    fn a_value_that_holds_itself_many_times_is_not_written_whole() {
        let shared = (0..60).fold(Datum::Null, |part, _| Datum::array(vec![part.clone(), part]));
        let job =
            Job { source: "".into(), args: Some(vec![shared]), array_limit: 1, deadline: None };
        assert_eq!(write_job(&job).err(), Some(ScriptError::OutOfMemory));
    }
}
