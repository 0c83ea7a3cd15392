//! What does the text of an XPath say?
//!
//! A hand-written descent over bytes; the depth of predicates and the number of everything is bounded.

use super::{
    ALTERNATIVES_MAX, NameTest, Operand, Path, Predicate, STEPS_MAX, Step, XPATH_BYTES_MAX, XPath, XPathError,
};

/// Deepest nesting of parentheses in a predicate.
const DEPTH_MAX: usize = 16;

pub(super) fn xpath(text: &str) -> Result<XPath, XPathError> {
    let mut parser = Parser { text, position: 0 };
    if text.len() > XPATH_BYTES_MAX {
        return Err(parser.error(format!("the xpath is longer than {XPATH_BYTES_MAX} bytes")));
    }
    let mut paths = Vec::new();
    loop {
        if paths.len() == ALTERNATIVES_MAX {
            return Err(parser.error(format!("the union has more than {ALTERNATIVES_MAX} paths")));
        }
        paths.push(parser.path()?);
        parser.space();
        if parser.accept("|") {
            continue;
        }
        return if parser.rest().is_empty() { Ok(XPath { paths }) } else { Err(parser.expected("`/` or the end")) };
    }
}

struct Parser<'t> {
    text: &'t str,
    position: usize,
}

impl<'t> Parser<'t> {
    fn path(&mut self) -> Result<Path, XPathError> {
        self.space();
        let mut path = Path::default();
        if !self.rest().starts_with('/') {
            return Err(self.expected("an absolute path, beginning with `/`"));
        }
        while self.accept("/") {
            if self.rest().starts_with('/') {
                return Err(self.error("`//` is not supported: write every step".to_owned()));
            }
            self.space();
            // A slash at the end says nothing.
            if self.rest().is_empty() || self.rest().starts_with('|') {
                break;
            }
            if self.accept("@") {
                path.attribute = Some(self.name()?.to_owned());
                break;
            }
            if path.steps.len() == STEPS_MAX {
                return Err(self.error(format!("the path has more than {STEPS_MAX} steps")));
            }
            path.steps.push(self.step()?);
        }
        if path.steps.is_empty() {
            return Err(self.expected("the root element, e.g. `/config`"));
        }
        Ok(path)
    }

    fn step(&mut self) -> Result<Step, XPathError> {
        let test = if self.accept("*") { NameTest::Any } else { NameTest::Tag(self.name()?.to_owned()) };
        let mut predicates = Vec::new();
        self.space();
        while self.accept("[") {
            if predicates.len() == STEPS_MAX {
                return Err(self.error(format!("the step has more than {STEPS_MAX} predicates")));
            }
            predicates.push(self.any(0)?);
            self.expect("]")?;
            self.space();
        }
        Ok(Step { test, predicates })
    }

    fn any(&mut self, depth: usize) -> Result<Predicate, XPathError> {
        let mut parts = vec![self.all(depth)?];
        while self.word("or") {
            self.bound(&parts)?;
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Predicate::Or))
    }

    fn all(&mut self, depth: usize) -> Result<Predicate, XPathError> {
        let mut parts = vec![self.condition(depth)?];
        while self.word("and") {
            self.bound(&parts)?;
            parts.push(self.condition(depth)?);
        }
        Ok(one_or(parts, Predicate::And))
    }

    fn bound(&self, parts: &[Predicate]) -> Result<(), XPathError> {
        if parts.len() < ALTERNATIVES_MAX {
            return Ok(());
        }
        Err(self.error(format!("the predicate has more than {ALTERNATIVES_MAX} parts")))
    }

    fn condition(&mut self, depth: usize) -> Result<Predicate, XPathError> {
        if depth > DEPTH_MAX {
            return Err(self.error("the predicate is nested too deeply".to_owned()));
        }
        self.space();
        if self.accept("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.function("not") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(Predicate::Not(Box::new(inner)));
        }
        if self.function("last") {
            self.expect(")")?;
            return Ok(Predicate::Last);
        }
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let Some(position) = self.rest()[..digits].parse().ok().filter(|position| *position > 0) else {
                return Err(self.expected("a position from 1"));
            };
            self.position += digits;
            return Ok(Predicate::Position(position));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Predicate, XPathError> {
        let operand = self.operand()?;
        self.space();
        let negated = if self.accept("!=") {
            true
        } else if self.accept("=") {
            false
        } else {
            return Ok(Predicate::Exists(operand));
        };
        self.space();
        let value = self.literal()?;
        Ok(Predicate::Compare { operand, value, negated })
    }

    fn operand(&mut self) -> Result<Operand, XPathError> {
        if self.accept("@") {
            return Ok(Operand::Attribute(self.name()?.to_owned()));
        }
        for (function, operand) in [("text", Operand::Text), ("name", Operand::Tag)] {
            if self.function(function) {
                self.expect(")")?;
                return Ok(operand);
            }
        }
        if self.accept(".") {
            return Ok(Operand::Text);
        }
        let mut tags = vec![self.name()?.to_owned()];
        while self.accept("/") {
            if self.function("text") {
                self.expect(")")?;
                break;
            }
            if tags.len() == STEPS_MAX {
                return Err(self.error(format!("the path has more than {STEPS_MAX} steps")));
            }
            tags.push(self.name()?.to_owned());
        }
        Ok(Operand::Path(tags))
    }

    fn literal(&mut self) -> Result<String, XPathError> {
        if !self.function("concat") {
            return Ok(self.quoted()?.to_owned());
        }
        let mut value = String::new();
        loop {
            self.space();
            value.push_str(self.quoted()?);
            self.space();
            if !self.accept(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(value)
    }

    fn quoted(&mut self) -> Result<&'t str, XPathError> {
        let Some(quote) = self.rest().chars().next().filter(|char| matches!(char, '\'' | '"')) else {
            return Err(self.expected("a text in quotes"));
        };
        let Some(length) = self.rest()[1..].find(quote) else {
            return Err(self.error("the quote is not closed".to_owned()));
        };
        let value = &self.rest()[1..=length];
        self.position += length + 2;
        Ok(value)
    }

    fn name(&mut self) -> Result<&'t str, XPathError> {
        let rest = self.rest();
        let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | ':');
        let length = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        if !rest.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            return Err(self.expected("a name"));
        }
        self.position += length;
        Ok(&rest[..length])
    }

    /// `name` and an opening parenthesis.
    fn function(&mut self, name: &str) -> bool {
        let start = self.position;
        if self.accept(name) {
            self.space();
            if self.accept("(") {
                self.space();
                return true;
            }
        }
        self.position = start;
        false
    }

    /// A word with white space (or a quote, bracket or end) around it.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        let after = self.rest().strip_prefix(word);
        let found =
            after.is_some_and(|after| !after.starts_with(|char: char| char.is_alphanumeric() || "_-.:".contains(char)));
        if found {
            self.position += word.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), XPathError> {
        self.space();
        if self.accept(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    fn accept(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    fn space(&mut self) {
        self.position = self.text.len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn expected(&self, what: &str) -> XPathError {
        let found = match self.rest().chars().next() {
            Some(char) => format!("found `{char}`"),
            None => "found the end".to_owned(),
        };
        self.error(format!("expected {what}, {found}"))
    }

    fn error(&self, message: String) -> XPathError {
        XPathError { position: self.position, message }
    }
}

fn one_or(mut parts: Vec<Predicate>, many: impl Fn(Vec<Predicate>) -> Predicate) -> Predicate {
    if parts.len() == 1 { parts.remove(0) } else { many(parts) }
}
