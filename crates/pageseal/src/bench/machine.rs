//! What a machine must say of itself so that its figures can be compared with those of another.

use std::fs;

use serde::Serialize;

/// The machine, without anything that tells whose it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Machine {
    /// Model of the processor as the kernel names it; empty if it does not.
    pub cpu_model: String,
    /// Threads that this process can run at once.
    pub cores: usize,
    /// Architecture, as `x86_64`.
    pub architecture: &'static str,
    /// Features of the processor that ciphers can use.
    pub cpu_features: Vec<&'static str>,
    /// Memory in bytes; 0 if unknown.
    pub memory_bytes: u64,
    /// Release of the kernel; empty if unknown.
    pub kernel: String,
}

impl Machine {
    /// Asks this machine. What it does not tell stays empty.
    #[must_use]
    pub fn describe() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpu_model: cpu_model(&read("/proc/cpuinfo")).unwrap_or_default(),
            cores: super::threads::available(),
            architecture: std::env::consts::ARCH,
            cpu_features: cpu_features(),
            memory_bytes: memory_bytes(&read("/proc/meminfo")).unwrap_or(0),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

/// aarch64 has no such line.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(target_arch = "x86_64")]
pub(super) fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut add = |is_there: bool, name| {
        if is_there {
            found.push(name);
        }
    };
    add(std::arch::is_x86_feature_detected!("aes"), "AES-NI");
    add(std::arch::is_x86_feature_detected!("pclmulqdq"), "PCLMULQDQ");
    add(std::arch::is_x86_feature_detected!("avx2"), "AVX2");
    add(std::arch::is_x86_feature_detected!("vaes"), "VAES");
    add(std::arch::is_x86_feature_detected!("vpclmulqdq"), "VPCLMULQDQ");
    add(
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl"),
        "AVX-512",
    );
    found
}

#[cfg(target_arch = "aarch64")]
pub(super) fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    if std::arch::is_aarch64_feature_detected!("aes") {
        found.push("AES");
    }
    if std::arch::is_aarch64_feature_detected!("neon") {
        found.push("NEON");
    }
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Some CPU: 7\n").unwrap(), "Some CPU: 7");
        assert_eq!(cpu_model("processor\t: 0\n"), None);
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(memory_bytes(""), None);
    }

    #[test]
    fn this_machine_says_something() {
        let machine = Machine::describe();
        assert!(machine.cores > 0 && machine.memory_bytes > 0);
        assert!(machine.kernel.len() > "Linux ".len());
    }
}
