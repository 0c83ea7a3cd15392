//! Where does one word of a line end?

use super::WordError;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without its quotes.
    pub text: String,
    /// Whether it stood in quotes, so that `[` and `]` are values.
    pub is_quoted: bool,
}

/// Splits at blanks; quotes hold a word together, in which `\\` and `\"` stand for themselves.
pub fn split(line: &str) -> Result<Vec<Word>, WordError> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => {}
            '"' => {
                let mut text = String::new();
                loop {
                    match letters.next() {
                        None => {
                            let message = "the quote is not closed".to_owned();
                            return Err(WordError { word: words.len() + 1, message });
                        }
                        Some('\\') => text.extend(letters.next()),
                        Some('"') => break,
                        Some(inner) => text.push(inner),
                    }
                }
                words.push(Word { text, is_quoted: true });
            }
            _ => {
                let mut text = String::from(letter);
                while let Some(next) = letters.next_if(|next| !next.is_whitespace()) {
                    text.push(next);
                }
                words.push(Word { text, is_quoted: false });
            }
        }
    }
    Ok(words)
}
