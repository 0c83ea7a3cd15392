//! How does the plugin get into a node's CNI configuration, and out of it again?
//!
//! Pure: texts in, texts out. What another plugin wrote stays as it is.

use serde_json::{Map, Value, json};

/// The plugin's type, which is the name of its program.
pub(crate) const TYPE: &str = "pan-cni";

/// Kinds of files that a runtime reads.
const ENDINGS: [&str; 3] = [".conf", ".conflist", ".json"];

/// Which file a runtime takes: the first by name that can be read, or the one that was asked for. A file of ours
/// alone (Multus) does not count.
pub(crate) fn primary<'a>(files: &'a [(String, String)], named: Option<&str>) -> Option<&'a (String, String)> {
    let list_of = |name: &str| named.is_some_and(|named| name == named || name == as_list(named));
    let mut candidates: Vec<&(String, String)> = files
        .iter()
        .filter(|(name, text)| {
            let wanted = if named.is_some() { list_of(name) } else { is_configuration(name) };
            wanted && read(text).is_some_and(|value| value["type"] != TYPE)
        })
        .collect();
    candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
    candidates.first().copied()
}

/// Whether a runtime reads a file of this name.
pub(crate) fn is_configuration(name: &str) -> bool {
    !name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The name of a list made from a single configuration.
pub(crate) fn as_list(name: &str) -> String {
    match name.strip_suffix(".conf").or_else(|| name.strip_suffix(".json")) {
        Some(stem) => format!("{stem}.conflist"),
        None => name.to_owned(),
    }
}

/// The text with our plugin last in the chain, with these settings; none when it stands so already.
///
/// # Errors
/// When the text is no CNI configuration.
pub(crate) fn insert(text: &str, plugin: &Value) -> Result<Option<String>, String> {
    let mut list = match read(text) {
        Some(Value::Object(object)) => to_list(object),
        _ => return Err("is no JSON object".to_owned()),
    };
    let Some(Value::Array(plugins)) = list.get_mut("plugins") else {
        return Err("has neither `type` nor `plugins`".to_owned());
    };
    plugins.retain(|other| other["type"] != TYPE);
    if plugins.is_empty() {
        return Err("has no other plugin to stand behind".to_owned());
    }
    plugins.push(chained(plugin));
    let list = Value::Object(list);
    if read(text).as_ref() == Some(&list) { Ok(None) } else { Ok(Some(format!("{list:#}\n"))) }
}

/// The text without our plugin; none when it is not in there.
pub(crate) fn remove(text: &str) -> Option<String> {
    let mut value = read(text)?;
    let plugins = value.get_mut("plugins")?.as_array_mut()?;
    let before = plugins.len();
    plugins.retain(|other| other["type"] != TYPE);
    (plugins.len() < before).then(|| format!("{value:#}\n"))
}

fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// A single configuration becomes a list of one; the list has its name and version.
fn to_list(object: Map<String, Value>) -> Map<String, Value> {
    if object.contains_key("plugins") || !object.contains_key("type") {
        return object;
    }
    let mut list = Map::new();
    let mut plugin = object;
    for name in ["cniVersion", "name"] {
        if let Some(value) = plugin.remove(name) {
            list.insert(name.to_owned(), value);
        }
    }
    list.insert("plugins".to_owned(), json!([plugin]));
    list
}

/// In a chain the list's name and version are everybody's.
fn chained(plugin: &Value) -> Value {
    let mut plugin = plugin.clone();
    if let Some(object) = plugin.as_object_mut() {
        object.remove("cniVersion");
        object.remove("name");
    }
    plugin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Value {
        json!({"cniVersion": "0.3.0", "name": "pan-cni", "type": "pan-cni", "traffic_object_id": "1"})
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_plugin_comes_last_and_everything_else_stays() {
        let cases = [
            (
                r#"{"cniVersion":"1.1.0","name":"k8s","plugins":[{"type":"calico","x":1},{"type":"portmap"}],"other":true}"#,
                json!({"cniVersion": "1.1.0", "name": "k8s", "other": true,
                       "plugins": [{"type": "calico", "x": 1}, {"type": "portmap"},
                                   {"type": "pan-cni", "traffic_object_id": "1"}]}),
            ),
            (
                r#"{"cniVersion":"0.3.1","name":"cbr0","type":"bridge","ipam":{"type":"host-local"}}"#,
                json!({"cniVersion": "0.3.1", "name": "cbr0",
                       "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}},
                                   {"type": "pan-cni", "traffic_object_id": "1"}]}),
            ),
            (
                r#"{"name":"k8s","plugins":[{"type":"pan-cni","traffic_object_id":"9"},{"type":"calico"}]}"#,
                json!({"name": "k8s", "plugins": [{"type": "calico"}, {"type": "pan-cni", "traffic_object_id": "1"}]}),
            ),
        ];
        for (before, expected) in cases {
            let after = insert(before, &ours()).unwrap().unwrap();
            assert_eq!(value(&after), expected, "{before}");
            assert_eq!(insert(&after, &ours()), Ok(None), "twice is once");
        }
    }

    #[test]
    fn what_is_no_configuration_is_left_alone() {
        for (text, said) in [
            ("{", "is no JSON object"),
            ("[]", "is no JSON object"),
            (r#"{"name":"x"}"#, "has neither `type` nor `plugins`"),
            (r#"{"plugins":[{"type":"pan-cni"}]}"#, "has no other plugin to stand behind"),
        ] {
            assert_eq!(insert(text, &ours()).unwrap_err(), said);
        }
    }

    #[test]
    fn removing_gives_the_list_back() {
        let before = r#"{"name":"k8s","plugins":[{"type":"calico"}]}"#;
        let after = insert(before, &ours()).unwrap().unwrap();
        assert_eq!(value(&remove(&after).unwrap()), value(before));
        assert_eq!(remove(before), None);
        assert_eq!(remove("{"), None);
    }

    #[test]
    fn the_first_readable_file_is_the_runtimes_and_so_it_is_ours() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let files = [
            file("99-late.conf", r#"{"type":"bridge"}"#),
            file("10-calico.conflist", r#"{"plugins":[{"type":"calico"}]}"#),
            file("05-broken.conflist", "{"),
            file("00-pan-cni.conf", r#"{"type":"pan-cni"}"#),
            file("01-notes.txt", "{}"),
            file("ZZZ-pan-cni-kubeconfig", "{}"),
            file(".10-tmp.conflist", "{}"),
        ];
        let chosen = |named: Option<&str>| primary(&files, named).map(|(name, _)| name.as_str());
        assert_eq!(chosen(None), Some("10-calico.conflist"));
        assert_eq!(chosen(Some("99-late.conf")), Some("99-late.conf"));
        assert_eq!(chosen(Some("10-calico.conf")), Some("10-calico.conflist"), "a list that was made from it");
        assert_eq!(chosen(Some("20-absent.conf")), None);
        assert_eq!(as_list("99-late.conf"), "99-late.conflist");
    }
}
