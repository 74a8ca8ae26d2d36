//! Text for people and machines: redacts passwords, escapes control characters,
//! and writes hexadecimal digits.

/// `text` as it may be shown to people: without passwords, with line ends as
/// spaces, and with every other control character escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    escape(&redact(text))
}

/// Replaces line ends and tabs by spaces, and escapes every other control
/// character, so that `text` cannot control a terminal.
pub(crate) fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(' '),
            '\r' => {}
            c if is_terminal_control(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a terminal takes `c` for more than a sign: control characters, and
/// the marks that re-order or break a line.
pub(crate) fn is_terminal_control(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_mark
}

/// `text` with `***` for what may be a password: in `USER:PASSWORD@HOST`, with
/// or without the rest of a URL, wherever somebody has put that.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let begin = |of: &[char]| before.rfind(of).map_or(0, |end| end + 1);
        let (spaces, quotes) = ([' ', '\n', '\t'], ['"', '\'', '`', '\n']);
        let url = |begin: usize| before[begin..].find("://").map(|place| begin + place + 3);
        // A URL's password may hold quotes, or between quotes spaces; elsewhere
        // it is part of a word.
        let word = begin(&spaces).max(begin(&quotes));
        let start = url(begin(&spaces))
            .or_else(|| url(begin(&quotes)))
            .unwrap_or(word);
        match before[start..].find(':') {
            // A further @ belongs to the password too, up to the word's end.
            Some(colon) => {
                let word = after
                    .find([' ', '\n', '\t', '"', '\'', '`'])
                    .unwrap_or(after.len());
                let last = after[..word].rfind('@').unwrap_or(0);
                shown.extend([&before[..start + colon], ":***@"]);
                rest = &after[last + 1..];
            }
            None => {
                shown.extend([before, "@"]);
                rest = &after[1..];
            }
        }
    }
    shown + rest
}

/// JSON text without passwords in its strings, and with what could steer a
/// terminal escaped, also where JSON does not ask for that.
#[must_use]
pub fn redact_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(open) = rest.find('"') {
        let (before, string) = rest.split_at(open + 1);
        let mut escaped = false;
        let close = string.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let (string, after) = string.split_at(close.unwrap_or(string.len()));
        text += before;
        text += &redact(string);
        // The quote at its end.
        let end = after.len().min(1);
        text += &after[..end];
        rest = &after[end..];
    }
    text += rest;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() || !is_terminal_control(c) {
            shown.push(c);
        } else {
            // All of these are in the basic plane.
            shown += &format!("\\u{:04x}", u32::from(c));
        }
    }
    shown
}

/// `bytes` as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_redacted() {
        for (text, shown) in [
            (
                "error: unexpected 'mysql://me:s3:c@ret@h/db' found",
                "error: unexpected 'mysql://me:***@h/db' found",
            ),
            (
                "mysql://me@h:3306/ x://a:b@c",
                "mysql://me@h:3306/ x://a:***@c",
            ),
            ("'mysql://me:hun ter2@h/'", "'mysql://me:***@h/'"),
            ("host me:hunter2@db is no name", "host me:***@db is no name"),
            ("me@h: no password, no URL", "me@h: no password, no URL"),
            ("no URL: here", "no URL: here"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_has_no_password(user in "[a-zä]{1,5}", password in "[a-z0-9:/?#ü'\"]{4,9}", before in "[ \"'@:/a-z]{0,9}", after in "[ \"'@:/a-z]{0,9}") {
            let password = format!("{password}\u{fe}");
            let text = format!("{before} mysql://{user}:{password}@host/{after}");
            proptest::prop_assert!(!printable(&text).contains(&password), "{}", printable(&text));
        }
    }
}
