//! What can be said to `bartizan policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::remote::arguments::{Form, Server};

/// The verbs of NetworkPolicies.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Everything that is wrong with the manifests; exit code 3 when something is.
    Lint {
        #[command(flatten)]
        folder: Folder,
    },
    /// The rules that the policies become, in their order.
    Render {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        rules: Rules,
        /// How they are written.
        #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
        output: RulesForm,
        /// The device group of the forms `xml` and `set`.
        #[arg(long, value_name = "NAME", default_value = "kubernetes")]
        device_group: String,
    },
    /// The edits that bring a device group of the manager's running configuration to the rules; exit code 4 when there
    /// are some.
    Diff {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        rules: Rules,
        /// The device group.
        #[arg(long, value_name = "NAME")]
        device_group: String,
        #[command(flatten)]
        server: Server,
    },
    /// Run the tests in `*.test.yaml` on the rules; exit code 3 when one fails.
    Test {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        rules: Rules,
        /// Write the outcomes for a pipeline, as JUnit has it.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
        /// How they are written on standard output.
        #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
        output: Form,
    },
}

/// Where the manifests are.
#[derive(Args, Debug)]
pub(crate) struct Folder {
    /// A folder with manifests (`.yaml`, `.yml`, `.json`) and all folders in it, or one file.
    #[arg(value_name = "DIR")]
    pub(crate) path: PathBuf,

    /// A catalogue (YAML): which profiles, groups and applications the teams may name.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,

    /// The cluster's name in tags and names, and in the catalogue.
    #[arg(long, value_name = "NAME", default_value = "cluster", value_parser = cluster)]
    pub(crate) cluster: String,
}

/// What is the same for all rules.
#[derive(Args, Debug)]
pub(crate) struct Rules {
    /// A zone of the cluster's traffic; may be repeated [default: any].
    #[arg(long = "zone", value_name = "NAME")]
    pub(crate) zones: Vec<String>,

    /// Leave it to the rules behind what happens to pods that no policy is about; Kubernetes allows it.
    #[arg(long)]
    pub(crate) no_rest: bool,
}

/// How rules are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RulesForm {
    /// For people.
    #[default]
    Table,
    /// A configuration with the device group's part, for `bartizan apply`.
    Xml,
    /// The same as lines.
    Set,
}

/// Longest name of a cluster in tags (the vendor's plugin).
const CLUSTER_MAX: usize = 20;

fn cluster(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > CLUSTER_MAX || !text.chars().all(fits) {
        return Err(format!("a cluster's name has 1 to {CLUSTER_MAX} of letters, digits, `-` and `_`"));
    }
    Ok(text.to_owned())
}
