//! What does `bartizan policy` say of the example, and of what is wrong with it?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bartizan_model::xml;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/policy/shop")
}

/// Exit code, standard output and standard error.
fn policy(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bartizan")).arg("policy").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_example_has_no_fault_and_its_tests_pass() {
    let folder = example();
    let folder = folder.to_str().unwrap();
    let (code, out, err) = policy(&["lint", folder]);
    assert_eq!(
        (code, out.trim(), err.as_str()),
        (0, "3 policies of 2 namespaces and 3 workloads, without a fault", "")
    );

    let place = tempfile::tempdir().unwrap();
    let junit = place.path().join("policy.xml");
    let (code, out, err) = policy(&["test", folder, "--junit", junit.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("7 passed, 0 failed\n"), "{out}");
    let suites = xml::parse(&std::fs::read_to_string(junit).unwrap()).unwrap();
    assert_eq!(suites.attribute("tests"), Some("7"));
    let suite = suites.child("testsuite").unwrap();
    assert_eq!(suite.elements().filter(|case| case.child("failure").is_some()).count(), 0);
    assert_eq!(suite.elements().count(), 7);
}

#[test]
fn the_example_of_the_whole_cluster_passes_its_tests() {
    let folder = example().join("../cluster");
    let (code, out, err) = policy(&["lint", folder.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out.trim(), "3 policies of 3 namespaces and 3 workloads, without a fault");
    let (code, out, err) = policy(&["test", folder.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("9 passed, 0 failed\n"), "{out}");
    let (code, out, _) = policy(&["render", folder.to_str().unwrap(), "-o", "set"]);
    assert_eq!(code, 0);
    assert!(out.contains(" fqdn updates.example.com"), "{out}");
}

#[test]
fn the_rules_are_a_part_of_a_configuration() {
    let folder = example();
    let arguments = ["render", folder.to_str().unwrap(), "--cluster", "c1", "--device-group", "dg"];
    let (code, out, err) = policy(&arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let names: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let sections = [
        "data.web-to-db.i0.both",
        "default-deny.",
        "shop.web-out.e0",
        "shop.web-out.e1",
        "default-deny-egress",
        "data.web-to-db.i0",
        "default-deny-ingress",
        "rest-out",
        "rest-in",
    ];
    assert_eq!(names.len(), sections.len(), "{out}");
    for (name, section) in names.iter().zip(sections) {
        assert!(name.starts_with(&format!("np.c1.{section}")), "{name} is not {section}: {out}");
    }

    let (code, out, _) = policy(&[&arguments[..], &["-o", "xml"]].concat());
    let tree = xml::parse(&out).unwrap();
    let group = tree.descend(&["devices", "entry", "device-group"]).unwrap().entry_named("dg").unwrap();
    let rules = group.descend(&["pre-rulebase", "security", "rules"]).unwrap();
    assert_eq!((code, rules.entries().count()), (0, sections.len()));
}

#[test]
fn faults_and_failing_tests_end_with_3() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_str().unwrap();
    for name in ["workloads.yaml", "policies.yaml"] {
        std::fs::copy(example().join(name), place.path().join(name)).unwrap();
    }
    let (code, _, err) = policy(&["test", folder]);
    assert_eq!(code, 1);
    assert!(err.contains("there is no test"), "{err}");

    let test = "tests: [{name: open, from: data/backup, to: data/db, port: 5432, expect: allow}]";
    std::fs::write(place.path().join("a.test.yaml"), test).unwrap();
    let (code, out, err) = policy(&["test", folder, "-o", "json"]);
    assert_eq!((code, err.as_str()), (3, ""));
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["failed"], &told["passed"]), (&1.into(), &0.into()));
    assert!(out.contains("should be allowed, is denied by np.cluster.default-deny-ingress"), "{out}");

    let wrong = std::fs::read_to_string(example().join("policies.yaml")).unwrap();
    let wrong =
        wrong.replace("np.panw.com/appid", "np.panw.com/app").replace("policyTypes: [Egress]", "policyType: [Egress]");
    std::fs::write(place.path().join("policies.yaml"), wrong).unwrap();
    let (code, out, err) = policy(&["lint", folder]);
    assert_eq!((code, out.as_str()), (3, ""));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(
        lines[0].starts_with("policies.yaml:10: NetworkPolicy data/web-to-db: metadata.labels[np.panw.com/app]: "),
        "{err}"
    );
    assert!(lines[1].contains("line 37") && lines[1].contains("unknown field `policyType`"), "{err}");
}

#[test]
fn a_catalogue_refuses_what_a_team_may_not_name() {
    let catalogue = example().join("../catalogue.yaml");
    let (folder, catalogue) = (example(), catalogue.to_str().unwrap().to_owned());
    let folder = folder.to_str().unwrap();
    let (code, out, err) = policy(&["lint", folder, "--catalogue", &catalogue]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (code, out, err) = policy(&["test", folder, "--catalogue", &catalogue]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");

    let place = tempfile::tempdir().unwrap();
    for name in ["workloads.yaml", "policies.yaml"] {
        std::fs::copy(example().join(name), place.path().join(name)).unwrap();
    }
    // It may lie among the manifests.
    let own = place.path().join("catalogue.yaml");
    let text = std::fs::read_to_string(catalogue).unwrap();
    std::fs::write(
        &own,
        text.replace("allow: {applications: [postgres, mysql, redis]", "allow: {applications: [mysql]"),
    )
    .unwrap();
    let arguments = ["lint", place.path().to_str().unwrap(), "--catalogue", own.to_str().unwrap()];
    let (code, out, err) = policy(&arguments);
    assert_eq!((code, out.as_str()), (3, ""));
    let told = "policies.yaml:10: NetworkPolicy data/web-to-db: metadata.labels[np.panw.com/appid]: application `postgres` \
                may not be named: the catalogue's entries for namespace `data` are `everybody`, `data`; there are `mysql`";
    assert_eq!(err.trim_end(), told);

    std::fs::write(&own, "entries: [{name: a, namespace-selector: team in x}]").unwrap();
    let (code, _, err) = policy(&arguments);
    assert_eq!(code, 3);
    assert!(err.contains("catalogue.yaml: ") && err.contains("`team in x` is no condition on a label"), "{err}");
    std::fs::write(&own, "entries: [{name: a}, {name: a}]").unwrap();
    let (code, _, err) = policy(&arguments);
    assert_eq!(code, 3);
    assert!(err.contains("catalogue.yaml: entries[1].name: `a` is the name of an entry before"), "{err}");
}
