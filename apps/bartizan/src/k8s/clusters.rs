//! Which Kubernetes clusters told the manager something, and how are they?

use serde_json::Value;

use super::arguments::Clusters;
use crate::Failure;
use crate::remote::client::Client;
use crate::remote::output::{list, table, word, write};

/// Asks the manager.
pub(super) async fn run(arguments: &Clusters) -> Result<(), Failure> {
    let answer = Client::new(&arguments.common.server)?.get("/kubernetes/clusters", &[]).await?;
    write(&answer, arguments.common.output, text)
}

fn text(answer: &Value) -> String {
    let clusters = list(answer, "clusters");
    let heads = ["name", "id", "controller", "heard", "pods", "addresses", "tags", "policies", "state"];
    let mut text = table(&heads, clusters.iter().map(row));
    for cluster in clusters {
        for warning in list(cluster, "warnings") {
            text += &format!("\nwarning: {}: {}", word(&cluster["name"]), word(warning));
        }
    }
    text
}

fn row(cluster: &Value) -> Vec<String> {
    let heard = format!("{} s ago", word(&cluster["silent_s"]));
    let state = match (cluster["expired"] == true, list(cluster, "warnings").len()) {
        (true, _) => "silent for too long",
        (false, 0) => "ok",
        (false, _) => "warning",
    };
    vec![
        word(&cluster["name"]),
        word(&cluster["cluster_id"]),
        word(&cluster["controller"]),
        heard,
        word(&cluster["objects"]["pods"]),
        word(&cluster["tagged_addresses"]),
        word(&cluster["tags"]),
        policies(&cluster["policies"]),
        state.to_owned(),
    ]
}

fn policies(of: &Value) -> String {
    let number = |name: &str| of[name].as_u64().unwrap_or_default();
    let (told, enforced, faults) = (number("told"), number("enforced"), number("with_fault"));
    let fault = if faults == 0 { String::new() } else { format!(", {faults} with a fault") };
    if told == 0 { "-".to_owned() } else { format!("{enforced} of {told} enforced{fault}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_cluster_is_a_line_and_what_is_wrong_stands_below() {
        let cluster = |name: &str, expired: bool, warnings: &[&str], policies: Value| {
            json!({ "name": name, "cluster_id": 7, "controller": "one", "silent_s": 3, "expired": expired,
                "objects": { "pods": 4 }, "tagged_addresses": 5, "tags": 20, "policies": policies, "warnings": warnings })
        };
        let none = json!({ "told": 0, "enforced": 0, "with_fault": 0 });
        let some = json!({ "told": 3, "enforced": 1, "with_fault": 1 });
        let answer = json!({ "clusters": [
            cluster("a", false, &[], none.clone()), cluster("b", false, &["no traffic object"], some), cluster("c", true, &[], none)] });
        assert_eq!(
            text(&answer),
            "NAME  ID  CONTROLLER  HEARD    PODS  ADDRESSES  TAGS  POLICIES                         STATE\n\
             a     7   one         3 s ago  4     5          20    -                                ok\n\
             b     7   one         3 s ago  4     5          20    1 of 3 enforced, 1 with a fault  warning\n\
             c     7   one         3 s ago  4     5          20    -                                silent for too long\n\
             warning: b: no traffic object"
        );
    }
}
