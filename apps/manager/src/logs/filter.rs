//! What does a log query ask for?
//!
//! The filter language of PAN-OS, `( field op value )` joined by `and`, `or` and `not`, becomes one SQL
//! condition with bound values. A query that cannot be read is refused with its place.

use bartizan_model::diagnostic::closest;

use crate::store::db::Statement;
use crate::store::traffic::address_key;
use crate::times;

/// Longest query.
const LENGTH_MAX: usize = 8192;
/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 64;
/// Conditions in one query; SQLite's own bound on bound values is far above.
const CONDITIONS_MAX: usize = 500;

/// What a field of a log can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text(&'static str),
    /// A number.
    Number(&'static str),
    /// A time, in microseconds.
    Time(&'static str),
    /// A 16-byte address key.
    Address(&'static str),
    /// Either of two address keys.
    EitherAddress(&'static str, &'static str),
    /// The number of an IP protocol, which may be written by name.
    Protocol(&'static str),
    /// Any of several columns of one kind.
    EitherText(&'static str, &'static str),
    /// Either of two numbers.
    EitherNumber(&'static str, &'static str),
    /// A text of several words with commas between them.
    Members(&'static str),
    /// Either of two such texts.
    EitherMembers(&'static str, &'static str),
}

/// A log's fields by the names they have in queries.
pub(crate) type Fields = &'static [(&'static str, Kind)];

/// Fields of the traffic log.
pub(crate) const TRAFFIC: Fields = &[
    ("action", Kind::Text("action")),
    ("addr", Kind::EitherAddress("source_key", "destination_key")),
    ("addr.dst", Kind::Address("destination_key")),
    ("addr.src", Kind::Address("source_key")),
    ("app", Kind::Text("application")),
    ("bytes", Kind::Number("(bytes_sent + bytes_received)")),
    ("bytes_received", Kind::Number("bytes_received")),
    ("bytes_sent", Kind::Number("bytes_sent")),
    ("dst", Kind::Address("destination_key")),
    ("elapsed", Kind::Number("elapsed_s")),
    ("from", Kind::Text("from_zone")),
    ("interface.dst", Kind::Text("outbound_interface")),
    ("interface.src", Kind::Text("inbound_interface")),
    ("k8s_cluster_id", Kind::Number("cluster_id")),
    ("natdport", Kind::Number("nat_destination_port")),
    ("natdst", Kind::Address("nat_destination_key")),
    ("natsport", Kind::Number("nat_source_port")),
    ("natsrc", Kind::Address("nat_source_key")),
    ("packets", Kind::Number("(packets_sent + packets_received)")),
    ("pkts_received", Kind::Number("packets_received")),
    ("pkts_sent", Kind::Number("packets_sent")),
    ("port", Kind::EitherNumber("source_port", "destination_port")),
    ("port.dst", Kind::Number("destination_port")),
    ("port.src", Kind::Number("source_port")),
    ("proto", Kind::Protocol("protocol")),
    ("receive_time", Kind::Time("received_us")),
    ("rule", Kind::Text("rule")),
    ("serial", Kind::Text("serial")),
    ("session_end_reason", Kind::Text("session_end_reason")),
    ("sessionid", Kind::Number("session_id")),
    ("src", Kind::Address("source_key")),
    ("subtype", Kind::Text("subtype")),
    ("tag", Kind::EitherMembers("source_tags", "destination_tags")),
    ("tag.dst", Kind::Members("destination_tags")),
    ("tag.src", Kind::Members("source_tags")),
    ("time_generated", Kind::Time("generated_us")),
    ("to", Kind::Text("to_zone")),
    ("zone", Kind::EitherText("from_zone", "to_zone")),
    ("zone.dst", Kind::Text("to_zone")),
    ("zone.src", Kind::Text("from_zone")),
];

/// Fields of the config log.
pub(crate) const CONFIG: Fields = &[
    ("admin", Kind::Text("admin")),
    ("client", Kind::Text("client")),
    ("cmd", Kind::Text("cmd")),
    ("comment", Kind::Text("(CASE cmd WHEN 'audit-comment' THEN after ELSE '' END)")),
    ("full-path", Kind::Text("path")),
    ("host", Kind::Text("host")),
    ("path", Kind::Text("path")),
    ("receive_time", Kind::Time("time_us")),
    ("result", Kind::Text("result")),
    ("subtype", Kind::Text("(CASE cmd WHEN 'audit-comment' THEN cmd ELSE 'general' END)")),
    ("time_generated", Kind::Time("time_us")),
];

/// Fields of the system log.
pub(crate) const SYSTEM: Fields = &[
    ("description", Kind::Text("description")),
    ("eventid", Kind::Text("event")),
    ("object", Kind::Text("object")),
    ("opaque", Kind::Text("description")),
    ("receive_time", Kind::Time("received_us")),
    ("serial", Kind::Text("serial")),
    ("severity", Kind::Text("severity")),
    ("subtype", Kind::Text("subtype")),
    ("time_generated", Kind::Time("generated_us")),
];

/// Fields of the threat log.
pub(crate) const THREAT: Fields = &[
    ("action", Kind::Text("action")),
    ("addr", Kind::EitherAddress("source_key", "destination_key")),
    ("addr.dst", Kind::Address("destination_key")),
    ("addr.src", Kind::Address("source_key")),
    ("from", Kind::Text("from_zone")),
    ("name-of-threatid", Kind::Text("event")),
    ("receive_time", Kind::Time("received_us")),
    ("serial", Kind::Text("serial")),
    ("severity", Kind::Text("severity")),
    ("subtype", Kind::Text("subtype")),
    ("time_generated", Kind::Time("generated_us")),
    ("zone.src", Kind::Text("from_zone")),
];

/// Fields of the IP-tag log.
pub(crate) const IPTAG: Fields = &[
    ("event_id", Kind::Text("event")),
    ("ip", Kind::Address("source_key")),
    ("receive_time", Kind::Time("received_us")),
    ("serial", Kind::Text("serial")),
    ("tag_name", Kind::Text("object")),
    ("time_generated", Kind::Time("generated_us")),
];

/// A query that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Everything.
    All,
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// Not that.
    Not(Box<Filter>),
    /// One comparison.
    Compare(Kind, Operator, Value),
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `eq`, and `in` of an address.
    Equal,
    /// `neq`, and `notin` of an address.
    NotEqual,
    /// `leq`
    AtMost,
    /// `geq`
    AtLeast,
    /// `contains`
    Contains,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// A number or a time.
    Number(i64),
    /// First and last address key.
    Addresses([u8; 16], [u8; 16]),
}

/// Reads a query; an error names the place.
pub(crate) fn parse(query: &str, fields: Fields) -> Result<Filter, String> {
    if query.len() > LENGTH_MAX {
        return Err(format!("the query has {} characters, at most {LENGTH_MAX} are read", query.len()));
    }
    let tokens = tokens(query)?;
    if tokens.is_empty() {
        return Ok(Filter::All);
    }
    let mut parser = Parser { tokens: &tokens, next: 0, end: query.len(), fields, conditions: 0 };
    let filter = parser.any_of(0)?;
    match parser.peek() {
        None => Ok(filter),
        Some(token) => Err(at(token.place, &format!("`{}` is not expected here; join with `and` or `or`", token.text))),
    }
}

impl Filter {
    /// The conditions that all have to hold.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::All => Vec::new(),
            Self::And(parts) => parts.iter().flat_map(Self::parts).collect(),
            part => vec![part],
        }
    }

    /// Calls `each` with every column that it looks at, or several of them in an expression.
    pub(crate) fn columns(&self, each: &mut impl FnMut(&'static str)) {
        match self {
            Self::All => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.columns(each)),
            Self::Not(part) => part.columns(each),
            Self::Compare(kind, ..) => match *kind {
                Kind::Text(column)
                | Kind::Number(column)
                | Kind::Time(column)
                | Kind::Address(column)
                | Kind::Protocol(column)
                | Kind::Members(column) => each(column),
                Kind::EitherAddress(first, second)
                | Kind::EitherText(first, second)
                | Kind::EitherNumber(first, second)
                | Kind::EitherMembers(first, second) => {
                    each(first);
                    each(second);
                }
            },
        }
    }

    /// Writes the SQL condition.
    pub(crate) fn push_to(&self, sql: &mut Statement) {
        match self {
            Self::All => {
                sql.push("TRUE");
            }
            Self::And(parts) => join(sql, parts, " AND "),
            Self::Or(parts) => join(sql, parts, " OR "),
            Self::Not(part) => {
                sql.push("NOT ");
                part.push_to(sql);
            }
            Self::Compare(kind, operator, value) => compare(sql, *kind, *operator, value),
        }
    }
}

fn join(sql: &mut Statement, parts: &[Filter], word: &str) {
    sql.push("(");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            sql.push(word);
        }
        part.push_to(sql);
    }
    sql.push(")");
}

fn compare(sql: &mut Statement, kind: Kind, operator: Operator, value: &Value) {
    match kind {
        Kind::Text(column)
        | Kind::Number(column)
        | Kind::Time(column)
        | Kind::Address(column)
        | Kind::Protocol(column) => compare_column(sql, column, operator, value),
        Kind::Members(column) => compare_members(sql, column, operator, value),
        Kind::EitherAddress(first, second) | Kind::EitherText(first, second) | Kind::EitherNumber(first, second) => {
            either(sql, [first, second], operator, |sql, column| compare_column(sql, column, operator, value));
        }
        Kind::EitherMembers(first, second) => {
            either(sql, [first, second], operator, |sql, column| compare_members(sql, column, operator, value));
        }
    }
}

/// "Neither is" is what `neq` and `notin` of a pair mean.
fn either(sql: &mut Statement, columns: [&str; 2], operator: Operator, compare: impl Fn(&mut Statement, &str)) {
    sql.push("(");
    compare(sql, columns[0]);
    sql.push(if operator == Operator::NotEqual { " AND " } else { " OR " });
    compare(sql, columns[1]);
    sql.push(")");
}

/// Whether a word is one of those in a text with commas between them, or none of them, or a part of any.
fn compare_members(sql: &mut Statement, column: &str, operator: Operator, value: &Value) {
    match (value, operator) {
        (Value::Text(word), Operator::Equal | Operator::NotEqual) => {
            sql.push("(instr(',' || ").push(column).push(" || ',', ").push_bind(format!(",{word},"));
            sql.push(if operator == Operator::Equal { ") > 0)" } else { ") = 0)" });
        }
        _ => compare_column(sql, column, operator, value),
    }
}

fn compare_column(sql: &mut Statement, column: &str, operator: Operator, value: &Value) {
    match (value, operator) {
        (Value::Addresses(first, last), _) => {
            sql.push("(").push(column);
            sql.push(if operator == Operator::NotEqual { " NOT BETWEEN " } else { " BETWEEN " });
            sql.push_bind(*first).push(" AND ").push_bind(*last).push(")");
        }
        (Value::Text(text), Operator::Contains) => {
            sql.push("(instr(").push(column).push(", ").push_bind(text.clone()).push(") > 0)");
        }
        (Value::Text(text), _) => {
            sql.push("(").push(column).push(sign(operator)).push_bind(text.clone()).push(")");
        }
        (Value::Number(number), _) => {
            sql.push("(").push(column).push(sign(operator)).push_bind(*number).push(")");
        }
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal | Operator::Contains => " = ",
        Operator::NotEqual => " <> ",
        Operator::AtMost => " <= ",
        Operator::AtLeast => " >= ",
    }
}

#[derive(Debug)]
struct Token {
    text: String,
    quoted: bool,
    place: usize,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }
}

fn at(place: usize, what: &str) -> String {
    format!("the query cannot be read at character {}: {what}", place + 1)
}

fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut letters = query.char_indices().peekable();
    while let Some((place, letter)) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => (),
            '(' | ')' => tokens.push(Token { text: letter.into(), quoted: false, place }),
            '\'' | '"' => {
                let mut text = String::new();
                loop {
                    match letters.next() {
                        None => return Err(at(place, "the quote is not closed")),
                        Some((_, '\\')) => text.extend(letters.next().map(|(_, escaped)| escaped)),
                        Some((_, end)) if end == letter => break,
                        Some((_, inner)) => text.push(inner),
                    }
                }
                tokens.push(Token { text, quoted: true, place });
            }
            _ => {
                let mut text = String::from(letter);
                while let Some((_, next)) =
                    letters.next_if(|(_, next)| !next.is_whitespace() && !"()'\"".contains(*next))
                {
                    text.push(next);
                }
                tokens.push(Token { text, quoted: false, place });
            }
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    end: usize,
    fields: Fields,
    conditions: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, what: &str) -> Result<&'a Token, String> {
        let token = self.peek().ok_or_else(|| at(self.end, &format!("{what} is missing")))?;
        self.next += 1;
        Ok(token)
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(word));
        self.next += usize::from(found);
        found
    }

    fn any_of(&mut self, depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.all_of(depth)?];
        while self.takes("or") {
            parts.push(self.all_of(depth)?);
        }
        Ok(alone_or(parts, Filter::Or))
    }

    fn all_of(&mut self, depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("and") {
            parts.push(self.one(depth)?);
        }
        Ok(alone_or(parts, Filter::And))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, String> {
        let place = self.peek().map_or(self.end, |token| token.place);
        if depth > DEPTH_MAX {
            return Err(at(place, &format!("nested deeper than {DEPTH_MAX}")));
        }
        if self.takes("not") || self.takes("!") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if !self.takes("(") {
            return self.comparison();
        }
        let inner = self.any_of(depth + 1)?;
        if !self.takes(")") {
            let place = self.peek().map_or(self.end, |token| token.place);
            return Err(at(place, "`)` is missing"));
        }
        Ok(inner)
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        self.conditions += 1;
        let field = self.take("a field")?;
        if self.conditions > CONDITIONS_MAX {
            return Err(at(field.place, &format!("more than {CONDITIONS_MAX} conditions")));
        }
        let kind = self.fields.iter().find(|(name, _)| field.is(name)).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| at(field.place, &self.unknown_field(&field.text)))?;
        let operator = self.take("an operator")?;
        let value = self.take("a value")?;
        let (operator, value) = typed(kind, operator, value)?;
        Ok(Filter::Compare(kind, operator, value))
    }

    fn unknown_field(&self, name: &str) -> String {
        let names = self.fields.iter().map(|(name, _)| *name);
        match closest(name, names) {
            Some(close) => format!("`{name}` is not a field of this log; did you mean `{close}`?"),
            None => format!("`{name}` is not a field of this log"),
        }
    }
}

fn alone_or(mut parts: Vec<Filter>, join: impl FnOnce(Vec<Filter>) -> Filter) -> Filter {
    if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) }
}

fn typed(kind: Kind, operator: &Token, value: &Token) -> Result<(Operator, Value), String> {
    let word = operator.text.to_ascii_lowercase();
    let chosen = match word.as_str() {
        "eq" | "in" | "=" => Operator::Equal,
        "neq" | "notin" | "!=" => Operator::NotEqual,
        "leq" | "<=" => Operator::AtMost,
        "geq" | ">=" => Operator::AtLeast,
        "contains" => Operator::Contains,
        _ => return Err(at(operator.place, &format!("`{}` is no operator: {}", operator.text, operators(kind)))),
    };
    let allowed = match kind {
        Kind::Text(_) | Kind::EitherText(..) | Kind::Members(_) | Kind::EitherMembers(..) => {
            !matches!(chosen, Operator::AtMost | Operator::AtLeast)
        }
        Kind::Number(_) | Kind::Time(_) | Kind::EitherNumber(..) => chosen != Operator::Contains,
        Kind::Address(_) | Kind::EitherAddress(..) | Kind::Protocol(_) => {
            matches!(chosen, Operator::Equal | Operator::NotEqual)
        }
    };
    if !allowed {
        return Err(at(operator.place, &format!("`{}` does not fit this field: {}", operator.text, operators(kind))));
    }
    let read = read_value(kind, &value.text);
    let read = read.ok_or_else(|| at(value.place, &format!("`{}` is not {}", value.text, wanted(kind))))?;
    Ok((chosen, read))
}

fn read_value(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Text(_) | Kind::EitherText(..) | Kind::Members(_) | Kind::EitherMembers(..) => {
            Some(Value::Text(text.to_owned()))
        }
        Kind::Number(_) | Kind::EitherNumber(..) => text.parse().ok().map(Value::Number),
        Kind::Time(_) => times::parse_date_time(text).map(Value::Number),
        Kind::Address(_) | Kind::EitherAddress(..) => addresses(text),
        Kind::Protocol(_) => protocol_number(text).map(Value::Number),
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) | Kind::EitherText(..) | Kind::Members(_) | Kind::EitherMembers(..) => "text",
        Kind::Number(_) | Kind::EitherNumber(..) => "a number",
        Kind::Time(_) => "a time such as '2026/11/22 08:00:00'",
        Kind::Address(_) | Kind::EitherAddress(..) => "an address or a prefix such as `10.0.0.0/8`",
        Kind::Protocol(_) => "a protocol such as `tcp` or `6`",
    }
}

fn operators(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) | Kind::EitherText(..) | Kind::Members(_) | Kind::EitherMembers(..) => {
            "write `eq`, `neq` or `contains`"
        }
        Kind::Number(_) | Kind::Time(_) | Kind::EitherNumber(..) => "write `eq`, `neq`, `leq` or `geq`",
        Kind::Address(_) | Kind::EitherAddress(..) => "write `in` or `notin`",
        Kind::Protocol(_) => "write `eq` or `neq`",
    }
}

/// An address or a prefix as the range of its keys.
fn addresses(text: &str) -> Option<Value> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let parsed: std::net::IpAddr = address.parse().ok()?;
    let (bits, offset) = if parsed.is_ipv4() { (32, 96) } else { (128, 0) };
    let length: u32 = length.map_or(Some(bits), |length| length.parse().ok())?;
    if length > bits {
        return None;
    }
    let key = u128::from_be_bytes(address_key(address));
    let host = u128::MAX.checked_shr(offset + length).unwrap_or(0);
    Some(Value::Addresses((key & !host).to_be_bytes(), (key | host).to_be_bytes()))
}

/// Names PAN-OS writes for IP protocols.
const PROTOCOLS: &[(&str, i64)] =
    &[("icmp", 1), ("tcp", 6), ("udp", 17), ("gre", 47), ("esp", 50), ("ah", 51), ("ipv6-icmp", 58), ("sctp", 132)];

fn protocol_number(text: &str) -> Option<i64> {
    let named = PROTOCOLS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok())
}

/// The name of an IP protocol, or its number.
pub(crate) fn protocol_name(number: i64) -> String {
    PROTOCOLS
        .iter()
        .find(|(_, known)| *known == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests;
