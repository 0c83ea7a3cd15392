//! What does the table say about one element?

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// The vendor's facts, and those that it does not publish.
const TABLES: [&str; 2] = [include_str!("table.txt"), include_str!("own.txt")];

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// Anything: the facts contradict one another.
    Any,
    /// It holds elements.
    Node,
    /// Text of so many characters.
    Text(Bounds),
    /// A whole number.
    Integer(Bounds),
    /// A number.
    Number(Bounds),
    /// `yes` or `no`.
    Flag,
    /// One of these.
    Words(Vec<&'static str>),
}

/// Least and most, both allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) least: Option<f64>,
    pub(super) most: Option<f64>,
}

/// What a value is held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::AtMost(limit) => write!(f, "at most {limit}"),
        }
    }
}

impl Bounds {
    /// `LEAST..MOST`, either may be missing.
    fn parse(text: &str) -> Option<Self> {
        let (least, most) = text.split_once("..")?;
        Some(Self { least: least.parse().ok(), most: most.parse().ok() })
    }

    /// The bound that a number breaks.
    pub(super) fn broken_by(self, number: f64) -> Option<Limit> {
        if let Some(least) = self.least.filter(|least| number < *least) {
            return Some(Limit::AtLeast(least));
        }
        self.most.filter(|most| number > *most).map(Limit::AtMost)
    }

    /// What either allows.
    fn or(self, other: Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>, wider: fn(f64, f64) -> f64| Some(wider(a?, b?));
        Self { least: both(self.least, other.least, f64::min), most: both(self.most, other.most, f64::max) }
    }
}

impl Rule {
    fn parse(words: &[&'static str]) -> Option<Self> {
        let bounds = || words.get(1).map_or(Some(Bounds::default()), |text| Bounds::parse(text));
        Some(match *words.first()? {
            "node" => Self::Node,
            "text" => Self::Text(bounds()?),
            "int" => Self::Integer(bounds()?),
            "float" => Self::Number(bounds()?),
            "bool" => Self::Flag,
            "enum" => Self::Words(words[1..].to_vec()),
            _ => return None,
        })
    }

    /// What either of two kinds of object that share a place allows.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Self::Text(one.or(other)),
            (Self::Integer(one), Self::Integer(other)) => Self::Integer(one.or(other)),
            (Self::Number(one), Self::Number(other)) => Self::Number(one.or(other)),
            (Self::Words(mut one), Self::Words(other)) => {
                one.extend(other);
                Self::Words(one)
            }
            (one, other) if one == other => one,
            _ => Self::Any,
        }
    }
}

#[derive(Debug)]
struct Node {
    rule: Rule,
    children: HashMap<&'static str, Link>,
    /// Keys of `children`.
    tags: Vec<&'static str>,
    /// Branches of the choice that the element holds.
    branches: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    node: usize,
    is_branch: bool,
}

/// The table as a tree from `config` on; nodes by number.
#[derive(Debug)]
pub(super) struct Schema(Vec<Node>);

impl Schema {
    /// The one there is.
    pub(super) fn get() -> &'static Self {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
            let mut schema = Schema(vec![Node::new(Rule::Node)]);
            // A test reads the whole table; a line that cannot be read says nothing.
            for problem in TABLES.into_iter().flat_map(|table| schema.read(table)) {
                debug_assert!(false, "schema table: {problem}");
            }
            schema
        });
        &SCHEMA
    }

    /// Adds what a table says; lines that cannot be read are returned.
    pub(super) fn read(&mut self, table: &'static str) -> Vec<String> {
        let mut unread = Vec::new();
        let mut places: Vec<usize> = Vec::new();
        let mut in_head = false;
        // For each place, the nodes from the object down to the last line.
        let mut open: Vec<Vec<usize>> = Vec::new();
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with("kind ") {
                places.clear();
                in_head = true;
            } else if let Some(path) = line.strip_prefix("at ") {
                let place = path.split('/').skip(1).fold(0, |node, tag| self.child_or_new(node, tag, None));
                places.push(place);
            } else {
                if std::mem::take(&mut in_head) {
                    open = places.iter().map(|place| vec![*place]).collect();
                }
                if self.read_element(line, &mut open).is_none() {
                    unread.push(line.to_owned());
                }
            }
        }
        unread
    }

    fn read_element(&mut self, line: &'static str, open: &mut [Vec<usize>]) -> Option<()> {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        let words: Vec<&str> = text.split(' ').collect();
        let is_branch = words.first()?.starts_with('|');
        let words = if is_branch { &words[1..] } else { &words[..] };
        let (tag, rule) = (*words.first()?, Rule::parse(&words[1..])?);
        for nodes in open {
            nodes.truncate(depth);
            let parent = *nodes.last()?;
            let node = self.child_or_new(parent, tag, Some(rule.clone()));
            if is_branch && !self.0[parent].branches.contains(&tag) {
                self.0[parent].branches.push(tag);
            }
            if let Some(link) = self.0[parent].children.get_mut(tag) {
                link.is_branch |= is_branch;
            }
            nodes.push(node);
        }
        Some(())
    }

    fn child_or_new(&mut self, parent: usize, tag: &'static str, rule: Option<Rule>) -> usize {
        if let Some(Link { node, .. }) = self.0[parent].children.get(tag).copied() {
            if let Some(rule) = rule {
                let known = std::mem::replace(&mut self.0[node].rule, Rule::Any);
                self.0[node].rule = known.or(rule);
            }
            return node;
        }
        let node = self.0.len();
        self.0.push(Node::new(rule.unwrap_or(Rule::Node)));
        self.0[parent].children.insert(tag, Link { node, is_branch: false });
        self.0[parent].tags.push(tag);
        node
    }

    /// The node of the root element.
    pub(super) fn root(&self, tag: &str) -> Option<usize> {
        (tag == "config").then_some(0)
    }

    /// The node of a child.
    pub(super) fn child(&self, node: usize, tag: &str) -> Option<usize> {
        self.0[node].children.get(tag).map(|link| link.node)
    }

    /// What the node may be.
    pub(super) fn rule(&self, node: usize) -> &Rule {
        &self.0[node].rule
    }

    /// Tags of the children, in order of the alphabet, and whether each is a branch of a choice.
    pub(super) fn children(&self, node: usize) -> Vec<(&'static str, usize, bool)> {
        let node = &self.0[node];
        let link = |tag: &&'static str| node.children.get(tag).map(|link| (*tag, link.node, link.is_branch));
        let mut children: Vec<_> = node.tags.iter().filter_map(link).collect();
        children.sort_unstable();
        children
    }

    /// The branches among which `tag` is one.
    pub(super) fn branches_of(&self, node: usize, tag: &str) -> &[&'static str] {
        let node = &self.0[node];
        if node.children.get(tag).is_some_and(|link| link.is_branch) { &node.branches } else { &[] }
    }

    /// The same for the element with this path of tags.
    pub(super) fn branches(&self, path: &[&str], tag: &str) -> &[&'static str] {
        let Some((root, path)) = path.split_first() else { return &[] };
        let node = path.iter().try_fold(self.root(root), |node, tag| Some(self.child(node?, tag))).flatten();
        node.map_or(&[], |node| self.branches_of(node, tag))
    }
}

impl Node {
    fn new(rule: Rule) -> Self {
        Self { rule, children: HashMap::new(), tags: Vec::new(), branches: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_read() {
        let mut schema = Schema(vec![Node::new(Rule::Node)]);
        for table in TABLES {
            assert_eq!(schema.read(table), Vec::<String>::new());
        }
        assert!(schema.0.len() > 20_000, "{}", schema.0.len());
    }

    #[test]
    fn a_place_of_two_kinds_allows_what_either_allows() {
        let mut schema = Schema(vec![Node::new(Rule::Node)]);
        let table = "kind a\nat config/x\n  one int 1..5\n  two text ..3\n  w enum a\nkind b\nat config/x\n  one int 3..9\n  two bool\n  w enum b\n";
        assert_eq!(schema.read(table), Vec::<String>::new());
        let x = schema.child(0, "x").unwrap();
        let rule = |tag| schema.rule(schema.child(x, tag).unwrap()).clone();
        assert_eq!(rule("one"), Rule::Integer(Bounds { least: Some(1.0), most: Some(9.0) }));
        assert_eq!(rule("two"), Rule::Any);
        assert_eq!(rule("w"), Rule::Words(vec!["a", "b"]));
        assert_eq!(schema.read("kind c\nat config/y\n  z something\n"), ["  z something"]);
    }
}
