//! The docs: every command they show is run, and every page they name is there.

use std::path::{Path, PathBuf};

use deployforge_tests::{Lab, Outcome, files_below, root};

/// One command of a page.
#[derive(Debug)]
struct Shown {
    line: usize,
    command: String,
    exit: i32,
    /// What it prints, unless the page says that this is a sample (of times, hashes, figures).
    output: Option<Vec<String>>,
    /// Where nothing is shown, nothing is printed.
    strict: bool,
}

fn pages() -> Vec<PathBuf> {
    let mut pages = files_below(&root().join("docs"), ".md", &["book"]);
    pages.push(root().join("README.md"));
    pages
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The commands of a page's ```console blocks.
fn shown(page: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((_, fence)) = lines.next() {
        let Some(tag) = fence.strip_prefix("```console") else { continue };
        let tag = tag.trim();
        let (skip, sample, strict) = (tag == "skip", tag == "sample", tag == "check");
        let known = skip || sample || strict || tag.is_empty();
        assert!(known, "an unknown kind of block: {fence}");
        let mut block = lines.by_ref().take_while(|(_, line)| *line != "```");
        let first = found.len();
        while let Some((number, line)) = block.next() {
            let Some(typed) = line.strip_prefix("$ ") else {
                if let Some(output) = found[first..].last_mut().and_then(|s| s.output.as_mut()) {
                    output.push(line.to_owned());
                }
                continue;
            };
            let (typed, exit) = match typed.rsplit_once("# exit ") {
                Some((typed, exit)) => (typed.trim_end(), exit.parse().expect("an exit code")),
                None => (typed, 0),
            };
            let mut command = typed.to_owned();
            // A here-document, or a line that goes on.
            while command.ends_with('\\') || command.contains("<<'EOF'") {
                let Some((_, more)) = block.next() else { break };
                command.push('\n');
                command.push_str(more);
                if more == "EOF" {
                    break;
                }
            }
            let output = (!sample).then(Vec::new);
            found.push(Shown { line: number + 1, command, exit, output, strict });
        }
        if skip {
            found.truncate(first);
        }
    }
    found
}

/// Whether lines are what a page shows: `…` in a line stands for anything, alone for any lines.
fn fits(shown: &[String], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "…" => {
            fits(rest, printed) || printed.split_first().is_some_and(|(_, tail)| fits(shown, tail))
        }
        (Some((first, rest)), Some((line, tail))) => {
            line_fits(first.trim_end(), line.trim_end()) && fits(rest, tail)
        }
        _ => false,
    }
}

fn line_fits(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed,
        Some((head, tail)) => printed.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| line_fits(tail, &rest[at..]))
        }),
    }
}

/// What is wrong with a command of a page, if anything.
fn problem(shown: &Shown, outcome: &Outcome) -> Option<String> {
    if outcome.code != Some(shown.exit) {
        return Some(format!("the page says exit code {}\n{outcome}", shown.exit));
    }
    let output = shown.output.as_ref().filter(|lines| shown.strict || !lines.is_empty())?;
    let printed: Vec<&str> = outcome.text().lines().collect();
    (!fits(output, &printed)).then(|| format!("it prints something else\n{outcome}"))
}

/// Copies a folder into the lab.
fn copy(from: &Path, lab: &Lab, to: &str) {
    for file in files_below(from, "", &["demo_maker", ".venv"]) {
        let name = file.strip_prefix(from).expect("it is below").display().to_string();
        lab.write(&format!("{to}/{name}"), std::fs::read(&file).expect("a file of ours"));
    }
}

#[test]
fn every_command_of_the_docs_runs() {
    let mut problems = Vec::new();
    let (mut run, mut compared) = (0, 0);
    for page in pages() {
        let commands = shown(&read(&page));
        if commands.is_empty() {
            continue;
        }
        let lab = Lab::new();
        copy(&root().join("datasets"), &lab, "datasets");
        for one in &commands {
            let exempt = ["cargo ", "tests/run.sh", "git clone"];
            if exempt.iter().any(|start| one.command.starts_with(start)) {
                continue;
            }
            run += 1;
            compared += usize::from(one.output.is_some());
            if let Some(problem) = problem(one, &lab.run_shown(&one.command)) {
                problems.push(format!("{}:{}: {problem}", page.display(), one.line));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(run > 30, "only {run} commands are shown");
    assert!(compared > 0, "no output is compared");
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut links = 0;
    for page in pages() {
        let text = read(&page);
        // Code is not prose: its brackets are its own.
        let prose: String = text.split("```").step_by(2).collect();
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            let folder = page.parent().expect("a page is in a folder");
            if !folder.join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(links > 20, "only {links} links");
}

#[test]
fn every_page_is_in_the_contents() {
    let docs = root().join("docs");
    let contents = read(&docs.join("SUMMARY.md"));
    let missing: Vec<String> = files_below(&docs, ".md", &["book"])
        .iter()
        .map(|page| page.strip_prefix(&docs).expect("it is below").display().to_string())
        .filter(|page| page != "SUMMARY.md" && !page.ends_with("template.md"))
        .filter(|page| !contents.contains(&format!("({page})")))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:#?}");
}

#[test]
fn pages_are_read_as_their_readers_do() {
    let page = "```console\n$ a \\\n  b # exit 1\nx\n$ c <<'EOF'\n$ d\nEOF\n```\n\
                ```console check\n$ e # exit 2\nout … put\n…\nend\n```\n```console skip\n$ f\n```\n";
    let found = shown(page);
    let commands: Vec<(&str, i32)> =
        found.iter().map(|one| (one.command.as_str(), one.exit)).collect();
    assert_eq!(commands, [("a \\\n  b # exit 1", 0), ("c <<'EOF'\n$ d\nEOF", 0), ("e", 2)]);
    let output = found[2].output.as_ref().expect("it is compared");
    assert!(fits(output, &["out is put", "more", "more", "end"]));
    assert!(fits(output, &["out  put", "end"]));
    assert!(!fits(output, &["out is put", "end", "more"]));
    assert!(!fits(output, &["out is", "end"]));
}
