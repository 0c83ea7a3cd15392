//! Which tags select the members of a dynamic address group? `'web' and not ('test' or 'old')`

/// A parsed tag filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Tag(String),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

/// Parentheses and `not` inside one another, at most: parsing and matching recurse.
const DEPTH_MAX: usize = 64;

/// Tags in one filter, at most; PAN-OS stores up to 2,047 characters.
const TERMS_MAX: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Tag(String),
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        if tokens.len() > TERMS_MAX {
            return Err(format!("more than {TERMS_MAX} words"));
        }
        let mut parser = Parser { tokens: &tokens };
        let filter = parser.or(0)?;
        match parser.tokens {
            [] => Ok(filter),
            [rest, ..] => Err(format!("expected `and`, `or` or the end before {}", spelled(rest))),
        }
    }

    pub(super) fn matches(&self, tags: &[String]) -> bool {
        match self {
            Self::Tag(tag) => tags.contains(tag),
            Self::Not(inner) => !inner.matches(tags),
            Self::And(left, right) => left.matches(tags) && right.matches(tags),
            Self::Or(left, right) => left.matches(tags) || right.matches(tags),
        }
    }
}

fn spelled(token: &Token) -> String {
    match token {
        Token::Open => "`(`".into(),
        Token::Close => "`)`".into(),
        Token::And => "`and`".into(),
        Token::Or => "`or`".into(),
        Token::Not => "`not`".into(),
        Token::Tag(tag) => format!("tag `{tag}`"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '\'' | '"' => {
                let (tag, after) =
                    rest[1..].split_once(first).ok_or_else(|| format!("the quote {first} is not closed"))?;
                (Token::Tag(tag.to_owned()), after)
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()'\"".contains(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let token = match word.to_ascii_lowercase().as_str() {
                    "and" => Token::And,
                    "or" => Token::Or,
                    "not" => Token::Not,
                    _ => Token::Tag(word.to_owned()),
                };
                (token, after)
            }
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
}

impl Parser<'_> {
    fn take(&mut self, token: &Token) -> bool {
        match self.tokens {
            [first, rest @ ..] if first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn or(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.and(depth)?;
        while self.take(&Token::Or) {
            left = Filter::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.not(depth)?;
        while self.take(&Token::And) {
            left = Filter::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > DEPTH_MAX {
            return Err("nested too deeply".into());
        }
        if self.take(&Token::Not) {
            return Ok(Filter::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.or(depth + 1)?;
            return if self.take(&Token::Close) { Ok(inner) } else { Err("a `)` is missing".into()) };
        }
        match self.tokens {
            [Token::Tag(tag), rest @ ..] => {
                self.tokens = rest;
                Ok(Filter::Tag(tag.clone()))
            }
            [other, ..] => Err(format!("expected a tag before {}", spelled(other))),
            [] => Err("expected a tag at the end".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, tags: &[&str]) -> Result<bool, String> {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).into()).collect();
        Filter::parse(filter).map(|filter| filter.matches(&tags))
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(matches("'a' or 'b' and 'c'", &["a"]), Ok(true));
        assert_eq!(matches("('a' or 'b') and 'c'", &["a"]), Ok(false));
        assert_eq!(matches("'a' and not 'b' and not 'c'", &["a"]), Ok(true));
        assert_eq!(matches("'a' AND NOT ('b' OR 'c')", &["a", "c"]), Ok(false));
    }

    #[test]
    fn tags_may_hold_blanks_in_quotes_and_stand_bare_otherwise() {
        assert_eq!(matches("\"two words\"", &["two words"]), Ok(true));
        assert_eq!(matches("k8s.app=web or x", &["k8s.app=web"]), Ok(true));
        assert_eq!(matches("'and'", &["and"]), Ok(true));
    }

    #[test]
    fn what_is_no_filter_says_why() {
        let error = |text: &str| Filter::parse(text).unwrap_err();
        assert_eq!(error(""), "expected a tag at the end");
        assert_eq!(error("'a' 'b'"), "expected `and`, `or` or the end before tag `b`");
        assert_eq!(error("('a'"), "a `)` is missing");
        assert_eq!(error("'a"), "the quote ' is not closed");
        assert_eq!(error("and 'a'"), "expected a tag before `and`");
        assert_eq!(error(&"(".repeat(100)), "nested too deeply");
        assert_eq!(error(&"not ".repeat(100)), "nested too deeply");
        assert_eq!(error(&"'a' and ".repeat(600)), "more than 512 words");
    }
}
