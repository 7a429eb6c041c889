//! Names that somebody may have meant.

/// Up to three of the names that are near to one, nearest first: they differ in few letters, or one is in the
/// other.
pub fn similar<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Vec<String> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let mut near: Vec<(usize, String)> = vec![];
    for candidate in known {
        let candidate = candidate.as_ref();
        // What differs in length by more than the limit can only contain the name.
        let contains = name.len() > 3
            && (candidate.trim_start_matches('_') == name.trim_start_matches('_')
                || candidate.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '_'])));
        let distance = if contains {
            1
        } else if candidate.len().abs_diff(name.len()) <= limit {
            distance(name, candidate, limit)
        } else {
            continue;
        };
        if distance <= limit {
            near.push((distance, candidate.to_owned()));
        }
    }
    let rank = |(distance, candidate): &(usize, String)| {
        (*distance, candidate.len().abs_diff(name.len()), candidate.len())
    };
    near.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.1.cmp(&b.1)));
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many bytes have to be replaced, added, taken away or swapped with their neighbour, given up as `limit + 1`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let mut next = (last[j] + usize::from(from != to)).min(row[j] + 1).min(last[j + 1] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && to == a[i - 1] {
                next = next.min(before[j - 1] + 1);
            }
            row.push(next);
        }
        if row.iter().min().is_some_and(|best| *best > limit) {
            return limit + 1;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["vfs_read", "vfs_write", "vfs_readv", "__vfs_read", "vfs_readlink", "ksys_read"];
        assert_eq!(similar("vfs_raed", known).first().map(String::as_str), Some("vfs_read"));
        assert_eq!(similar("vfs_read", ["vfs_read.isra.0", "vfs_reads"]), ["vfs_reads", "vfs_read.isra.0"]);
        assert_eq!(similar("zzz", known), Vec::<String>::new());
    }

    #[test]
    fn distances_are_counted() {
        assert_eq!(distance("kitten", "sitting", 5), 3);
        assert_eq!(distance("", "ab", 5), 2);
        assert_eq!(distance("raed", "read", 5), 1);
        assert_eq!(distance("abcdef", "uvwxyz", 2), 3);
    }
}
