//! The Markdown report as HTML.
//!
//! Nothing in it is markup of its own: raw HTML, links and images become text.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Link to the section that is not the Markdown's.
const TIMELINE: &str = "<li><a href=\"#timeline\">Timeline</a></li>\n";

/// The parts of the report.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Links to the sections.
    pub contents: String,
    /// Everything before the second section.
    pub finding: String,
    /// The other sections.
    pub sections: String,
}

impl Body {
    /// Of a report in Markdown.
    pub fn of(markdown: &str) -> Self {
        let mut body = Self::default();
        let mut section: Vec<Event<'_>> = Vec::new();
        let (mut number, mut titled) = (0, false);
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            let heading = Tag::Heading {
                level: HeadingLevel::H2,
                id: None,
                classes: Vec::new(),
                attrs: Vec::new(),
            };
            if event == Event::Start(heading) {
                body.end_section(number, &mut section);
                number += 1;
                titled = true;
                body.contents
                    .push_str(&format!("<li><a href=\"#s{number}\">"));
                section.push(own(&format!("<section>\n<h2 id=\"s{number}\">")));
                continue;
            }
            if event == Event::End(TagEnd::Heading(HeadingLevel::H2)) {
                titled = false;
                body.contents.push_str("</a></li>\n");
                if number == 1 {
                    // It comes behind the finding.
                    body.contents.push_str(TIMELINE);
                }
                section.push(own("</h2>\n"));
                continue;
            }
            let Some(event) = plain(event) else {
                continue;
            };
            if titled {
                html::push_html(&mut body.contents, std::iter::once(event.clone()));
            }
            match event {
                // Wide ones scroll by themselves.
                Event::Start(Tag::Table(_)) => section.extend([own("<div class=\"wide\">"), event]),
                Event::End(TagEnd::Table) => section.extend([event, own("</div>\n")]),
                event => section.push(event),
            }
        }
        body.end_section(number, &mut section);
        body
    }

    fn end_section(&mut self, number: u32, section: &mut Vec<Event<'_>>) {
        if number > 0 {
            section.push(own("</section>\n"));
        }
        let to = match number {
            0 | 1 => &mut self.finding,
            _ => &mut self.sections,
        };
        html::push_html(to, section.drain(..));
    }
}

/// Markup of this report's own.
fn own<'a>(markup: &str) -> Event<'a> {
    Event::Html(CowStr::from(markup.to_owned()))
}

/// What of an event is text and harmless structure.
fn plain(event: Event<'_>) -> Option<Event<'_>> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock)
        | Event::End(TagEnd::Link | TagEnd::Image | TagEnd::HtmlBlock) => None,
        // `text`, the language of code blocks, says nothing here.
        Event::Start(Tag::CodeBlock(_)) => Some(own("<pre tabindex=\"0\"><code>")),
        event => Some(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sections_have_links_and_markup_is_text() {
        let body = Body::of(
            "# T\n\n## A `<b>`\n\nx <img src=x onerror=y> [l](javascript:z) ![i](http://i)\n\n\
             ## B\n\n| a |  |\n| --- | --- |\n| `<i>` | **b** |\n\n```text\n</pre><script>\n```\n",
        );
        insta::assert_snapshot!(format!(
            "{}---\n{}---\n{}",
            body.contents, body.finding, body.sections
        ));
    }

    /// Every tag that can be in a report.
    const TAGS: &[&str] = &[
        "section",
        "div",
        "pre",
        "code",
        "p",
        "ul",
        "ol",
        "li",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "table",
        "thead",
        "tbody",
        "tr",
        "td",
        "th",
        "strong",
        "em",
        "blockquote",
        "hr",
        "br",
        "a",
    ];

    proptest! {
        #[test]
        fn only_known_tags_come_out(
            markdown in "(?s)([<>&\"'#*`|\\[\\]()!:/=\n -]|<img src=x onerror=y>|</?script>|# |.){0,60}"
        ) {
            let body = Body::of(&markdown);
            for part in [&body.contents, &body.finding, &body.sections] {
                for tag in part.split('<').skip(1) {
                    let (tag, _) = tag.split_once('>').unwrap();
                    let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
                    prop_assert!(TAGS.contains(&name), "{name}: {part}");
                    let attributes = tag.split_once(' ').map_or("", |(_, rest)| rest);
                    let known = ["", "/", "tabindex=\"0\"", "class=\"wide\""].contains(&attributes)
                        || attributes.starts_with("id=\"s") || attributes.starts_with("href=\"#s")
                        || attributes.starts_with("start=\"")
                        || attributes == "href=\"#timeline\"";
                    prop_assert!(known, "{tag}");
                }
            }
        }
    }
}
