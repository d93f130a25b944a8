//! Takes a Rust file apart into code and comments, so that a word in a comment or a string is not taken for code.
//! It knows where literals and comments end, and nothing else of the language.

/// The parts of a file, each with all of its lines, so that line numbers are those of the file.
pub(super) struct Parts {
    /// Without comments, and without what is in strings and character literals.
    pub(super) code: String,
    pub(super) comments: String,
}

enum Kind {
    Code,
    Comment,
    Literal,
}

impl Parts {
    pub(super) fn of(text: &str) -> Self {
        let mut parts = Self { code: String::new(), comments: String::new() };
        let mut rest = text;
        let mut previous = ' ';
        while let Some(first) = rest.chars().next() {
            let (kind, len) = if previous.is_alphanumeric() || previous == '_' {
                // Inside a word: no prefix of a raw string starts here.
                piece(rest, "")
            } else {
                piece(rest, raw_prefix(rest))
            };
            let (piece, after) = rest.split_at(len);
            let newlines = "\n".repeat(piece.matches('\n').count());
            let (code, comments) = match kind {
                Kind::Code => (piece, newlines.as_str()),
                Kind::Comment => (newlines.as_str(), piece),
                Kind::Literal => (newlines.as_str(), newlines.as_str()),
            };
            parts.code += code;
            parts.comments += comments;
            previous = first;
            rest = after;
        }
        parts
    }
}

/// What the text starts with, and how long that is. `raw` is the raw string's start, up to its first quote.
fn piece(text: &str, raw: &str) -> (Kind, usize) {
    let up_to = |end: Option<usize>| end.unwrap_or(text.len());
    if text.starts_with("//") {
        (Kind::Comment, up_to(text.find('\n')))
    } else if text.starts_with("/*") {
        (Kind::Comment, up_to(block_comment(text)))
    } else if !raw.is_empty() {
        let end = format!("\"{}", "#".repeat(raw.matches('#').count()));
        (Kind::Literal, up_to(text[raw.len()..].find(&end).map(|at| raw.len() + at + end.len())))
    } else if text.starts_with('"') {
        (Kind::Literal, up_to(quoted(text, '"')))
    } else if text.starts_with('\'') && is_char(text) {
        (Kind::Literal, up_to(quoted(text, '\'')))
    } else {
        (Kind::Code, text.chars().next().map_or(0, char::len_utf8))
    }
}

/// `r"`, `br#"` and their like, if the text starts with one.
fn raw_prefix(text: &str) -> &str {
    let word = text.len() - text.trim_start_matches(['b', 'c']).len();
    let Some(rest) = text[word..].strip_prefix('r') else { return "" };
    let quote = rest.trim_start_matches('#');
    if word < 2 && quote.starts_with('"') { &text[..=text.len() - quote.len()] } else { "" }
}

/// The end of a comment that may hold others.
fn block_comment(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    loop {
        at += text[at..].find(['/', '*'])?;
        match text[at..].get(..2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The end of a literal that starts and ends with this quote.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(at + c.len_utf8());
        }
    }
    None
}

/// Whether this quote starts a character, and not a lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_taken_out_of_the_code() {
        for (text, code, comments) in [
            ("a // b\nc", "a \nc", "// b\n"),
            ("a /* b /* c */ d\n */ e", "a \n e", "/* b /* c */ d\n */"),
            (r#"a("b\"c") d"#, "a() d", ""),
            ("a(r#\"b\"c\"#, br\"\\\") d", "a(, ) d", ""),
            ("('a', '\\'', '\"', b'\\\\') c", "(, , , b) c", ""),
            ("fn f<'a>(x: &'a str) {} // b", "fn f<'a>(x: &'a str) {} ", "// b"),
            ("r#type = r#fn", "r#type = r#fn", ""),
            ("for\"a\"", "for", ""),
            ("\"// a\" b", " b", ""),
            ("\"never closed", "", ""),
            ("/* never closed", "", "/* never closed"),
        ] {
            let parts = Parts::of(text);
            assert_eq!((parts.code.as_str(), parts.comments.as_str()), (code, comments), "{text}");
        }
    }
}
