//! Which CPUs there are.

use std::fs;

/// One more than the highest number a CPU can have.
pub fn possible() -> u32 {
    let listed = |name| read(name).into_iter().max().map(|n| n.saturating_add(1));
    // Without sysfs, the C library's count is the best there is.
    listed("possible").unwrap_or_else(|| configured().max(1))
}

/// The numbers of the CPUs that run.
pub fn online() -> Vec<u32> {
    let listed = read("online");
    if listed.is_empty() { (0..configured().max(1)).collect() } else { listed }
}

fn configured() -> u32 {
    // SAFETY: sysconf only reads its argument.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    u32::try_from(count).unwrap_or(0)
}

fn read(name: &str) -> Vec<u32> {
    fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).map(|text| list(&text)).unwrap_or_default()
}

/// A list as the kernel writes it: `0-3,8,10-11`.
fn list(text: &str) -> Vec<u32> {
    // As many as the kernel can be built for, so that a broken file does not fill memory.
    const MOST: u32 = 65_536;
    let mut numbers = vec![];
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            numbers.extend(first..=last.min(MOST));
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_ranges_and_single_numbers() {
        assert_eq!(list("0-1\n"), [0, 1]);
        assert_eq!(list("0,2-4,9\n"), [0, 2, 3, 4, 9]);
        assert_eq!(list("\n"), [0u32; 0]);
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(possible() >= 1);
        assert!(online().iter().all(|cpu| *cpu < possible()));
        assert!(!online().is_empty());
    }
}
