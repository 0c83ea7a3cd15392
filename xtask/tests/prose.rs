//! Do the documents speak of things that exist, and does each source file say what it is for?

use xtask::{files, root};

#[test]
fn every_source_file_opens_with_its_question() {
    let silent: Vec<String> = files(&root(), &[".rs"])
        .unwrap()
        .into_iter()
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
            !first.is_some_and(|line| line.starts_with("//!"))
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "files without a `//!` header:\n{}", silent.join("\n"));
}

#[test]
fn every_file_of_the_page_opens_with_its_question() {
    let silent: Vec<String> = files(&root().join("web"), &[".ts", ".tsx", ".mjs", ".css"])
        .unwrap()
        .into_iter()
        .filter(|path| !path.to_string_lossy().contains(".gen.") && !path.starts_with(root().join("web/dist")))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            !text.starts_with("// ") && !text.starts_with("/* ")
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "files of the page that do not open with a comment:\n{}", silent.join("\n"));
}

#[test]
fn paths_in_the_documents_exist() {
    let mut missing = Vec::new();
    let documents = files(&root(), &[".md"]).unwrap();
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let first = quoted.split('/').next().unwrap_or_default();
            let is_path = matches!(
                first,
                "crates" | "apps" | "tests" | "docs" | "xtask" | "fuzz" | "scripts" | "fixtures" | "charts" | "web"
            ) && quoted.contains('/')
                && !quoted.contains(['{', '*', ' ', '<', '…']);
            if is_path && !root().join(quoted).exists() {
                missing.push(format!("{}: `{quoted}`", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "documents name what is not there:\n{}", missing.join("\n"));
}

#[test]
fn nothing_names_a_machine_path_or_a_registry_host() {
    // Spelt in pieces so that this file does not find itself.
    let banned = [
        ["/wo", "rk/"].concat(),
        ["sha", "red/design"].concat(),
        ["index.crates", ".io"].concat(),
        ["pypi", ".org"].concat(),
        ["registry.npmjs", ".org"].concat(),
    ];
    let mut found = Vec::new();
    for path in files(
        &root(),
        &[
            ".rs",
            ".md",
            ".toml",
            ".sh",
            ".py",
            ".yaml",
            ".yml",
            ".sql",
            ".proto",
            "Makefile",
            ".ts",
            ".tsx",
            ".mjs",
            "package.json",
            "package-lock.json",
        ],
    )
    .unwrap()
    {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        found.extend(
            banned
                .iter()
                .filter(|word| text.contains(word.as_str()))
                .map(|word| format!("{}: `{word}`", path.display())),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
