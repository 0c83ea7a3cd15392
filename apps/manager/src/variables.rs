//! Which values do the devices of a stack have for its variables, as a table?
//!
//! A row for each device, a column for each variable, `$name:type` at its head. `#inherited#` stands for a value that the
//! stack or a template gives. What is read back becomes edits of the devices' own values; nothing else changes.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_model::choices;
use bartizan_model::manager::{self, container, entry_xpath, templates_of};
use bartizan_model::render::{is_variable, variable_fits};
use bartizan_model::tree::{Child, Element, quote};
use bartizan_model::xml;

use crate::configuration::edit::Edit;

/// What stands for a value that is not the device's own.
const INHERITED: &str = "#inherited#";
/// What a definition says that leaves the value to somebody nearer to the device.
const NONE: &str = "None";
/// Mistakes that are told.
const MISTAKES_MAX: usize = 100;

/// The table of a stack; nothing when there is no such stack. `hostname` gives the name of a device.
pub(crate) fn table(root: &Element, stack: &str, hostname: impl Fn(&str) -> String) -> Option<String> {
    let entry = container(root, "template-stack")?.entry_named(stack)?;
    let kinds = kinds(root, stack, entry);
    let mut head = vec!["serial".to_owned(), "hostname".to_owned()];
    head.extend(kinds.iter().map(|(name, kind)| format!("{name}:{kind}")));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&head).ok()?;
    for (serial, device) in devices(entry) {
        let own = definitions(device);
        let value = |name: &String| own.get(name).map_or_else(|| INHERITED.to_owned(), |(_, value)| value.clone());
        let row = [serial.clone(), hostname(&serial)].into_iter().chain(kinds.keys().map(value));
        writer.write_record(row).ok()?;
    }
    String::from_utf8(writer.into_inner().ok()?).ok()
}

/// The edits that give the devices of a stack the values of a table.
///
/// # Errors
/// Everything that is wrong with the table, with line and column.
pub(crate) fn edits(root: &Element, stack: &str, text: &str) -> Result<Vec<Edit>, Vec<String>> {
    let entry = container(root, "template-stack").and_then(|stacks| stacks.entry_named(stack));
    let Some(entry) = entry else { return Err(vec![unknown_stack(root, stack)]) };
    let kinds = kinds(root, stack, entry);
    let devices = devices(entry);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| vec![error.to_string()])?.clone();
    let mut mistakes = Vec::new();
    let columns = columns(&head, &kinds, &mut mistakes);
    let (mut edits, mut seen) = (Vec::new(), BTreeSet::new());
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                mistakes.push(error.to_string());
                continue;
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let serial = row.get(0).unwrap_or_default();
        let Some((_, device)) = devices.iter().find(|(known, _)| known == serial) else {
            mistakes.push(format!("line {line}: `{serial}` is no device of the stack `{stack}`"));
            continue;
        };
        if !seen.insert(serial.to_owned()) {
            mistakes.push(format!("line {line}: `{serial}` is there twice"));
            continue;
        }
        let place = format!("{}/devices/entry[@name={}]/variable", entry_xpath("template-stack", stack), quote(serial));
        for (at, name, kind) in &columns {
            let value = row.get(*at).unwrap_or_default();
            if !matches!(value, "" | INHERITED | NONE) && !variable_fits(kind, value) {
                mistakes.push(format!("line {line}, {name}: `{value}` does not fit the type `{kind}`"));
                continue;
            }
            edits.extend(edit(&place, *device, (name, kind), value));
        }
    }
    if mistakes.is_empty() {
        return Ok(edits);
    }
    let more = mistakes.len().saturating_sub(MISTAKES_MAX);
    mistakes.truncate(MISTAKES_MAX);
    if more > 0 {
        mistakes.push(format!("and {more} more"));
    }
    Err(mistakes)
}

/// Places, names and types of the columns with variables.
fn columns(
    head: &csv::StringRecord,
    kinds: &BTreeMap<String, String>,
    mistakes: &mut Vec<String>,
) -> Vec<(usize, String, String)> {
    if head.get(0) != Some("serial") {
        mistakes.push("line 1: the first column is `serial`".to_owned());
    }
    let mut columns: Vec<(usize, String, String)> = Vec::new();
    for (at, title) in head.iter().enumerate().skip(1).filter(|(_, title)| *title != "hostname") {
        let (name, kind) = title.split_once(':').map_or((title, None), |(name, kind)| (name, Some(kind)));
        let known = kinds.get(name).map(String::as_str);
        let wrong = match (known, kind) {
            _ if !is_variable(name) => Some("is no `$name` or `$name:type`".to_owned()),
            _ if columns.iter().any(|(_, other, _)| other == name) => Some("is there twice".to_owned()),
            (Some(known), Some(kind)) if known != kind => Some(format!("is of the type `{known}`")),
            (None, None) => Some("is defined nowhere: say its type, `$name:type`".to_owned()),
            (None, Some(kind)) if !choices::VARIABLE.contains(&kind) => {
                Some(format!("has no type of a variable; there are {}", choices::VARIABLE.join(", ")))
            }
            _ => None,
        };
        match (wrong, known.or(kind)) {
            (Some(wrong), _) => mistakes.push(format!("line 1: `{title}` {wrong}")),
            (None, Some(kind)) => columns.push((at, name.to_owned(), kind.to_owned())),
            (None, None) => {}
        }
    }
    columns
}

/// What gives a device a value, or takes its own one away; nothing when it is so already.
fn edit(place: &str, device: Option<&Element>, (name, kind): (&str, &str), value: &str) -> Option<Edit> {
    let own = device.map(definitions).unwrap_or_default();
    let xpath = format!("{place}/entry[@name={}]", quote(name));
    match own.get(name) {
        None if matches!(value, "" | INHERITED) => None,
        Some(_) if matches!(value, "" | INHERITED) => Some(Edit::Delete { xpath }),
        Some((known, present)) if known == kind && present == value => None,
        _ => {
            let mut kinds = Element::new("type");
            kinds.children.push(Child::Element(Element::leaf(kind, value).into()));
            Some(Edit::Set { xpath, element: xml::write(&kinds) })
        }
    }
}

/// Serial numbers of a stack's devices, with what stands there.
fn devices(stack: &Element) -> Vec<(String, Option<&Element>)> {
    let Some(list) = stack.child("devices") else { return Vec::new() };
    let entries = list.entries().map(|(serial, device)| (serial.to_owned(), Some(&**device)));
    entries.chain(list.members().map(|serial| (serial, None))).collect()
}

/// Every variable that a device of the stack can see, with its type.
fn kinds(root: &Element, stack: &str, entry: &Element) -> BTreeMap<String, String> {
    let templates = container(root, "template");
    let named = templates_of(root, stack);
    let templates = named.iter().filter_map(|name| templates?.entry_named(name)).map(|template| &**template);
    let devices = devices(entry).into_iter().filter_map(|(_, device)| device);
    let mut kinds = BTreeMap::new();
    for holder in std::iter::once(entry).chain(templates).chain(devices) {
        for (name, (kind, _)) in definitions(Some(holder)) {
            kinds.entry(name).or_insert(kind);
        }
    }
    kinds
}

/// Types and values that stand at a template, stack or device.
fn definitions<'e>(holder: impl Into<Option<&'e Element>>) -> BTreeMap<String, (String, String)> {
    let container = holder.into().and_then(|holder| holder.child("variable"));
    let entries = container.into_iter().flat_map(|container| container.entries());
    let definition = |(name, entry): (&str, &std::sync::Arc<Element>)| {
        let branch = entry.child("type")?.elements().next()?;
        Some((name.to_owned(), (branch.name.to_string(), branch.text())))
    };
    entries.filter_map(definition).collect()
}

/// What to say about a stack that is not there.
pub(crate) fn unknown_stack(root: &Element, stack: &str) -> String {
    let known = manager::template_stacks(root);
    let near = bartizan_model::diagnostic::closest(stack, known.iter().map(String::as_str));
    let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("there is no template stack `{stack}`{help}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const ROOT: &str = "<config><devices><entry name='localhost.localdomain'><template><entry name='t'><variable>\
        <entry name='$ip'><type><ip-netmask>None</ip-netmask></type></entry><entry name='$dns'><type><fqdn>dns.example</fqdn></type></entry>\
        </variable></entry></template><template-stack><entry name='s'><templates><member>t</member></templates><devices>\
        <entry name='1'><variable><entry name='$ip'><description>in</description><type><ip-netmask>10.0.0.1/24</ip-netmask></type></entry></variable></entry>\
        <entry name='2'/></devices></entry></template-stack></entry></devices></config>";
    const TABLE: &str =
        "serial,hostname,$dns:fqdn,$ip:ip-netmask\n1,fw-1,#inherited#,10.0.0.1/24\n2,fw-2,#inherited#,#inherited#\n";

    #[test]
    fn what_is_written_reads_back_as_nothing_to_do() {
        let root = xml::parse(ROOT).unwrap();
        assert_eq!(table(&root, "s", |serial| format!("fw-{serial}")).as_deref(), Some(TABLE));
        assert_eq!(edits(&root, "s", TABLE), Ok(Vec::new()));
        assert_eq!(table(&root, "x", str::to_owned), None);
    }

    #[test]
    fn values_are_given_changed_and_taken_away() {
        let mut root = Arc::new(xml::parse(ROOT).unwrap());
        let new =
            "serial,$ip,$dns,$if:interface\n2,10.0.2.1/24,#inherited#,ethernet1/3\n1,,\"ns.example\",#inherited#\n";
        for edit in edits(&root, "s", new).unwrap() {
            edit.apply(&mut root).unwrap();
        }
        assert_eq!(
            table(&root, "s", |_| String::new()).unwrap(),
            "serial,hostname,$dns:fqdn,$if:interface,$ip:ip-netmask\n1,,ns.example,#inherited#,#inherited#\n\
             2,,#inherited#,ethernet1/3,10.0.2.1/24\n"
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let root = xml::parse(ROOT).unwrap();
        let wrong = edits(&root, "s", "serial,$ip:fqdn,$dns,$x,y,$z:color\n1,a,b c,,,\n3,,,,,\n1,,,,,\n").unwrap_err();
        assert_eq!(
            wrong[..6],
            [
                "line 1: `$ip:fqdn` is of the type `ip-netmask`",
                "line 1: `$x` is defined nowhere: say its type, `$name:type`",
                "line 1: `y` is no `$name` or `$name:type`",
                &wrong[3],
                "line 2, $dns: `b c` does not fit the type `fqdn`",
                "line 3: `3` is no device of the stack `s`",
            ]
        );
        assert!(wrong[3].starts_with("line 1: `$z:color` has no type of a variable"), "{wrong:?}");
        assert_eq!(wrong[6..], ["line 4: `1` is there twice"]);
    }
}
