//! JSON inside of a page.

use serde::Serialize;

/// `value` as JSON that can stand in a `<script>` element: what could end it, or begin a comment or
/// an entity, is an escape (all of it can only be in strings).
pub(super) fn json(value: &impl Serialize) -> String {
    // Fails for maps whose keys are no strings, and there are none.
    let plain = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut out = String::with_capacity(plain.len() + plain.len() / 16);
    for c in plain.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_script_element_cannot_be_ended() {
        assert_eq!(
            json(&"</script><!--&\u{2028}\u{2029}"),
            r#""\u003c/script\u003e\u003c!--\u0026\u2028\u2029""#
        );
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "(?s)([<>&!/\"\\\\-]|script|\u{2028}|\u{2029}|.){0,40}") {
            let json = json(&text);
            let unsafe_here = ['<', '>', '&', '\u{2028}', '\u{2029}', '\n', '\r'];
            prop_assert!(!json.contains(unsafe_here), "{}", json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
