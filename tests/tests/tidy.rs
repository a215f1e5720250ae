//! The house rules that a program can check, over every text of the repository. `CONTRIBUTING.md` says why they are.

use std::fs;
use std::path::{Path, PathBuf};

/// No I/O, no runtime, no clock.
const PURE: [&str; 7] = ["cluster", "events", "import", "model", "schedule", "shard", "wheel"];
/// Kinds of files that people write.
const TEXTS: [&str; 12] = ["jsonl", "md", "proto", "py", "rs", "sh", "sql", "template", "toml", "txt", "yaml", "yml"];
/// Lines of one file.
const FILE_LINES: usize = 800;
/// Lines of one function, from its signature to its closing brace.
const FUNCTION_LINES: usize = 70;
/// Of a test: a table of cases is read line by line, not as a whole.
const TEST_LINES: usize = 120;

#[test]
fn every_source_file_says_first_what_it_is() {
    expect_none(sources(), |text| (!text.starts_with("//! ")).then(|| "the first line is no `//! ...`".to_owned()));
}

#[test]
fn pure_crates_say_so_first() {
    for name in PURE {
        let text = read(&root().join("crates").join(name).join("src/lib.rs"));
        assert!(text.starts_with("//! Pure. "), "crates/{name}/src/lib.rs does not begin with `//! Pure. `");
    }
}

#[test]
fn pure_crates_ask_no_clock() {
    let inside =
        |path: &PathBuf| PURE.iter().any(|name| path.starts_with(root().join("crates").join(name).join("src")));
    let clocks = ["Instant::now", "SystemTime::now", "Utc::now", "Local::now"];
    expect_none(sources().into_iter().filter(inside), |text| first_line_with(text, &clocks));
}

#[test]
fn nothing_is_left_for_later() {
    // In parts, so that this file passes.
    let marks = [["to", "do!("], ["unimpl", "emented!("], ["db", "g!("]].map(|parts| parts.concat());
    expect_none(sources(), |text| first_line_with(text, &marks.each_ref().map(String::as_str)));
}

#[test]
fn a_test_is_ignored_only_where_another_one_runs_it() {
    let (mark, reason) = (["#[ig", "nore"].concat(), " = \"run by ");
    expect_none(sources(), |text| {
        let odd = text.lines().find(|line| line.split_once(&mark).is_some_and(|(_, rest)| !rest.starts_with(reason)));
        odd.map(str::to_owned)
    });
}

#[test]
fn files_have_one_topic_each_and_so_are_short() {
    expect_none(sources(), |text| {
        let lines = text.lines().count();
        (lines > FILE_LINES).then(|| format!("{lines} lines; at most {FILE_LINES}"))
    });
}

#[test]
fn functions_fit_on_a_screen() {
    expect_none(sources(), |text| {
        let long = functions(text).into_iter().find(|one| one.lines > one.most());
        long.map(|one| format!("line {}: a function of {} lines; at most {}", one.start, one.lines, one.most()))
    });
}

#[test]
fn lines_end_clean() {
    expect_none(texts(), |text| {
        let number = text.lines().position(|line| line.ends_with([' ', '\t', '\r']));
        let odd = number.map(|number| format!("line {}: space at its end", number + 1));
        odd.or_else(|| (!text.is_empty() && !text.ends_with('\n')).then(|| "the last line has no end".to_owned()))
    });
}

#[test]
fn no_text_names_a_place_on_somebodys_machine() {
    let places =
        [["/root", "/"], ["/work", "/main"], ["/work", "/shared"], ["/tmp", "/env"]].map(|parts| parts.concat());
    expect_none(texts(), |text| first_line_with(text, &places.each_ref().map(String::as_str)));
}

#[test]
fn links_in_documents_lead_somewhere() {
    for document in texts().into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        for link in links(&read(&document)) {
            let target = document.parent().unwrap_or(&document).join(&link);
            assert!(target.exists(), "{}: there is no {link}", document.display());
        }
    }
}

#[test]
fn every_decision_stands_in_the_index() {
    let dir = root().join("docs/decisions");
    let index = read(&dir.join("README.md"));
    for entry in fs::read_dir(&dir).expect("docs/decisions is a folder") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || index.contains(&name), "docs/decisions/README.md does not list {name}");
    }
}

struct Function {
    start: usize,
    lines: usize,
    is_test: bool,
}

impl Function {
    fn most(&self) -> usize {
        if self.is_test { TEST_LINES } else { FUNCTION_LINES }
    }
}

/// The code is formatted, so a function ends at the brace that stands below its first word.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| is_function(line));
    let measure = |(start, line): (usize, &&str)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends =
            |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest == "}" || is_end_of_declaration(rest));
        let one_line = line.ends_with('}') || line.ends_with(';');
        let end = if one_line { Some(0) } else { lines[start..].iter().position(ends) };
        let above = lines[..start].iter().rev().map(|line| line.trim()).take_while(|line| line.starts_with("#["));
        let is_test = above.into_iter().any(|line| line.contains("test"));
        Function { start: start + 1, lines: end.unwrap_or(0) + 1, is_test }
    };
    starts.map(measure).collect()
}

/// `) -> u8;` closes a function of a trait that has no body.
fn is_end_of_declaration(line: &str) -> bool {
    line.starts_with(')') && line.ends_with(';')
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    let before = line.split("fn ").next().unwrap_or_default();
    let words = ["", "pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
    before.len() < line.len() && before.split(' ').all(|word| words.contains(&word))
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let text = "fn a() {}\nimpl X {\n    pub async fn b(\n        x: u8,\n    ) -> u8 {\n        if x {\n        }\n    }\n    fn c();\n}\n";
    let found: Vec<_> = functions(text).into_iter().map(|one| (one.start, one.lines)).collect();
    assert_eq!(found, [(1, 1), (3, 6), (9, 1)]);
}

fn first_line_with(text: &str, marks: &[&str]) -> Option<String> {
    let mut lines = text.lines().enumerate();
    let (number, line) = lines.find(|(_, line)| marks.iter().any(|mark| line.contains(mark)))?;
    Some(format!("line {}: {}", number + 1, line.trim()))
}

/// Relative targets of Markdown links, without their anchors.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://") && !file.contains(' ')).map(str::to_owned).collect()
}

fn expect_none(paths: impl IntoIterator<Item = PathBuf>, rule: impl Fn(&str) -> Option<String>) {
    let against = |path: &PathBuf| rule(&read(path)).map(|what| format!("{}: {what}", path.display()));
    let found: Vec<String> = paths.into_iter().filter_map(|path| against(&path)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn sources() -> Vec<PathBuf> {
    texts().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

fn texts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 50, "the walk finds the repository");
    found
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("folders can be read") {
        let path = entry.expect("entries can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", "node_modules", "proptest-regressions"].contains(&name.as_str()) {
            walk(&path, found);
        } else if TEXTS.iter().any(|end| name.ends_with(&format!(".{end}"))) {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}
