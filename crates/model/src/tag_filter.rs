//! Does an address with these tags belong to a dynamic address group?
//!
//! The filter language of PAN-OS: tags in quotes (or bare words), `and`, `or`, `not` and parentheses.
//! `and` binds tighter than `or`.

use std::fmt;

/// Longest filter text PAN-OS accepts.
pub const FILTER_LENGTH_MAX: usize = 2047;
/// Deepest nesting of parentheses and `not`.
pub const FILTER_DEPTH_MAX: usize = 32;

/// A filter that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter(Expression);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Tag(String),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

/// Why a filter was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Byte offset in the filter.
    pub position: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.message, self.position + 1)
    }
}

impl std::error::Error for FilterError {}

impl TagFilter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_LENGTH_MAX {
            let message = format!("the filter is longer than {FILTER_LENGTH_MAX} characters");
            return Err(FilterError { position: FILTER_LENGTH_MAX, message });
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len() };
        let expression = parser.any(0)?;
        match parser.peek() {
            None => Ok(Self(expression)),
            Some((position, token)) => {
                Err(FilterError { position: *position, message: format!("expected `and` or `or`, found {token}") })
            }
        }
    }

    /// Whether an object with these tags belongs to the group.
    pub fn matches<T: AsRef<str>>(&self, tags: &[T]) -> bool {
        self.0.matches(tags)
    }

    /// Tags of which each object that belongs to the group has one; none when that is not known of any.
    pub fn any_of(&self) -> Option<Vec<&str>> {
        self.0.any_of()
    }

    /// The tags the filter asks for.
    pub fn tags(&self) -> Vec<&str> {
        let mut tags = Vec::new();
        self.0.collect(&mut tags);
        tags
    }
}

impl Expression {
    fn matches<T: AsRef<str>>(&self, tags: &[T]) -> bool {
        match self {
            Self::Tag(wanted) => tags.iter().any(|tag| tag.as_ref() == wanted),
            Self::Not(inner) => !inner.matches(tags),
            Self::All(parts) => parts.iter().all(|part| part.matches(tags)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(tags)),
        }
    }

    fn any_of(&self) -> Option<Vec<&str>> {
        match self {
            Self::Tag(tag) => Some(vec![tag]),
            Self::Not(_) => None,
            Self::All(parts) => parts.iter().filter_map(Self::any_of).min_by_key(Vec::len),
            Self::Any(parts) => Some(parts.iter().map(Self::any_of).collect::<Option<Vec<_>>>()?.concat()),
        }
    }

    fn collect<'a>(&'a self, tags: &mut Vec<&'a str>) {
        match self {
            Self::Tag(tag) => tags.push(tag),
            Self::Not(inner) => inner.collect(tags),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.collect(tags)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Tag(String),
    And,
    Or,
    Not,
    Open,
    Close,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "`{tag}`"),
            Self::And => write!(f, "`and`"),
            Self::Or => write!(f, "`or`"),
            Self::Not => write!(f, "`not`"),
            Self::Open => write!(f, "`(`"),
            Self::Close => write!(f, "`)`"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let position = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '\'' | '"' => {
                let Some(close) = rest[1..].find(first) else {
                    return Err(FilterError { position, message: "the quote is not closed".to_owned() });
                };
                (Token::Tag(rest[1..=close].to_owned()), close + 2)
            }
            _ => {
                let stops = |char: char| char.is_whitespace() || matches!(char, '(' | ')' | '\'' | '"');
                let length = rest.find(stops).unwrap_or(rest.len());
                let token = match rest[..length].to_ascii_lowercase().as_str() {
                    "and" => Token::And,
                    "or" => Token::Or,
                    "not" => Token::Not,
                    _ => Token::Tag(rest[..length].to_owned()),
                };
                (token, length)
            }
        };
        tokens.push((position, token));
        rest = &rest[length..];
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&(usize, Token)> {
        self.tokens.get(self.next)
    }

    fn accept(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|(_, next)| next == token);
        if found {
            self.next += 1;
        }
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let first = self.all(depth)?;
        let mut parts = vec![first];
        while self.accept(&Token::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(single_or(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let first = self.operand(depth)?;
        let mut parts = vec![first];
        while self.accept(&Token::And) {
            parts.push(self.operand(depth)?);
        }
        Ok(single_or(parts, Expression::All))
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let Some((position, token)) = self.peek().cloned() else {
            return Err(FilterError { position: self.end, message: "a tag is missing".to_owned() });
        };
        if depth > FILTER_DEPTH_MAX {
            return Err(FilterError { position, message: "the filter is nested too deeply".to_owned() });
        }
        self.next += 1;
        match token {
            Token::Tag(tag) => Ok(Expression::Tag(tag)),
            Token::Not => Ok(Expression::Not(Box::new(self.operand(depth + 1)?))),
            Token::Open => {
                let inner = self.any(depth + 1)?;
                if self.accept(&Token::Close) {
                    return Ok(inner);
                }
                Err(FilterError { position, message: "the parenthesis is not closed".to_owned() })
            }
            Token::And | Token::Or | Token::Close => {
                Err(FilterError { position, message: format!("expected a tag, found {token}") })
            }
        }
    }
}

fn single_or(mut parts: Vec<Expression>, many: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { many(parts) }
}

#[cfg(test)]
mod tests {
    use super::TagFilter;

    #[test]
    fn filters_match_tags_as_written() {
        for (filter, tags, expected) in [
            ("'web'", &["web"][..], true),
            ("web", &["web"], true),
            ("web", &["Web"], false),
            ("'a b' and 'c'", &["a b", "c"], true),
            ("'a' and 'c'", &["a"], false),
            ("a or b and c", &["a"], true),
            ("(a or b) and c", &["a"], false),
            ("'a' and ('b' or not 'c')", &["a"], true),
            ("'a' AND ('b' OR NOT 'c')", &["a", "c"], false),
            ("not not a", &["a"], true),
            ("\"it's\"", &["it's"], true),
        ] {
            let filter = TagFilter::parse(filter).unwrap();
            assert_eq!(filter.matches(tags), expected, "{filter:?} on {tags:?}");
            let has_one = filter.any_of().is_none_or(|any| any.iter().any(|tag| tags.contains(tag)));
            assert!(has_one || !expected, "{filter:?} on {tags:?}");
        }
    }

    #[test]
    fn what_is_not_a_filter_is_refused_with_its_place() {
        for (filter, message) in [
            ("", "a tag is missing at character 1"),
            ("a and", "a tag is missing at character 6"),
            ("a b", "expected `and` or `or`, found `b` at character 3"),
            ("(a", "the parenthesis is not closed at character 1"),
            ("a)", "expected `and` or `or`, found `)` at character 2"),
            ("'a", "the quote is not closed at character 1"),
            ("or a", "expected a tag, found `or` at character 1"),
        ] {
            assert_eq!(TagFilter::parse(filter).unwrap_err().to_string(), message, "{filter}");
        }
        assert!(TagFilter::parse(&"(".repeat(2000)).is_err());
        assert!(TagFilter::parse(&"a".repeat(3000)).is_err());
    }

    #[test]
    fn the_tags_of_a_filter_are_listed() {
        assert_eq!(TagFilter::parse("a and (b or not 'c d')").unwrap().tags(), ["a", "b", "c d"]);
    }
}
