//! Which command do these words mean, and how does it look as XML? The words are those of `words/grammar.rs`.

mod grammar;

use std::collections::BTreeMap;
use std::fmt;

use bartizan_model::tree::{Child, Element};
use bartizan_model::xml;

use self::grammar::{Choice, Node, ROOT, Then};
use super::Command;

/// What is wrong with a command's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// What is possible there: a word and its meaning.
    pub possible: Vec<(String, &'static str)>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.possible.is_empty() {
            return Ok(());
        }
        let width = self.possible.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0);
        f.write_str("; possible here:")?;
        for (word, help) in &self.possible {
            write!(f, "\n  {word:width$}  {help}")?;
        }
        Ok(())
    }
}

/// Reads a command from words.
///
/// # Errors
/// The first word that cannot stand where it does, and those that can.
pub fn parse(words: &[String]) -> Result<Command, Mistake> {
    let mut command = Command::default();
    follow(ROOT, false, words, &mut command)?;
    Ok(command)
}

fn follow(nodes: &'static [Node], may_end: bool, words: &[String], command: &mut Command) -> Result<(), Mistake> {
    let Some((word, rest)) = words.split_first() else {
        return if may_end { Ok(()) } else { Err(unfinished(command, possible_words(nodes))) };
    };
    let Some(node) = nodes.iter().find(|node| node.word == word) else {
        return Err(Mistake { message: unknown(command, word), possible: possible_words(nodes) });
    };
    command.path.push(node.word);
    match &node.then {
        Then::End => end(rest, command),
        Then::Value(hint) => {
            let Some((value, rest)) = rest.split_first() else {
                return Err(unfinished(command, vec![((*hint).to_owned(), node.help)]));
            };
            command.values.insert(node.word, value.clone());
            end(rest, command)
        }
        Then::Entry(hint, nodes) => {
            let Some((value, rest)) = rest.split_first() else {
                return Err(unfinished(command, vec![((*hint).to_owned(), node.help)]));
            };
            command.values.insert(node.word, value.clone());
            follow(nodes, false, rest, command)
        }
        Then::Values(hint) => {
            // Brackets around a list are the command line's, `member` is XML's.
            let values = rest.iter().filter(|word| !matches!(word.as_str(), "[" | "]" | "member"));
            command.list.extend(values.cloned());
            if command.list.is_empty() {
                return Err(unfinished(command, vec![((*hint).to_owned(), node.help)]));
            }
            Ok(())
        }
        Then::Words(nodes, may_end) => follow(nodes, *may_end, rest, command),
        Then::Options(choices) => options(choices, rest, command),
    }
}

/// The value of an option that has none.
const NONE: String = String::new();

fn options(choices: &'static [Choice], mut words: &[String], command: &mut Command) -> Result<(), Mistake> {
    while let Some((word, rest)) = words.split_first() {
        let Some(choice) = choices.iter().find(|choice| choice.name == word) else {
            return Err(Mistake { message: unknown(command, word), possible: possible_options(choices, command) });
        };
        let value = if choice.hint.is_empty() { Some((&NONE, rest)) } else { rest.split_first() };
        let Some((value, rest)) = value else {
            let message = format!("`{word}` is not followed by a value");
            return Err(Mistake { message, possible: vec![(format!("{word} {}", choice.hint), "")] });
        };
        if command.values.insert(choice.name, value.clone()).is_some() {
            let message = format!("`{word}` is given twice");
            return Err(Mistake { message, possible: Vec::new() });
        }
        words = rest;
    }
    complete(choices, command)
}

fn complete(choices: &'static [Choice], command: &Command) -> Result<(), Mistake> {
    let missing: Vec<_> = choices
        .iter()
        .filter(|choice| choice.required && !command.values.contains_key(choice.name))
        .map(|choice| (format!("{} {}", choice.name, choice.hint), ""))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Mistake { message: format!("`{}` needs more", command.path.join(" ")), possible: missing })
}

fn end(rest: &[String], command: &Command) -> Result<(), Mistake> {
    match rest.first() {
        None => Ok(()),
        Some(word) => Err(Mistake {
            message: format!("`{word}` is too much: nothing follows `{}`", command.path.join(" ")),
            possible: Vec::new(),
        }),
    }
}

fn unknown(command: &Command, word: &str) -> String {
    if command.path.is_empty() {
        format!("no command begins with `{word}`")
    } else {
        format!("`{word}` cannot follow `{}`", command.path.join(" "))
    }
}

fn unfinished(command: &Command, possible: Vec<(String, &'static str)>) -> Mistake {
    let message = if command.path.is_empty() {
        "a command is missing".to_owned()
    } else {
        format!("`{}` needs another word", command.path.join(" "))
    };
    Mistake { message, possible }
}

fn possible_words(nodes: &'static [Node]) -> Vec<(String, &'static str)> {
    nodes
        .iter()
        .map(|node| match node.then {
            Then::Value(hint) | Then::Entry(hint, _) | Then::Values(hint) => {
                (format!("{} {hint}", node.word), node.help)
            }
            Then::End | Then::Words(..) | Then::Options(_) => (node.word.to_owned(), node.help),
        })
        .collect()
}

fn possible_options(choices: &'static [Choice], command: &Command) -> Vec<(String, &'static str)> {
    choices
        .iter()
        .filter(|choice| !command.values.contains_key(choice.name))
        .map(|choice| (format!("{} {}", choice.name, choice.hint), if choice.required { "needed" } else { "" }))
        .map(|(words, help)| (words.trim_end().to_owned(), help))
        .collect()
}

/// Reads a command from XML, e.g. `<show><session><id>7</id></session></show>`.
///
/// # Errors
/// As [`parse`]; or that the text is no XML.
pub fn parse_xml(text: &str) -> Result<Command, Mistake> {
    let root = xml::parse(text).map_err(|diagnostic| Mistake {
        message: format!("the command is no XML: {}", diagnostic.message),
        possible: Vec::new(),
    })?;
    let mut words = Vec::new();
    flatten(&root, &mut words);
    parse(&words)
}

/// Elements and texts in document order are the words of the command line. An attribute `name` stands
/// for a value, as in `<virtual-router><entry name="vr"/>`.
fn flatten(element: &Element, words: &mut Vec<String>) {
    match element.attribute("name") {
        Some(name) => words.push(name.to_owned()),
        None => words.push(element.name.to_string()),
    }
    for child in &element.children {
        match child {
            Child::Element(element) => flatten(element, words),
            Child::Text(text) if !text.trim().is_empty() => words.push(text.trim().to_owned()),
            Child::Text(_) | Child::Comment(_) => {}
        }
    }
}

/// Writes a command as XML.
pub fn to_xml(command: &Command) -> String {
    let own: BTreeMap<_, _> = command.values.iter().filter(|(name, _)| !command.path.contains(name)).collect();
    let options = own.into_iter().map(|(name, value)| match value.as_str() {
        "" => Element::new(name),
        value => Element::leaf(name, value),
    });
    let mut path = command.path.iter().rev();
    let Some(last) = path.next() else { return String::new() };
    let mut element = match command.value(last) {
        Some(value) => Element::leaf(last, value),
        None => Element::new(last),
    };
    let members = command.list.iter().map(|value| Element::leaf("member", value));
    element.children.extend(options.chain(members).map(|child| Child::Element(child.into())));
    for word in path {
        // A word with a value that more words follow: the value is an entry's name.
        if let Some(value) = command.value(word) {
            let mut entry = Element::entry(value);
            entry.children.push(Child::Element(element.into()));
            element = entry;
        }
        let mut outer = Element::new(word);
        outer.children.push(Child::Element(element.into()));
        element = outer;
    }
    xml::write(&element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_command_means_the_same_as_words_and_as_xml() {
        for (line, xml) in [
            ("show session all", "<show><session><all/></session></show>"),
            (
                "show session all filter source 10.0.0.5 to untrust",
                "<show><session><all><filter><source>10.0.0.5</source><to>untrust</to></filter></all></session></show>",
            ),
            ("show session id 7", "<show><session><id>7</id></session></show>"),
            ("show interface ethernet1/1", "<show><interface>ethernet1/1</interface></show>"),
            (
                "request system external-list show type ip name bad",
                "<request><system><external-list><show><name>bad</name><type>ip</type></show></external-list></system></request>",
            ),
            (
                "show object registered-ip all limit 500 start-point 1",
                "<show><object><registered-ip><all/><limit>500</limit><start-point>1</start-point></registered-ip></object></show>",
            ),
            (
                "show object registered-ip tag web",
                "<show><object><registered-ip><tag>web</tag></registered-ip></object></show>",
            ),
            (
                "show object dynamic-address-group name pods",
                "<show><object><dynamic-address-group><name>pods</name></dynamic-address-group></object></show>",
            ),
            (
                "request dhcp client renew ethernet1/2",
                "<request><dhcp><client><renew>ethernet1/2</renew></client></dhcp></request>",
            ),
            (
                "debug dataplane packet-diag set filter destination-port 443 match",
                "<debug><dataplane><packet-diag><set><filter><destination-port>443</destination-port><match/></filter>\
                 </set></packet-diag></dataplane></debug>",
            ),
            (
                "debug dataplane packet-diag set capture file rx.pcapng stage receive",
                "<debug><dataplane><packet-diag><set><capture><file>rx.pcapng</file><stage>receive</stage></capture>\
                 </set></packet-diag></dataplane></debug>",
            ),
            (
                "debug dataplane packet-diag clear filter all",
                "<debug><dataplane><packet-diag><clear><filter><all/></filter></clear></packet-diag></dataplane></debug>",
            ),
            (
                "debug dataplane packet-diag clear file rx.pcapng",
                "<debug><dataplane><packet-diag><clear><file>rx.pcapng</file></clear></packet-diag></dataplane></debug>",
            ),
            ("clear session all", "<clear><session><all/></session></clear>"),
            (
                "test routing fib-lookup ip 1.1.1.1 virtual-router vr1",
                "<test><routing><fib-lookup><ip>1.1.1.1</ip><virtual-router>vr1</virtual-router></fib-lookup></routing></test>",
            ),
            (
                "show running nat-rule-ippool rule out",
                "<show><running><nat-rule-ippool><rule>out</rule></nat-rule-ippool></running></show>",
            ),
            (
                "show rule-hit-count vsys vsys-name vsys1 rule-base nat rules all",
                "<show><rule-hit-count><vsys><vsys-name><entry name=\"vsys1\"><rule-base><entry name=\"nat\">\
                 <rules><all/></rules></entry></rule-base></entry></vsys-name></vsys></rule-hit-count></show>",
            ),
            (
                "clear rule-hit-count vsys vsys-name vsys1 rule-base security rules list [ a b ]",
                "<clear><rule-hit-count><vsys><vsys-name><entry name=\"vsys1\"><rule-base><entry name=\"security\">\
                 <rules><list><member>a</member><member>b</member></list></rules></entry></rule-base></entry>\
                 </vsys-name></vsys></rule-hit-count></clear>",
            ),
        ] {
            let command = parse(&words(line)).unwrap();
            assert_eq!(to_xml(&command), xml);
            assert_eq!(parse_xml(xml).unwrap(), command);
        }
        // The form in which clients of PAN-OS name a tag.
        let entry = "<show><object><registered-ip><tag><entry name=\"web\"/></tag></registered-ip></object></show>";
        assert_eq!(parse_xml(entry).unwrap(), parse(&words("show object registered-ip tag web")).unwrap());
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_possible_ones() {
        let mistake = parse(&words("show sesion all")).unwrap_err();
        assert_eq!(mistake.message, "`sesion` cannot follow `show`");
        assert!(mistake.possible.iter().any(|(word, _)| word == "session"));
        let shown = parse(&words("show session")).unwrap_err().to_string();
        assert_eq!(
            shown,
            "`show session` needs another word; possible here:\n  \
             all    all sessions\n  \
             id ID  one session with both directions\n  \
             info   how many sessions, and their limits"
        );
        assert_eq!(parse(&[]).unwrap_err().message, "a command is missing");
    }

    #[test]
    fn all_missing_options_are_named_at_once() {
        let mistake = parse(&words("test security-policy-match from trust source 10.0.0.5")).unwrap_err();
        let missing: Vec<_> = mistake.possible.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(missing, ["to ZONE", "destination ADDRESS", "protocol NUMBER|tcp|udp|icmp|icmp6"]);
    }

    #[test]
    fn doubled_dangling_and_surplus_words_are_refused() {
        for (line, message) in [
            ("show session all filter source a source b", "`source` is given twice"),
            ("show session all filter source", "`source` is not followed by a value"),
            ("show counter global now", "`now` is too much: nothing follows `show counter global`"),
            ("show session id", "`show session id` needs another word"),
        ] {
            assert_eq!(parse(&words(line)).unwrap_err().message, message, "{line}");
        }
    }
}
