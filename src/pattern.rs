//! Wildcards in attach points: `*` for any text, `[abc]` and `[a-z]` for one character of a set.

/// A compiled pattern. Text without wildcards matches itself only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
    literal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Byte(u8),
    Any,
    /// Ranges of bytes, both ends included.
    Set(Vec<(u8, u8)>),
}

/// Whether the text would match anything but itself.
pub fn has_wildcard(text: &str) -> bool {
    !Pattern::new(text).is_literal()
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let mut items = vec![];
        let mut literal = true;
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                b'*' => {
                    literal = false;
                    if items.last() != Some(&Item::Any) {
                        items.push(Item::Any);
                    }
                }
                // `[]` stays text: `operator[]` is a name.
                b'[' => match tail.iter().position(|&b| b == b']') {
                    Some(end) if end > 0 => {
                        literal = false;
                        items.push(Item::Set(ranges(&tail[..end])));
                        rest = &tail[end + 1..];
                    }
                    _ => items.push(Item::Byte(first)),
                },
                byte => items.push(Item::Byte(byte)),
            }
        }
        Pattern { items, literal }
    }

    /// A pattern that matches everything.
    pub fn any() -> Pattern {
        Pattern { items: vec![Item::Any], literal: false }
    }

    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether the pattern matches everything: `*`.
    pub fn is_any(&self) -> bool {
        self.items == [Item::Any]
    }

    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        // Where to go on when a later item does not fit: the last `*` and how much of the text it has taken.
        let mut retry: Option<(usize, usize)> = None;
        let (mut item, mut at) = (0, 0);
        loop {
            match self.items.get(item) {
                Some(Item::Any) => {
                    item += 1;
                    retry = Some((item, at));
                    if item == self.items.len() {
                        return true;
                    }
                    continue;
                }
                Some(one) if text.get(at).is_some_and(|&byte| one.takes(byte)) => {
                    item += 1;
                    at += 1;
                    continue;
                }
                None if at == text.len() => return true,
                _ => {}
            }
            match retry {
                Some((after, taken)) if taken < text.len() => {
                    retry = Some((after, taken + 1));
                    (item, at) = (after, taken + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Item {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Item::Byte(own) => *own == byte,
            Item::Any => true,
            Item::Set(ranges) => ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)),
        }
    }
}

fn ranges(mut set: &[u8]) -> Vec<(u8, u8)> {
    let mut ranges = vec![];
    loop {
        match set {
            [low, b'-', high, rest @ ..] => {
                ranges.push((*low, *high));
                set = rest;
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                set = rest;
            }
            [] => return ranges,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).matches(text)
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, text) in [
            ("vfs_*", "vfs_read"),
            ("*", ""),
            ("*read", "vfs_read"),
            ("*fs*ea*", "vfs_read"),
            ("a**b", "ab"),
            ("*ab", "aab"),
            ("*aab*c", "aaaabxc"),
            ("vfs_read", "vfs_read"),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in
            [("vfs_*", "xvfs_read"), ("*read", "vfs_readv"), ("", "x"), ("a*b*c", "acb"), ("vfs", "vfs_read")]
        {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn sets_match_one_character() {
        assert!(matches("sys_[er]*", "sys_enter") && matches("x[0-9]y", "x7y"));
        assert!(!matches("sys_[er]*", "sys_xnter") && !matches("x[0-9]y", "x77y"));
        // An empty or open set is text.
        assert!(matches("operator[]", "operator[]") && matches("a[b", "a[b"));
    }

    #[test]
    fn wildcards_are_known() {
        assert!(has_wildcard("vfs_*") && has_wildcard("sys_[er]x"));
        assert!(!has_wildcard("vfs_read") && !has_wildcard("operator[]") && !has_wildcard("a[b"));
        assert!(Pattern::new("**").is_any() && Pattern::any().is_any());
    }
}
