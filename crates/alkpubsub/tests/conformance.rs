//! The conformance suite on the in-process target, and the suite's own tables.

use alkpubsub::conformance::{self, InProcessFixture, LAWS};
use std::path::{Path, PathBuf};

alkpubsub::conformance_tests!(in_process, InProcessFixture);

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance").join(file)
}

#[test]
fn matrix() {
    conformance::matrix_column(&docs("matrix.md"), "in_process", &InProcessFixture);
}

#[test]
fn names_of_laws() {
    let names: String = LAWS.iter().flat_map(|law| [law.name, "\n"]).collect();
    conformance::committed(&docs("laws.txt"), &names);
}
