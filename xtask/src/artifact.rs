//! What cargo says of the executables that it builds (`--message-format=json`).

use std::path::PathBuf;

/// The path in a line of cargo's messages, when it is about the executable `name` of this kind of
/// target (`bin`, `test`).
pub fn executable(message: &str, kind: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let is_it = message["reason"] == "compiler-artifact"
        && target["name"] == name
        && target["kind"] == serde_json::json!([kind]);
    is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"a"},
            "executable":"/t/a"}"#;
        assert_eq!(executable(message, "bin", "a"), Some(PathBuf::from("/t/a")));
        assert_eq!(executable(message, "test", "a"), None);
        assert_eq!(executable("not JSON", "bin", "a"), None);
    }

    #[test]
    fn finds_the_executable_of_a_test() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"live"},
            "executable":"/t/live-1"}"#;
        assert_eq!(
            executable(message, "test", "live"),
            Some(PathBuf::from("/t/live-1"))
        );
        assert_eq!(executable(message, "test", "live_more"), None);
        assert_eq!(executable("not JSON", "test", "live"), None);
    }
}
