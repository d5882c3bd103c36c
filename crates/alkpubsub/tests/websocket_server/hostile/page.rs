//! `docs/hostile-peers.md` is made of the cases.

use super::{conduct, control, frames, messages, requests};
use std::path::Path;

/// The page with its tables as the cases say: each stands between the comments that name its part.
fn written(page: &str) -> String {
    let parts = [
        ("messages", messages::all()),
        ("control events", control::all()),
        ("frames", frames::all()),
        ("requests", requests::all()),
        ("conduct", conduct::all()),
    ];
    let mut page = page.to_owned();
    for (part, cases) in parts {
        let (begin, end) = (format!("<!-- {part}: made by the tests -->\n"), "<!-- end -->");
        let from = page.find(&begin).unwrap_or_else(|| panic!("no {begin:?} in the page")) + begin.len();
        let to = from + page[from..].find(end).expect("each part has an end");
        let mut table = String::from(
            "\n| a peer sends or does | what comes of it | its connection | test |\n| --- | --- | --- | --- |\n",
        );
        let row = |cells: [&str; 3], test: &str| {
            format!("| {} | `{test}` |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
        };
        for (name, case) in cases {
            table += &row([case.does, case.comes, case.ends], name);
        }
        if part == "conduct" {
            for [does, comes, ends, test] in conduct::ELSEWHERE {
                assert!(is_a_test(test), "no test is called {test}");
                table += &row([does, comes, ends], test);
            }
        }
        table.push('\n');
        page.replace_range(from..to, &table);
    }
    page
}

/// Whether `module::name` is one of the tests beside these.
fn is_a_test(path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").expect("a path");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/websocket_server");
    let source = std::fs::read_to_string(tests.join(module.replace("::", "/")).with_extension("rs"));
    source.is_ok_and(|source| source.contains(&format!("fn {name}(")))
}

#[test]
fn the_page_says_what_the_cases_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hostile-peers.md");
    let found = std::fs::read_to_string(&path).unwrap();
    let page = written(&found);
    if std::env::var_os("UPDATE").is_some() && found != page {
        std::fs::write(&path, &page).unwrap();
        return;
    }
    assert!(
        found == page,
        "docs/hostile-peers.md differs from the cases; UPDATE=1 writes it. It should be:\n{page}"
    );
}
