//! Which crate may use which: the edges of the workspace stand in `tests/crate-graph.txt`, so a new one is a line that is reviewed.
//!
//! `UPDATE_GOLDEN=1 cargo test -p flintwheel-tests --test crate_graph` writes the file anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// No I/O, no runtime, no clock: also not through what they use.
const PURE: [&str; 7] = ["cluster", "events", "import", "model", "schedule", "shard", "wheel"];
/// What a pure crate may not reach.
const IMPURE: [&str; 8] = ["axum", "hyper", "mio", "openraft", "ractor", "rocksdb", "tokio", "tonic"];
/// Libraries whose types stay in one crate.
const ONLY_IN: [(&str, &str); 5] = [
    ("object_store", "backup"),
    ("openraft", "raft"),
    ("ractor", "node"),
    ("rocksdb", "store"),
    ("sqlx", "orchestrator"),
];

#[test]
fn the_edges_between_crates_are_the_reviewed_ones() {
    let file = root().join("tests/crate-graph.txt");
    let found = graph();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &found).expect("the file can be written");
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    let (reviewed, found): (BTreeSet<_>, BTreeSet<_>) = (reviewed.lines().collect(), found.lines().collect());
    let gone: Vec<_> = reviewed.difference(&found).collect();
    let new: Vec<_> = found.difference(&reviewed).collect();
    assert!(gone.is_empty() && new.is_empty(), "not in the workspace: {gone:#?}\nnot in {}: {new:#?}", file.display());
}

#[test]
fn a_library_behind_a_wrapper_is_used_by_its_wrapper_only() {
    for (package, dependencies) in packages() {
        for (library, wrapper) in ONLY_IN {
            let uses = dependencies.iter().any(|one| one.name == library);
            assert!(!uses || package == wrapper, "{package} depends on {library}; only {wrapper} may");
        }
    }
}

#[test]
fn pure_crates_reach_no_runtime_and_no_disk() {
    for package in PURE {
        let tree = cargo(&["tree", "--edges", "normal", "--prefix", "none", "-p", &format!("flintwheel-{package}")]);
        for line in tree.lines() {
            let library = line.split(' ').next().unwrap_or_default();
            assert!(!IMPURE.contains(&library), "{package} is pure, but reaches {library}");
        }
    }
}

#[test]
fn what_is_shipped_does_not_reach_the_simulation_with_its_planted_bugs() {
    for package in ["cli", "node", "orchestrator"] {
        let tree =
            cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "-p", &format!("flintwheel-{package}")]);
        assert!(tree.contains("flintwheel-model"), "{package} is looked at");
        assert!(!tree.contains("flintwheel-simulation"), "{package} reaches the simulation");
    }
}

struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Each package, without the project's prefix, with what it depends on directly.
fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    packages.iter().map(|one| (short(&one["name"]), dependencies(one))).collect()
}

fn dependencies(package: &Value) -> Vec<Dependency> {
    let all = package["dependencies"].as_array().expect("cargo lists dependencies");
    all.iter()
        .map(|one| Dependency { name: short(&one["name"]), kind: one["kind"].as_str().map(str::to_owned) })
        .collect()
}

/// One line a package: what it uses of the workspace, and then what its tests or its build use beyond that.
fn graph() -> String {
    let packages = packages();
    let inside = |one: &&Dependency| packages.contains_key(&one.name);
    let line = |(package, all): (&String, &Vec<Dependency>)| {
        let names = |kind: Option<&str>| {
            let names =
                all.iter().filter(inside).filter(|one| one.kind.as_deref() == kind).map(|one| one.name.as_str());
            names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
        };
        let mut lines = format!("{package} -> {}\n", names(None));
        for kind in ["dev", "build"] {
            let names = names(Some(kind));
            if !names.is_empty() {
                lines += &format!("{package} ({kind}) -> {names}\n");
            }
        }
        lines.replace("-> \n", "->\n")
    };
    packages.iter().map(line).collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().expect("a name is a text");
    name.strip_prefix("flintwheel-").unwrap_or(name).to_owned()
}

fn cargo(args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(args).arg("--offline").current_dir(root()).output().expect("cargo starts");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
