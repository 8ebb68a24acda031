//! The machine's memory.

/// Divisor of the machine's available memory that gives a generation's: half is left for activations, for the packed
/// weights and for a second job.
const SHARE: usize = 2;

/// See [`crate::backend::Backend::available`].
pub fn available() -> usize {
    unused() / SHARE
}

/// Bytes that the system can give without swapping, and that the process's control group allows.
#[cfg(not(target_family = "wasm"))]
fn unused() -> usize {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    usize::try_from(system.available_memory().min(group)).unwrap_or(usize::MAX)
}

/// A quarter of what 32 bits address.
#[cfg(target_family = "wasm")]
fn unused() -> usize {
    1 << 30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_machines_memory_is_available() {
        let bytes = available();
        assert!(bytes > 1 << 20, "{bytes}");
    }
}
