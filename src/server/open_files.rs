//! How many files the process may have open, and how many of them connections may take. Sockets are files: were all of
//! them sockets, storage could make no segment and no checkpoint. Knows the system's limit, not who opens what.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::limits;

/// Most connections at once, by who serves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Of drivers, over every transport.
    pub drivers: usize,
    /// Of HTTP clients.
    pub http: usize,
}

/// Raises the soft limit to the hard one, and divides what there is. What it comes to is in the log.
pub fn raise() -> ConnectionBounds {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            warn!("the limit of open files cannot be raised: {error}");
            current
        }
    };
    let bounds = divided(files);
    if bounds.drivers < limits::CONNECTIONS {
        info!(
            "Serving {} connections of drivers at most: the system allows {} open files. \
             `ulimit -n` or LimitNOFILE raises that.",
            bounds.drivers,
            files.unwrap_or(u64::MAX)
        );
    }
    bounds
}

/// The bounds where the system allows so many open files; `None` is without limit.
fn divided(files: Option<u64>) -> ConnectionBounds {
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let sockets = files.saturating_sub(limits::OPEN_FILES_RESERVE.min(files / 2));
    let http = limits::HTTP_CONNECTIONS.min(sockets / 8).max(1);
    ConnectionBounds { drivers: limits::CONNECTIONS.min(sockets - http).max(1), http }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_keeps_its_share_of_the_files() {
        let most =
            ConnectionBounds { drivers: limits::CONNECTIONS, http: limits::HTTP_CONNECTIONS };
        assert_eq!(divided(None), most);
        assert_eq!(divided(Some(1 << 20)), most);
        for files in [64, 1_024, 4_096, 20_000] {
            let bounds = divided(Some(files));
            let reserve = limits::OPEN_FILES_RESERVE.min(files as usize / 2);
            assert!(bounds.drivers + bounds.http + reserve <= files as usize, "{bounds:?}");
            assert!(bounds.drivers > files as usize / 4, "{bounds:?}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
