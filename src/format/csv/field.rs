//! Writes single fields of CSV: quotes them, and counts those that are not what the
//! server sent.

use super::{
    super::{
        EncodeBuffer, NulTexts,
        column::Altered,
        delimited::{Nul, nul_warning},
        encode::{self, Encoding},
    },
    Csv, CsvFormulas, CsvQuote,
};
use crate::text::warning;

/// Writes the fields of one document.
pub(super) struct FieldWriter {
    delimiter: u8,
    quote: CsvQuote,
    formulas: CsvFormulas,
    /// The text for NULL.
    null: Vec<u8>,
    /// Whether the text for NULL holds U+FFFD, so that a lossy value, which always
    /// holds it, can be equal to it.
    lossy_may_be_null: bool,
    /// The number of blank lines; `None` if there cannot be any. In a document
    /// with one column, a NULL written as the empty text makes a blank line, which
    /// some readers skip.
    blank_lines: Option<u64>,
    altered: Altered,
    /// The number of texts that began like formulas, names included.
    formula_count: u64,
    nul: NulTexts,
    /// The number of texts that hold NUL.
    texts_with_nul: u64,
}

impl FieldWriter {
    /// Creates the writer of a document with this number of `columns`.
    pub(super) fn new(options: &Csv, columns: usize) -> Self {
        let null = options.null.0.as_bytes();
        Self {
            delimiter: options.delimiter.0,
            quote: options.quote,
            formulas: options.formulas,
            null: null.to_vec(),
            lossy_may_be_null: options.null.0.contains(char::REPLACEMENT_CHARACTER),
            blank_lines: (columns == 1 && null.is_empty()).then_some(0),
            altered: Altered::default(),
            formula_count: 0,
            nul: options.text.nul,
            texts_with_nul: 0,
        }
    }

    #[inline]
    pub(super) fn write_null(&mut self, out: &mut EncodeBuffer<'_>) {
        out.bytes.extend_from_slice(&self.null);
        if let Some(lines) = &mut self.blank_lines {
            *lines += 1;
        }
    }

    /// Writes NULL in the place of a zero date.
    #[cold]
    pub(super) fn write_zero_date(&mut self, out: &mut EncodeBuffer<'_>) {
        self.altered.zero_dates += 1;
        self.write_null(out);
    }

    /// Quotes the plain text that begins at `start` if the policy is `policy` or a
    /// later one, or if the text is empty or would be read as NULL.
    #[inline]
    pub(super) fn quote_plain(&self, start: usize, policy: CsvQuote, out: &mut EncodeBuffer<'_>) {
        let text = &out.bytes[start..];
        if text.is_empty() || self.quote >= policy || !self.null.is_empty() && text == self.null {
            out.bytes.insert(start, b'"');
            out.bytes.push(b'"');
        }
    }

    /// Appends the name of a column. It is never NULL, so only its characters and
    /// the policies can require quotes.
    pub(super) fn write_name(&mut self, name: &[u8], out: &mut EncodeBuffer<'_>) {
        if self.is_formula(name) {
            self.write_formula(name, out);
        } else if self.must_quote(name) {
            self.write_quoted(name, out);
        } else {
            out.extend(name);
        }
    }

    /// Appends a text, quoted if it must be or would be read as NULL.
    #[inline]
    pub(super) fn write_text(&mut self, bytes: &[u8], out: &mut EncodeBuffer<'_>) {
        let is_null = !self.null.is_empty() && bytes == self.null;
        if self.is_formula(bytes) {
            self.write_formula(bytes, out);
        } else if is_null || self.must_quote(bytes) {
            self.write_quoted(bytes, out);
        } else {
            out.extend(bytes);
        }
    }

    /// Appends a text with U+FFFD for each part of `bytes` that is not UTF-8.
    pub(super) fn write_lossy(&mut self, bytes: &[u8], out: &mut EncodeBuffer<'_>) {
        self.altered.lossy += 1;
        self.texts_with_nul += u64::from(bytes.contains(&b'\0'));
        let is_formula = self.is_formula(bytes);
        let (before, after): (&[u8], &[u8]) = if is_formula {
            self.formula_count += 1;
            (b"\"'", b"\"")
        } else if self.lossy_may_be_null || self.must_quote(bytes) {
            (b"\"", b"\"")
        } else {
            (b"", b"")
        };
        out.bytes.extend_from_slice(before);
        encode::write_lossy(bytes, |text| {
            double_quotes(text.as_bytes(), out);
        });
        out.bytes.extend_from_slice(after);
    }

    /// Appends `bytes` in an encoding that holds no quote and no delimiter.
    pub(super) fn write_encoded(
        &mut self,
        encoding: Encoding,
        bytes: &[u8],
        out: &mut EncodeBuffer<'_>,
    ) {
        let start = out.bytes.len();
        if self.formulas == CsvFormulas::Escape && encoding.begins_with_plus(bytes) {
            self.formula_count += 1;
            out.bytes.extend_from_slice(b"\"'");
            encoding.write(bytes, out);
            out.bytes.push(b'"');
        } else if bytes.len() <= self.null.len() {
            // An encoded value can equal the text for NULL only if it is no
            // longer; it is then short, so it is compared after encoding.
            encoding.append(bytes, out.bytes);
            self.quote_plain(start, CsvQuote::Text, out);
        } else {
            let quoted = self.quote >= CsvQuote::Text || bytes.is_empty();
            let quote: &[u8] = if quoted { b"\"" } else { b"" };
            out.bytes.extend_from_slice(quote);
            encoding.write(bytes, out);
            out.bytes.extend_from_slice(quote);
        }
    }

    /// Returns the warnings about the document.
    pub(super) fn warnings(&self) -> Vec<String> {
        let blank = warning(
            self.blank_lines.unwrap_or(0),
            "NULL value of the only column is a blank line, which some CSV readers skip; \
             --csv-null TEXT writes it as TEXT",
            "NULL values of the only column are blank lines, which some CSV readers skip; \
             --csv-null TEXT writes them as TEXT",
        );
        let formulas = warning(
            self.formula_count,
            "text began like a formula and has an apostrophe before it (--csv-formulas escape)",
            "texts began like formulas and have an apostrophe before them (--csv-formulas escape)",
        );
        let nul = nul_warning(
            self.nul,
            self.texts_with_nul,
            "text holds NUL, which PostgreSQL cannot hold and many CSV readers refuse",
            "texts hold NUL, which PostgreSQL cannot hold and many CSV readers refuse",
        );
        let warnings = blank.into_iter().chain(formulas).chain(nul);
        warnings.chain(self.altered.warnings()).collect()
    }

    /// Returns whether a spreadsheet would take the text `bytes` for a formula, and
    /// the policy forbids that.
    #[inline]
    fn is_formula(&self, bytes: &[u8]) -> bool {
        self.formulas == CsvFormulas::Escape && begins_like_formula(bytes)
    }

    /// Appends a text that begins like a formula: quoted, after an apostrophe, so
    /// that spreadsheets take it for text.
    #[cold]
    fn write_formula(&mut self, bytes: &[u8], out: &mut EncodeBuffer<'_>) {
        self.formula_count += 1;
        out.bytes.extend_from_slice(b"\"'");
        self.texts_with_nul += u64::from(double_quotes(bytes, out) == Nul::Present);
        out.bytes.push(b'"');
    }

    /// Appends `bytes` between quotes.
    fn write_quoted(&mut self, bytes: &[u8], out: &mut EncodeBuffer<'_>) {
        out.bytes.push(b'"');
        self.texts_with_nul += u64::from(double_quotes(bytes, out) == Nul::Present);
        out.bytes.push(b'"');
    }

    /// Returns whether the text `bytes` must be quoted because of its content or
    /// the policy.
    #[inline]
    fn must_quote(&self, bytes: &[u8]) -> bool {
        // PostgreSQL's COPY takes an unquoted `\.` alone on a line for the end of the
        // data, and drops what follows.
        if self.quote >= CsvQuote::Text || matches!(bytes, b"" | b"\\.") {
            return true;
        }
        // Searches for the special bytes and a few rare others, which takes fewer
        // comparisons.
        let delimiter = self.delimiter;
        let may_be_special = |byte| (byte <= b'\r') | (byte == b'"') | (byte == delimiter);
        let found = encode::find(bytes, may_be_special);
        found.is_some_and(|index| bytes[index..].iter().any(|byte| self.is_special(*byte)))
    }

    /// Returns whether a field that holds `byte` is quoted (RFC 4180, section 2,
    /// rule 6). NUL is not text to RFC 4180.
    const fn is_special(&self, byte: u8) -> bool {
        matches!(byte, b'"' | b'\n' | b'\r' | b'\0') || byte == self.delimiter
    }
}

/// Returns whether a spreadsheet may take a text that begins like `bytes` for a
/// formula, see [`CsvFormulas`].
fn begins_like_formula(bytes: &[u8]) -> bool {
    const FULL_WIDTH: [&str; 4] = ["\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}"];
    match bytes.first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n' | b'\0') => true,
        Some(0xef) => FULL_WIDTH
            .iter()
            .any(|sign| bytes.starts_with(sign.as_bytes())),
        _ => false,
    }
}

/// Appends the text between two quotes, with the quotes in it doubled.
fn double_quotes(mut bytes: &[u8], out: &mut EncodeBuffer<'_>) -> Nul {
    let mut nul = Nul::Absent;
    let is_special = |byte| (byte == b'"') | (byte == b'\0');
    while let Some(index) = encode::find(bytes, is_special) {
        out.extend(&bytes[..=index]);
        match bytes[index] {
            b'"' => out.bytes.push(b'"'),
            _ => nul = Nul::Present,
        }
        bytes = &bytes[index + 1..];
    }
    out.extend(bytes);
    nul
}
