//! "Did you mean": the nearest names to one that is unknown.

/// How many names are offered.
const MOST: usize = 3;

/// The candidates that `name` may be a slip of, best first, at most three: a third of its letters may differ
/// (replaced, missing, too many, or swapped with a neighbour), or it lacks an ending (`vfs_read.isra.0`) or
/// leading underscores. Of a name of one or two letters that says too little: what is offered for it begins as it does
/// and has all of its letters. Cheap enough for a kernel's functions: most candidates are refused by their length, and
/// each row of the comparison ends it when all is lost.
pub fn closest<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Vec<String> {
    let letters = Letters::new(name);
    let mut limit = (letters.letters.len() / 3).clamp(1, 4);
    // The distance, then what differs in length, then the name.
    let mut found: Vec<(usize, usize, String)> = vec![];
    let mut rows = Rows::default();
    for candidate in candidates {
        let candidate = candidate.as_ref();
        let distance =
            if extends(name, candidate) { Some(1) } else { rows.distance(&letters, candidate, limit) };
        let Some(distance) = distance.filter(|d| *d <= limit) else { continue };
        if letters.letters.len() < 3 && !keeps(&letters, candidate) {
            continue;
        }
        let entry = (distance, candidate.len().abs_diff(name.len()), candidate.to_owned());
        let Err(at) = found.binary_search(&entry) else { continue };
        found.insert(at, entry);
        found.truncate(MOST);
        if let [.., last] = found.as_slice()
            && found.len() == MOST
        {
            limit = last.0;
        }
    }
    // Next to a clear winner, distant ones only confuse.
    let best = found.first().map_or(0, |f| f.0);
    found.into_iter().filter(|f| f.0 <= best + 1).map(|f| f.2).collect()
}

/// The candidate has the name's letters in their order, the first one first; or they have changed places.
fn keeps(name: &Letters, candidate: &str) -> bool {
    let mut rest = candidate.chars().map(|c| c.to_ascii_lowercase());
    let first = name.letters.first().copied();
    let in_order = first.is_some_and(|first| candidate.to_ascii_lowercase().starts_with(first))
        && name.letters.iter().all(|letter| rest.any(|c| c == *letter));
    in_order || candidate.to_ascii_lowercase().chars().rev().eq(name.letters.iter().copied())
}

/// The candidate is the name with an ending of its own, or with underscores before it.
fn extends(name: &str, candidate: &str) -> bool {
    name.len() > 3
        && (candidate.trim_start_matches('_') == name.trim_start_matches('_')
            || candidate.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '_'])))
}

/// `did you mean "a", "b" or "c"?`: a line of help, if there is anything to offer.
pub fn did_you_mean<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Option<String> {
    one_of(&closest(name, candidates))
}

/// The same of names that have been chosen.
pub fn one_of<S: AsRef<str>>(names: &[S]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {one}?")),
        [init @ .., last] => Some(format!("did you mean {} or {last}?", init.join(", "))),
    }
}

struct Letters {
    letters: Vec<char>,
}

impl Letters {
    fn new(text: &str) -> Letters {
        Letters { letters: text.chars().map(|c| c.to_ascii_lowercase()).collect() }
    }
}

/// The last three rows of the table of optimal string alignment, kept for the next candidate.
#[derive(Default)]
struct Rows {
    candidate: Vec<char>,
    before: Vec<usize>,
    above: Vec<usize>,
    row: Vec<usize>,
}

impl Rows {
    /// The distance, if it is not over `limit`. Case does not count.
    fn distance(&mut self, name: &Letters, candidate: &str, limit: usize) -> Option<usize> {
        let name = &name.letters;
        // In bytes it is no shorter than in letters, so this refuses nothing that is near.
        if candidate.len() + limit < name.len() || candidate.len() > (name.len() + limit) * 4 {
            return None;
        }
        self.candidate.clear();
        self.candidate.extend(candidate.chars().map(|c| c.to_ascii_lowercase()));
        let width = self.candidate.len();
        if width.abs_diff(name.len()) > limit {
            return None;
        }
        // Outside of this band around the diagonal the distance is over the limit anyway.
        const FAR: usize = usize::MAX / 2;
        for row in [&mut self.before, &mut self.above, &mut self.row] {
            row.clear();
            row.resize(width + 1, FAR);
        }
        (0..=width.min(limit)).for_each(|j| self.above[j] = j);
        for (i, a) in name.iter().enumerate() {
            let (from, to) = (i.saturating_sub(limit), (i + limit + 1).min(width));
            self.row[from] = if from == 0 { i + 1 } else { FAR };
            let mut least = self.row[from];
            for j in from..to {
                let b = self.candidate[j];
                let replaced = self.above[j] + usize::from(*a != b);
                let mut cell = replaced.min(self.above[j + 1] + 1).min(self.row[j] + 1);
                if i > 0 && j > 0 && *a == self.candidate[j - 1] && name[i - 1] == b {
                    cell = cell.min(self.before[j - 1] + 1);
                }
                self.row[j + 1] = cell;
                least = least.min(cell);
            }
            if let Some(beyond) = self.row.get_mut(to + 1) {
                *beyond = FAR;
            }
            if least > limit {
                return None;
            }
            std::mem::swap(&mut self.before, &mut self.above);
            std::mem::swap(&mut self.above, &mut self.row);
        }
        self.above.last().copied().filter(|d| *d <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_best_first() {
        let names = ["vfs_read", "vfs_readv", "vfs_write", "vfs_open", "tcp_read"];
        assert_eq!(closest("vfs_raed", names), ["vfs_read", "vfs_readv"]);
        assert_eq!(closest("VFS_READ", names), ["vfs_read", "vfs_readv"]);
        assert_eq!(closest("vfs_open", ["__vfs_open", "vfs_open.isra.0"]), ["__vfs_open", "vfs_open.isra.0"]);
        assert_eq!(closest("vfs_opne", names), ["vfs_open"]);
        assert_eq!(closest("nothing_like_it", names), Vec::<String>::new());
        assert_eq!(closest("pd", ["pid", "tid", "uid"]), ["pid"]);
        assert_eq!(closest("", ["a"]), Vec::<String>::new());
        assert_eq!(closest("m", ["a", "n", "M", "mm"]), ["M", "mm"]);
        assert_eq!(closest("st", ["it", "s", "str", "rt"]), ["str"]);
        assert_eq!(closest("di", ["id", "dx"]), ["id"]);
        assert_eq!(closest("hits", ["hist", "lhist"]), ["hist"]);
    }

    #[test]
    fn help_reads_as_a_question() {
        assert_eq!(did_you_mean("cout", ["count"]).unwrap(), "did you mean `count`?");
        assert_eq!(
            did_you_mean("xid", ["pid", "tid", "uid"]).unwrap(),
            "did you mean `pid`, `tid` or `uid`?"
        );
        assert_eq!(did_you_mean("xyz", ["pid"]), None);
    }

    #[test]
    fn many_candidates_are_compared_one_by_one() {
        let names: Vec<String> = (0..20_000).map(|n| format!("some_kernel_function_{n}")).collect();
        let found = closest("some_kernel_functoin_4711", names.iter().map(String::as_str));
        assert_eq!(found.first().map(String::as_str), Some("some_kernel_function_4711"));
    }

    #[test]
    fn the_band_does_not_change_the_distance() {
        // The plain table, for comparison.
        fn plain(a: &[char], b: &[char]) -> usize {
            let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
            for i in 0..=a.len() {
                for j in 0..=b.len() {
                    d[i][j] = if i == 0 || j == 0 {
                        i + j
                    } else {
                        let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                        let replaced = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                        let least = replaced.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
                        if swap { least.min(d[i - 2][j - 2] + 1) } else { least }
                    };
                }
            }
            d[a.len()][b.len()]
        }
        let mut rows = Rows::default();
        let mut random = 1u32;
        let mut word = || -> String {
            let mut letter = || {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                random >> 16
            };
            (0..letter() % 8).map(|_| char::from(b'a' + (letter() % 3) as u8)).collect()
        };
        for _ in 0..5000 {
            let (a, b) = (word(), word());
            let expected = plain(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
            for limit in 1..5 {
                let found = rows.distance(&Letters::new(&a), &b, limit);
                assert_eq!(found, (expected <= limit).then_some(expected), "{a} {b} {limit}");
            }
        }
    }
}
