//! The memory that is available to this process: that of the machine, or less if a cgroup limits it.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory that this process may use, in bytes, according to files under `root` (`/`); `None` if they are missing.
pub(crate) fn available_bytes(root: &Path) -> Option<u64> {
    let bounds = [total_bytes(root), cgroup_bytes(root)];
    bounds.into_iter().flatten().min()
}

fn total_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())?;
    kib.checked_mul(1 << 10)
}

/// The smallest limit of the cgroups of this process and of their ancestors.
fn cgroup_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    text.lines().flat_map(|line| groups(root, line)).filter_map(|group| bound(&group)).min()
}

/// The files that may hold the limit of a group, for a line `NUMBER:CONTROLLERS:PATH`: version 2 has no controllers. In a container the path may be
/// the one outside, and the files inside are those of the root.
fn groups(root: &Path, line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mounts, file): (&[&str], &str) = match controllers {
        "" => (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => (&["sys/fs/cgroup/memory"], "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let path = Path::new(path.trim_start_matches('/'));
    let is_inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let levels = path.ancestors().filter(|level| is_inside || level.as_os_str().is_empty());
    levels.flat_map(|level| mounts.iter().map(move |mount| root.join(mount).join(level).join(file))).collect()
}

/// `max`, or a number larger than any machine's memory, means none.
fn bound(file: &Path) -> Option<u64> {
    const NONE_FROM: u64 = 1 << 60;
    fs::read_to_string(file).ok()?.trim().parse::<u64>().ok().filter(|bytes| *bytes < NONE_FROM)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available_bytes(root.path()).map(|bytes| bytes / MIB)
    }

    const TOTAL: (&str, &str) = ("proc/meminfo", "MemFree:  1 kB\nMemTotal:    1048576 kB\n");
    const SELF: &str = "proc/self/cgroup";

    #[test]
    fn machine_memory_applies_without_a_cgroup_limit() {
        assert_eq!(machine(&[]), None);
        assert_eq!(machine(&[TOTAL]), Some(1024));
        assert_eq!(machine(&[TOTAL, (SELF, "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")]), Some(1024));
        let none = "9223372036854771712";
        assert_eq!(machine(&[TOTAL, (SELF, "4:memory:/a\n"), ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", none)]), Some(1024));
        assert_eq!(machine(&[TOTAL, (SELF, "nonsense\n0::/../../a\n")]), Some(1024));
    }

    #[test]
    fn the_smallest_limit_of_all_enclosing_cgroups_applies() {
        let v2 = [
            TOTAL,
            (SELF, "0::/system.slice/weir.service\n"),
            ("sys/fs/cgroup/system.slice/weir.service/memory.max", "max"),
            ("sys/fs/cgroup/system.slice/memory.max", "268435456\n"),
        ];
        assert_eq!(machine(&v2), Some(256));
        let v1 = [TOTAL, (SELF, "7:cpu:/\n4:memory:/docker/abc\n0::/\n"), ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728")];
        assert_eq!(machine(&v1), Some(128), "in a container, its own group is the root");
        let both = [
            TOTAL,
            (SELF, "4:cpuset,memory:/a\n0::/b\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "536870912"),
            ("sys/fs/cgroup/unified/b/memory.max", "402653184"),
        ];
        assert_eq!(machine(&both), Some(384));
        assert_eq!(machine(&[(SELF, "0::/\n"), ("sys/fs/cgroup/memory.max", "2147483648")]), Some(2048));
    }
}
