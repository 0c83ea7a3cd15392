//! Lines of the operator's command line: which node do they mean, and what do they do to it?
//!
//! `set shared address web ip-netmask 10.0.0.1`: tags, with the names of entries and the texts of members in the place
//! of `entry` and `member`. Which word is which is known from the schema, or from what is in the tree already. The one
//! device of a manager's tree is not named. [`crate::diff::set_lines`] writes such lines.

mod split;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::diagnostic::closest;
use crate::manager::{LOCALHOST, LOCALHOST_XPATH};
use crate::schema::Position;
use crate::tree::{Element, quote};
use crate::xml;
use crate::xpath::XPath;
pub use split::{Word, split};

/// What one line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Merge an element, or set the text of a leaf.
    Set {
        /// Where.
        xpath: String,
        /// What, as XML.
        element: String,
    },
    /// Remove a node.
    Delete {
        /// Which.
        xpath: String,
    },
    /// Bring an entry to another place in its list.
    Move {
        /// Which.
        xpath: String,
        /// `top`, `bottom`, `before` or `after`.
        place: String,
        /// The entry for `before` and `after`.
        other: String,
    },
    /// Give an entry another name.
    Rename {
        /// Which.
        xpath: String,
        /// The name.
        name: String,
    },
}

/// Why a line is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordError {
    /// Number of the word, from 1; one more than there are when something is missing.
    pub word: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "word {}: {}", self.word, self.message)
    }
}

impl std::error::Error for WordError {}

/// Reads a line; `root` is the tree that it is for.
pub fn line(root: &Element, text: &str) -> Result<Line, WordError> {
    let words = split(text)?;
    let Some((verb, rest)) = words.split_first() else {
        return Err(WordError { word: 1, message: "the line is empty".to_owned() });
    };
    let missing = |what: &str| WordError { word: words.len() + 1, message: format!("{what} is missing") };
    match verb.text.as_str() {
        "set" => set(root, rest),
        "delete" => Ok(Line::Delete { xpath: whole(root, rest, 2)? }),
        "rename" => {
            let at =
                rest.len().checked_sub(2).filter(|at| rest[*at].text == "to").ok_or_else(|| missing("`to NAME`"))?;
            Ok(Line::Rename { xpath: whole(root, &rest[..at], 2)?, name: rest[at + 1].text.clone() })
        }
        "move" => {
            let is = |back: usize, words: &[&str]| {
                rest.len().checked_sub(back).is_some_and(|at| words.contains(&rest[at].text.as_str()))
            };
            let (back, other) = match rest.last() {
                Some(last) if is(2, &["before", "after"]) => (2, last.text.clone()),
                Some(_) if is(1, &["top", "bottom"]) => (1, String::new()),
                _ => return Err(missing("`top`, `bottom`, `before NAME` or `after NAME`")),
            };
            let at = rest.len() - back;
            Ok(Line::Move { xpath: whole(root, &rest[..at], 2)?, place: rest[at].text.clone(), other })
        }
        other => {
            let known = ["set", "delete", "move", "rename"];
            let near = closest(other, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let message = format!("`{other}` is no verb; there are `set`, `delete`, `move` and `rename`{near}");
            Err(WordError { word: 1, message })
        }
    }
}

/// The XPath of the node that words lead to.
pub fn xpath(root: &Element, words: &[&str]) -> Result<String, WordError> {
    let words: Vec<Word> = words.iter().map(|word| Word { text: (*word).to_owned(), is_quoted: true }).collect();
    whole(root, &words, 1)
}

/// An XPath as words.
pub fn of_xpath(xpath: &str) -> String {
    let Ok(parsed) = XPath::parse(xpath) else { return xpath.to_owned() };
    let steps = parsed.paths.iter().flat_map(|path| &path.steps).skip(1);
    let named = steps.map(|step| word(step.attribute("name").or(step.text()).or(step.name()).unwrap_or("*")));
    named.collect::<Vec<_>>().join(" ")
}

/// A text as one word: in quotes where it has to be.
pub fn word(text: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "_-./:$,".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// All words lead to a node.
fn whole(root: &Element, words: &[Word], first: usize) -> Result<String, WordError> {
    let mut walk = Walk::new(root, words);
    for (index, word) in words.iter().enumerate() {
        walk.step(&word.text).map_err(|message| WordError { word: first + index, message })?;
    }
    Ok(walk.xpath)
}

fn set(root: &Element, words: &[Word]) -> Result<Line, WordError> {
    let mut walk = Walk::new(root, words);
    let mut index = 0;
    while let Some(word) = words.get(index) {
        let at = |message| WordError { word: index + 2, message };
        if walk.holds_members() {
            return members(walk.xpath, &words[index..]).map_err(at);
        }
        if walk.holds_text() {
            if words.len() > index + 1 {
                let message =
                    format!("nothing can follow the value `{}`; a value with blanks stands in quotes", word.text);
                return Err(WordError { word: index + 3, message });
            }
            return Ok(Line::Set { xpath: walk.xpath, element: xml::escape(&word.text) });
        }
        walk.step(&word.text).map_err(at)?;
        index += 1;
    }
    Ok(Line::Set { xpath: walk.xpath, element: String::new() })
}

/// `[ a b ]`, or one word.
fn members(xpath: String, words: &[Word]) -> Result<Line, String> {
    let is = |word: &Word, sign: &str| !word.is_quoted && word.text == sign;
    let values = match words {
        [first, inner @ .., last] if is(first, "[") && is(last, "]") => inner,
        [one] if !is(one, "[") => std::slice::from_ref(one),
        _ => return Err("write one value, or several as `[ a b ]`".to_owned()),
    };
    let element = values.iter().map(|value| xml::write(&Element::leaf("member", &value.text))).collect();
    Ok(Line::Set { xpath, element })
}

/// How far words have led.
struct Walk<'r> {
    xpath: String,
    schema: Option<Position>,
    tree: Option<&'r Element>,
    /// Behind a value there is nothing.
    ended: bool,
}

impl<'r> Walk<'r> {
    fn new(root: &'r Element, words: &[Word]) -> Self {
        let schema = Position::root(&root.name);
        let walk = Self { xpath: format!("/{}", root.name), schema, tree: Some(root), ended: false };
        match words.first() {
            Some(first) if !walk.knows(&first.text) => {
                let own = walk.below("devices").below("entry");
                let tree = root.child("devices").and_then(|devices| devices.entry_named(LOCALHOST)).map(|own| &**own);
                let own = Walk { tree, ..own };
                if own.knows(&first.text) { Self { xpath: LOCALHOST_XPATH.to_owned(), ..own } } else { walk }
            }
            _ => walk,
        }
    }

    fn below(&self, tag: &str) -> Self {
        Self {
            xpath: format!("{}/{tag}", self.xpath),
            schema: self.schema.and_then(|schema| schema.child(tag)),
            tree: self.tree.and_then(|tree| tree.child(tag)).map(|child| &**child),
            ended: false,
        }
    }

    fn has(&self, tag: &str) -> bool {
        self.schema.is_some_and(|schema| schema.child(tag).is_some())
            || self.tree.is_some_and(|tree| tree.child(tag).is_some())
    }

    fn knows(&self, tag: &str) -> bool {
        !matches!(tag, "entry" | "member") && self.has(tag)
    }

    fn holds_members(&self) -> bool {
        self.has("member") && !self.has("entry")
    }

    fn holds_text(&self) -> bool {
        let of_tree = self.tree.is_some_and(|tree| tree.elements().next().is_none() && !tree.text().is_empty());
        !self.has("entry") && (of_tree || self.schema.is_some_and(Position::is_leaf))
    }

    fn step(&mut self, word: &str) -> Result<(), String> {
        if self.ended {
            return Err(format!("nothing can follow here, but `{word}` does"));
        }
        let (tag, step) = if self.has("entry") {
            ("entry", format!("entry[@name={}]", quote(word)))
        } else if self.holds_members() {
            ("member", format!("member[text()={}]", quote(word)))
        } else if self.knows(word) {
            (word, word.to_owned())
        } else {
            return Err(self.unknown(word));
        };
        let tree = match tag {
            "entry" => self.tree.and_then(|tree| tree.entry_named(word)).map(|entry| &**entry),
            "member" => None,
            tag => self.tree.and_then(|tree| tree.child(tag)).map(|child| &**child),
        };
        let xpath = format!("{}/{step}", self.xpath);
        *self = Self { xpath, schema: self.schema.and_then(|schema| schema.child(tag)), tree, ended: tag == "member" };
        Ok(())
    }

    fn unknown(&self, word: &str) -> String {
        let of_tree = self.tree.into_iter().flat_map(|tree| tree.elements()).map(|child| &*child.name);
        let mut known: Vec<&str> = of_tree.collect();
        for tag in self.schema.into_iter().flat_map(Position::tags) {
            known.push(tag);
        }
        let place = of_xpath(&self.xpath);
        let place = if place.is_empty() { "at the beginning".to_owned() } else { format!("behind `{place}`") };
        match closest(word, known.iter().copied()) {
            Some(near) => format!("`{word}` is not known {place}; did you mean `{near}`?"),
            None if known.is_empty() => {
                format!("nothing is known {place}, so `{word}` cannot be placed; write it as XML")
            }
            None => format!("`{word}` is not known {place}"),
        }
    }
}
