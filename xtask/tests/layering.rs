//! Does each crate depend only on what ARCHITECTURE.md allows it, and on no library with effects?

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Crate, and the crates of this workspace that it may use. The table of ARCHITECTURE.md.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "bartizan",
        &[
            "bartizan-engine",
            "bartizan-firewall",
            "bartizan-kube",
            "bartizan-manager",
            "bartizan-model",
            "bartizan-packet",
            "bartizan-playbook",
            "bartizan-policy",
            "bartizan-api",
        ],
    ),
    ("bartizan-cni", &[]),
    ("bartizan-firewall", &["bartizan-api", "bartizan-engine", "bartizan-model", "bartizan-packet", "bartizan-policy"]),
    ("bartizan-kube", &["bartizan-model", "bartizan-playbook"]),
    (
        "bartizan-manager",
        &["bartizan-api", "bartizan-engine", "bartizan-model", "bartizan-playbook", "bartizan-policy"],
    ),
    ("bartizan-engine", &["bartizan-model", "bartizan-packet", "bartizan-policy"]),
    ("bartizan-api", &["bartizan-model"]),
    ("bartizan-playbook", &["bartizan-model", "bartizan-policy"]),
    ("bartizan-policy", &["bartizan-model"]),
    ("bartizan-model", &[]),
    ("bartizan-packet", &[]),
    ("bartizan-fuzz", &[]),
    ("bartizan-lab", &["bartizan-packet"]),
    ("xtask", &[]),
];

/// Libraries that bring effects: never a dependency of anything under `crates/`.
const EFFECTS: &[&str] = &[
    "axum",
    "getrandom",
    "hyper",
    "hyper-util",
    "libc",
    "nix",
    "rand",
    "rtnetlink",
    "rustls",
    "sqlx",
    "tokio",
    "tokio-rustls",
];

/// Licences a library that we choose may come under (one of them suffices where it offers a choice).
const LICENCES: &[&str] =
    &["0BSD", "Apache-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"];

/// What the libraries that we chose may bring along besides. CDLA is for data: Mozilla's list of authorities.
const BROUGHT_ALONG: &[&str] =
    &["Apache-2.0 WITH LLVM-exception", "CDLA-Permissive-2.0", "MIT-0", "Unicode-3.0", "Zlib"];

/// LLVM's licence, of the fuzzer that is in none of our programs.
const FOR_FUZZING: (&str, &str) = ("libfuzzer-sys", "NCSA");

fn packages() -> (Vec<Package>, Vec<Package>) {
    let metadata = MetadataCommand::new().manifest_path(xtask::root().join("Cargo.toml")).exec().unwrap();
    let members = metadata.workspace_members.clone();
    metadata.packages.into_iter().partition(|package| members.contains(&package.id))
}

#[test]
fn crates_use_only_rows_below_their_own() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let (own, _) = packages();
    let mut wrong = Vec::new();
    for package in &own {
        let Some(row) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("`{}` has no row in ALLOWED", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal) {
            let internal = own.iter().any(|other| *other.name == dependency.name);
            if internal && !row.contains(&dependency.name.as_str()) {
                wrong.push(format!("`{}` must not use `{}`", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_have_no_effects() {
    let (own, _) = packages();
    let pure = own.iter().filter(|package| package.manifest_path.as_str().contains("/crates/"));
    let wrong: Vec<String> = pure
        .flat_map(|package| package.dependencies.iter().map(move |dependency| (package, dependency)))
        .filter(|(_, dependency)| {
            dependency.kind == DependencyKind::Normal && EFFECTS.contains(&dependency.name.as_str())
        })
        .map(|(package, dependency)| format!("`{}` must not use `{}`", package.name, dependency.name))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_has_a_licence_we_accept() {
    let (own, others) = packages();
    let chosen: Vec<&str> =
        own.iter().flat_map(|package| &package.dependencies).map(|dependency| dependency.name.as_str()).collect();
    let acceptable = |package: &Package| {
        let brought: &[&str] = if chosen.contains(&package.name.as_str()) { &[] } else { BROUGHT_ALONG };
        let known = |licence: &str| {
            LICENCES.contains(&licence) || brought.contains(&licence) || (package.name.as_str(), licence) == FOR_FUZZING
        };
        let expression = package.license.as_deref().unwrap_or_default().replace(['(', ')'], " ").replace('/', " OR ");
        expression.split(" AND ").all(|part| part.split(" OR ").any(|licence| known(licence.trim())))
    };
    let wrong: Vec<String> = others
        .iter()
        .filter(|package| !acceptable(package))
        .map(|package| format!("`{}` {}: {:?}", package.name, package.version, package.license))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
