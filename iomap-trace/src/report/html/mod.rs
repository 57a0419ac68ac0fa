//! One HTML file that needs nothing else: the bug report, and a timeline of all failures.
//!
//! The text is the Markdown report's, turned into HTML without any markup of its own ([`body`]).
//! The timeline's data is JSON in the page ([`embed`]), which the script shows as text nodes only.
//! The page's policy lets nothing run or load but its own style and script, by their hashes.

mod bins;
mod body;
mod data;
mod embed;
mod failures;
mod names;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::dossier::Dossier;

pub use data::{Data, File, Pair};
pub use failures::Failures;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// The parts share one scope, which is no other script's.
const SCRIPT: &str = concat!(
    "\n\"use strict\";\n(() => {\n",
    include_str!("script/data.js"),
    include_str!("script/text.js"),
    include_str!("script/view.js"),
    include_str!("script/chart.js"),
    include_str!("script/list.js"),
    include_str!("script/sort.js"),
    include_str!("script/main.js"),
    "})();\n",
);

/// The page: what the dossier says as text, and the failures as a timeline.
pub fn html(dossier: &Dossier<'_>, failures: &Failures) -> String {
    let body = body::Body::of(&super::markdown(dossier));
    let data = embed::json(&failures.data());
    fill(
        PAGE,
        &[
            ("policy", &policy()),
            ("style", STYLE),
            ("contents", &body.contents),
            ("finding", &body.finding),
            ("sections", &body.sections),
            ("data", &data),
            ("script", SCRIPT),
        ],
    )
}

/// Nothing is loaded from anywhere; no other style and no other script counts.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// `page` with each `<!--name-->` replaced; they come in this order, and what is put in is not
/// looked at again.
fn fill(page: &str, parts: &[(&str, &str)]) -> String {
    let mut out =
        String::with_capacity(parts.iter().map(|part| part.1.len()).sum::<usize>() + 4096);
    let mut rest = page;
    for (name, text) in parts {
        let Some((before, after)) = rest.split_once(&format!("<!--{name}-->")) else {
            continue;
        };
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    out.push_str(rest);
    out
}
