//! How much memory there is: of the machine, or of the container or service that the process runs in, when that is
//! less. Knows Linux' files; not what memory is needed for.

use std::fs;
use std::path::Path;

/// Bytes of memory that this process may count on; `None` when the system does not tell.
pub fn memory() -> Option<u64> {
    memory_of(Path::new("/"))
}

/// As [`memory`], of the system whose files are below `root`.
fn memory_of(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| total(&text));
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(|line| group_limits(line, &read));
    machine.into_iter().chain(limits).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The limits of a control group and of those it is in. A line of `/proc/self/cgroup` is number, controllers, path.
/// Version 2 has one line without controllers. Inside of a container the path may be that of the outside, where the
/// container's own files stand at the top: the top counts in any case.
fn group_limits(line: &str, read: &impl Fn(&str) -> Option<String>) -> Vec<u64> {
    let mut parts = line.splitn(3, ':');
    let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let (tops, file): (&[&str], &str) = if number == "0" && controllers.is_empty() {
        (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        (&["sys/fs/cgroup/memory"], "memory.limit_in_bytes")
    } else {
        return Vec::new();
    };
    let path = path.trim_matches('/');
    let ends = path.match_indices('/').map(|(at, _)| at).chain([0, path.len()]);
    let groups: Vec<&str> = ends.filter_map(|end| path.get(..end)).collect();
    let files = tops.iter().flat_map(|top| groups.iter().map(move |group| (top, group)));
    // No limit is written as `max` in version 2 and as a number beyond every machine in version 1.
    files
        .filter_map(|(top, group)| read(&format!("{top}/{group}/{file}")))
        .filter_map(|text| text.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:        24079688 kB\n";
    const MACHINE: u64 = 24_684_084 * 1024;

    /// The memory of a system that has these files.
    fn memory(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_of(root.path())
    }

    #[test]
    fn without_a_limit_it_is_the_machine() {
        assert_eq!(memory(&[("proc/meminfo", MEMINFO)]), Some(MACHINE));
        let unlimited = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/\n0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(memory(&unlimited), Some(MACHINE));
    }

    #[test]
    fn version_2_inside_of_a_container() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "536870912\n"),
        ];
        assert_eq!(memory(&files), Some(512 << 20));
    }

    #[test]
    fn version_2_of_a_service_whose_parent_has_less() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/system.slice/photondb.service\n"),
            ("sys/fs/cgroup/system.slice/photondb.service/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "1073741824\n"),
        ];
        assert_eq!(memory(&files), Some(1 << 30));
        let (service, parent) = (&files[..3], [&files[..2], &files[3..]].concat());
        assert_eq!(memory(service), Some(2 << 30));
        assert_eq!(memory(&parent), Some(1 << 30));
    }

    #[test]
    fn version_1_whose_path_is_that_of_the_outside() {
        let files = [
            ("proc/meminfo", MEMINFO),
            (
                "proc/self/cgroup",
                "9:name=systemd:/docker/4f2a\n5:cpu,cpuacct:/docker/4f2a\n4:memory:/docker/4f2a\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ];
        assert_eq!(memory(&files), Some(256 << 20));
    }

    #[test]
    fn version_1_on_the_machine_itself_beside_version_2() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/jobs/a\n1:cpu:/\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes", "134217728\n"),
        ];
        assert_eq!(memory(&files), Some(128 << 20));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        assert_eq!(memory(&[]), None);
        let files = [("proc/meminfo", "MemTotal: much\n"), ("proc/self/cgroup", "x\n0:y\n\n")];
        assert_eq!(memory(&files), None);
        assert!(super::memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
