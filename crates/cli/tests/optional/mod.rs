//! What a test needs that not every machine has.

/// Without it the test is skipped with a message, or fails where `PAGESEAL_REQUIRE_OPTIONAL_TESTS=1` says that everything was
/// installed.
pub fn skip(what: &str) {
    let required = std::env::var_os("PAGESEAL_REQUIRE_OPTIONAL_TESTS").is_some_and(|value| value == "1");
    assert!(!required, "{what} is missing, but PAGESEAL_REQUIRE_OPTIONAL_TESTS=1");
    println!("SKIPPED: {what} is missing");
}
