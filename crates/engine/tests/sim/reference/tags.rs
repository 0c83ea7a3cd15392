//! Does a tag filter pick an object? Understands what the generator writes: `'a' and not 'b'`, `'a' or 'b'`.

/// The filter as a question.
pub(crate) fn parse(text: &str) -> impl Fn(&[String]) -> bool {
    let words: Vec<String> = text.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
    move |tags| {
        let has = |tag: &String| tags.contains(tag);
        match &words[..] {
            [tag] => has(tag),
            [a, and, b] if and == "and" => has(a) && has(b),
            [a, or, b] if or == "or" => has(a) || has(b),
            [a, and, not, b] if and == "and" && not == "not" => has(a) && !has(b),
            other => panic!("the generator wrote the filter {other:?}"),
        }
    }
}
