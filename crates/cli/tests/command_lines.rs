//! Whole invocations whose output and exit code are pinned: help, usage errors, refusals.

/// Run with `TRYCMD=overwrite` to take changed output over after reading it.
#[test]
fn invocations_print_what_is_pinned() {
    trycmd::TestCases::new()
        // clap wraps help at the width of the terminal that the tests may run on.
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}
