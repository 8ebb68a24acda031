//! The machine's memory.

/// Bytes that the system can give without swapping, and that the process's control group allows.
#[cfg(not(target_family = "wasm"))]
pub fn unused() -> usize {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    usize::try_from(system.available_memory().min(group)).unwrap_or(usize::MAX)
}

/// A quarter of what 32 bits address.
#[cfg(target_family = "wasm")]
pub fn unused() -> usize {
    1 << 30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_memory_that_nothing_uses() {
        let bytes = unused();
        assert!(bytes > 1 << 20, "{bytes}");
    }
}
