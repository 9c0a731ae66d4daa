//! The `generation` block that Hugging Face adds to Jinja: it marks what the assistant said, for training masks.
//!
//! Rendering ignores the mark, so the tags become an `if true` with the same white space control.

/// Replaces `{% generation %}` and `{% endgeneration %}`, with any of Jinja's `-` and `+` at the borders.
pub(super) fn replace(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        output.push_str(before);
        let Some(length) = tag.find("%}") else {
            return output + tag;
        };
        let (inside, after) = (&tag[2..length], &tag[length + 2..]);
        output.push_str("{%");
        output.push_str(&replace_word(inside));
        output.push_str("%}");
        rest = after;
    }
    output + rest
}

fn replace_word(inside: &str) -> String {
    match inside.trim_matches(|character: char| character.is_whitespace() || "-+".contains(character)) {
        "generation" => inside.replace("generation", "if true"),
        "endgeneration" => inside.replace("endgeneration", "endif"),
        _ => inside.to_owned(),
    }
}
