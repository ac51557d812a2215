//! Whether the memory that the server may have holds what it is to be divided into: the cache and what queries take. Knows
//! bytes and options; not what takes them.

use super::{CacheSize, ConfigError, Origin, RawOptions, Settings, StorageSettings};
use crate::limits;

/// Why the memory of the server does not hold what it is divided into, in megabytes. The options are as they were written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{origin}: {memory} MB do not hold a cache of {cache} MB ({cache_origin}), a query of {query} MB \
     ({query_origin}) and an eighth for everything else: raise the limit, or lower the others"
)]
pub struct NoRoom {
    origin: Origin,
    memory: u64,
    cache_origin: Origin,
    cache: u64,
    query_origin: Origin,
    query: u64,
}

/// The largest cache in so much memory that leaves room for a query, as large as the operator allows one to be. A part is
/// kept for everything else: queries are ended before it is taken.
pub fn cache_bytes_most(memory: u64, query: Option<u64>) -> u64 {
    let kept = memory / limits::QUERY_MACHINE_PART;
    (memory - kept).saturating_sub(query.unwrap_or(limits::QUERY_BYTES_MIN))
}

/// The cache of a server that may have so much memory and is told nothing else.
pub fn automatic_cache_bytes(memory: u64) -> u64 {
    let part = memory / limits::CACHE_MACHINE_PART;
    part.clamp(limits::CACHE_BYTES_MIN, limits::CACHE_BYTES_MAX)
}

/// Refuses a `--memory-limit` that does not hold the cache and a query.
pub(super) fn check(settings: &Settings, raw: &RawOptions) -> Result<(), ConfigError> {
    let Some((memory, (origin, _))) = settings.memory.zip(raw.one("memory-limit")) else {
        return Ok(());
    };
    let automatic = automatic_cache_bytes(memory);
    let cache = match &settings.storage {
        StorageSettings::Memory => 0,
        StorageSettings::Slab(slab) => match slab.cache {
            Some(CacheSize::Bytes(bytes)) => bytes,
            // What was set before is known once the data is open.
            Some(CacheSize::Auto) | None => automatic,
        },
    };
    let query = settings.queries.memory;
    if cache <= cache_bytes_most(memory, query) {
        return Ok(());
    }
    let megabytes = |bytes: u64| bytes / (1024 * 1024);
    let named = |option: &str| {
        let given = raw.one(option).map(|(origin, _)| origin.clone());
        given.unwrap_or_else(|| Origin::CommandLine(option.to_owned()))
    };
    Err(ConfigError::Room(Box::new(NoRoom {
        origin: origin.clone(),
        memory: megabytes(memory),
        cache_origin: named("cache-size"),
        cache: megabytes(cache),
        query_origin: named("query-memory"),
        query: megabytes(query.unwrap_or(limits::QUERY_BYTES_MIN)),
    })))
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    const MB: u64 = 1 << 20;

    fn checked(options: &[(&str, &str)]) -> Result<Settings, String> {
        let mut raw = RawOptions::new();
        for (name, value) in options {
            raw.command_line(find(name).unwrap(), vec![(*value).to_owned()]);
        }
        Settings::check(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cache_that_leaves_no_room_for_a_query_is_refused_with_both_options() {
        for cache in ["97", "256", "1024"] {
            let text = format!(
                "--memory-limit: 256 MB do not hold a cache of {cache} MB (--cache-size), a query of 128 MB (--query-memory) \
                 and an eighth for everything else: raise the limit, or lower the others"
            );
            let options = [("memory-limit", "256"), ("cache-size", cache)];
            assert_eq!(checked(&options).unwrap_err(), text);
        }
        checked(&[("memory-limit", "256"), ("cache-size", "96")]).unwrap();
        let of_no_use = [("memory-limit", "256"), ("cache-size", "1024")];
        checked(&[&of_no_use[..], &[("storage-engine", "memory")]].concat()).unwrap();
        checked(&[("cache-size", "1024")]).unwrap();
    }

    #[test]
    fn a_query_that_may_take_more_than_the_server_is_refused() {
        let error = checked(&[("memory-limit", "1024"), ("query-memory", "1024")]).unwrap_err();
        assert!(error.contains("a cache of 256 MB (--cache-size), a query of 1024 MB"), "{error}");
        checked(&[("memory-limit", "1024"), ("query-memory", "640")]).unwrap();
    }

    #[test]
    fn the_automatic_cache_fits_into_every_limit() {
        for megabytes in [256, 300, 512, 1_000, 4_096, 1 << 20] {
            let memory = megabytes * MB;
            assert!(automatic_cache_bytes(memory) <= cache_bytes_most(memory, None), "{megabytes}");
            for cache in ["auto", ""] {
                let limit = ("memory-limit", megabytes.to_string());
                let mut options = vec![(limit.0, limit.1.as_str())];
                options.extend((!cache.is_empty()).then_some(("cache-size", cache)));
                checked(&options).unwrap();
            }
        }
    }
}
