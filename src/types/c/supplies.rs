//! What a script's headers use and do not define, because the headers that would are not there: constants and types
//! that the language knows without them.

use std::collections::HashSet;
use std::fmt::Write;

use super::libclang::Complaint;
use crate::syntax::ast::Tag;

/// The directory, which has to be there, in which missing headers seem to lie.
pub const STAND_INS: &str = "/";

/// How often headers are read again with what they lacked: each time may show what lies behind.
const MAX_ROUNDS: u32 = 8;

/// Something that C does not find.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// `linux/socket.h`
    Header(String),
    Constant(String),
    /// The name of a type without a tag.
    Typedef(String),
    /// A struct, union or enum whose members are needed.
    Record(Tag, String),
}

impl Missing {
    /// What a complaint of clang's is about.
    pub fn of(complaint: &Complaint) -> Option<Missing> {
        let message = &complaint.message;
        let quoted = |before: &str, behind: &str| {
            let (_, rest) = message.split_once(before)?;
            let (name, rest) = rest.strip_prefix('\'')?.split_once('\'')?;
            rest.starts_with(behind).then(|| name.to_owned())
        };
        if let Some(name) = quoted("", " file not found") {
            return Some(Missing::Header(name));
        }
        if let Some(name) = quoted("use of undeclared identifier ", "") {
            return Some(Missing::Constant(name));
        }
        if let Some(name) = quoted("unknown type name ", "") {
            return Some(Missing::Typedef(name));
        }
        // "field has incomplete type", "array has incomplete element type", "… to an incomplete type"
        let (_, rest) = message.split_once("incomplete ")?;
        let (_, rest) = rest.split_once("type '")?;
        let (tag, name) = rest.split_once('\'')?.0.split_once(' ')?;
        let tag = Tag::ALL.into_iter().find(|known| known.keyword() == tag)?;
        let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        (!name.is_empty()).then(|| Missing::Record(tag, name.to_owned()))
    }
}

/// What stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// An empty header.
    Header,
    /// Lines of C that come before everything else.
    Lines(String),
}

/// All that has been supplied.
#[derive(Default)]
pub struct Supplies {
    asked: HashSet<Missing>,
    rounds: u32,
    /// Paths of headers that are empty.
    pub headers: Vec<String>,
    pub text: String,
}

impl Supplies {
    /// Asks for what has not been asked for; whether there was something.
    pub fn add(&mut self, missing: &[Missing], supply: &mut dyn FnMut(&Missing) -> Option<Supply>) -> bool {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return false;
        }
        let mut any = false;
        for missing in missing {
            if !self.asked.insert(missing.clone()) {
                continue;
            }
            match (supply(missing), missing) {
                (Some(Supply::Header), Missing::Header(name)) => {
                    self.headers.push(format!("{STAND_INS}{name}"))
                }
                (Some(Supply::Lines(lines)), _) => {
                    let _ = writeln!(self.text, "{lines}");
                }
                _ => continue,
            }
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_what_is_missing() {
        let of = |message: &str| {
            let complaint =
                Complaint { message: message.to_owned(), file: String::new(), line: 1, column: 1 };
            Missing::of(&complaint)
        };
        assert_eq!(of("'linux/fs.h' file not found"), Some(Missing::Header("linux/fs.h".into())));
        assert_eq!(of("use of undeclared identifier 'AF_INET'"), Some(Missing::Constant("AF_INET".into())));
        assert_eq!(of("unknown type name 'u32'"), Some(Missing::Typedef("u32".into())));
        assert_eq!(of("unknown type name 'u32'; did you mean 'u16'?"), Some(Missing::Typedef("u32".into())));
        for message in [
            "field has incomplete type 'struct path'",
            "array has incomplete element type 'struct path'",
            "invalid application of 'sizeof' to an incomplete type 'struct path[3]'",
        ] {
            assert_eq!(of(message), Some(Missing::Record(Tag::Struct, "path".into())), "{message}");
        }
        assert_eq!(of("expected ';'"), None);
        assert_eq!(of("field has incomplete type 'void'"), None);
    }

    #[test]
    fn nothing_is_asked_for_twice_nor_for_ever() {
        let mut supplies = Supplies::default();
        let constant = |n: u32| Missing::Constant(format!("A{n}"));
        let mut asked = 0;
        let mut supply = |_: &Missing| {
            asked += 1;
            Some(Supply::Lines("x".into()))
        };
        assert!(supplies.add(&[constant(0), constant(0)], &mut supply));
        assert!(!supplies.add(&[constant(0)], &mut supply));
        assert!((1..10).any(|n| !supplies.add(&[constant(n)], &mut supply)));
        assert_eq!(supplies.text.lines().count(), asked);
    }
}
