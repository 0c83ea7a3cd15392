//! Which parts of a manager's configuration does an edit touch?

use bartizan_model::tree::Element;
use bartizan_model::xml;
use bartizan_model::xpath::{Step, XPath};

use crate::configuration::edit::Edit;

/// A part that a partial commit can name. A name of `None` stands for all of that kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Shared,
    DeviceGroup(Option<String>),
    Template(Option<String>),
    Stack(Option<String>),
    DeviceAndNetwork,
    /// The whole tree, or what cannot be told.
    Everything,
}

const KINDS: [&str; 3] = ["device-group", "template", "template-stack"];

fn of_kind(kind: &str, name: Option<&str>) -> Option<Place> {
    let name = name.map(str::to_owned);
    match kind {
        "device-group" => Some(Place::DeviceGroup(name)),
        "template" => Some(Place::Template(name)),
        "template-stack" => Some(Place::Stack(name)),
        _ => None,
    }
}

/// The parts that an edit touches, at least one.
pub(crate) fn places(edit: &Edit) -> Vec<Place> {
    let everything = vec![Place::Everything];
    if matches!(edit, Edit::Load { .. }) {
        return everything;
    }
    let element = element_of(edit);
    let mut places = Vec::new();
    for xpath in xpaths(edit) {
        let Ok(xpath) = XPath::parse(xpath) else { return everything };
        places.extend(xpath.paths.iter().flat_map(|path| of_path(&path.steps, element.as_ref())));
    }
    places.sort();
    places.dedup();
    if places.is_empty() { everything } else { places }
}

/// Every node it names.
fn xpaths(edit: &Edit) -> Vec<&str> {
    let mut xpaths = vec![edit.xpath()];
    // What is copied stays as it is where it was.
    if let Edit::MultiMove { selected, .. } = edit {
        xpaths.extend(selected.iter().map(|one| one.source.as_str()));
    }
    xpaths
}

/// What the edit puts there, under one root.
fn element_of(edit: &Edit) -> Option<Element> {
    match edit {
        Edit::Set { element, .. } => xml::parse(&format!("<fragment>{element}</fragment>")).ok(),
        Edit::Replace { element, .. } | Edit::Override { element, .. } => {
            let root = xml::parse(element).ok()?;
            // Its children stand where those of a fragment do.
            Some(root)
        }
        _ => None,
    }
}

fn of_path(steps: &[Step], element: Option<&Element>) -> Vec<Place> {
    let names: Vec<Option<&str>> = steps.iter().map(Step::name).collect();
    match names[..] {
        [Some("config"), Some("shared"), ..] => vec![Place::Shared],
        [Some("config"), Some("devices"), Some("entry"), Some(kind), ..] if KINDS.contains(&kind) => match steps.get(4)
        {
            Some(entry) => of_kind(kind, entry.attribute("name")).into_iter().collect(),
            None => of_list(kind, element),
        },
        // Groups and their parents also stand here, by name.
        [Some("config"), Some("readonly"), ..] => {
            let group = steps.iter().position(|step| step.name() == Some("device-group"));
            let name = group.and_then(|at| steps.get(at + 1)).and_then(|entry| entry.attribute("name"));
            vec![name.map_or(Place::DeviceAndNetwork, |name| Place::DeviceGroup(Some(name.to_owned())))]
        }
        [Some("config"), Some("devices"), Some("entry")] => below_device(element),
        [Some("config"), Some(_), ..] if names.len() > 2 => vec![Place::DeviceAndNetwork],
        [Some("config"), Some("mgt-config" | "panorama")] => vec![Place::DeviceAndNetwork],
        _ => vec![Place::Everything],
    }
}

/// A whole list: those that are put into it, or all, when it is deleted.
fn of_list(kind: &str, element: Option<&Element>) -> Vec<Place> {
    match element {
        Some(element) => element.entries().filter_map(|(name, _)| of_kind(kind, Some(name))).collect(),
        None => of_kind(kind, None).into_iter().collect(),
    }
}

fn below_device(element: Option<&Element>) -> Vec<Place> {
    let Some(element) = element else { return vec![Place::Everything] };
    let of_child = |child: &Element| match &*child.name {
        kind if KINDS.contains(&kind) => of_list(kind, Some(child)),
        _ => vec![Place::DeviceAndNetwork],
    };
    element.elements().flat_map(|child| of_child(child)).collect()
}
