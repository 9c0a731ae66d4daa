//! Files to sets of tokenised texts.

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use veridraft_engine::evaluation::TextSize;
use veridraft_models::{ModelFolder, TokenId, Tokenizer, WordEncoding};

use super::{PerplexityArguments, RecipeName};
use crate::texts::read_documents;

/// One file as it was read.
pub(super) struct Source {
    file: String,
    documents: Vec<String>,
}

/// One file in tokens.
pub(super) struct TextSet {
    /// The path as it was typed.
    pub(super) file: String,
    pub(super) texts: Vec<Vec<TokenId>>,
    /// Words and bytes of the texts.
    pub(super) size: TextSize,
}

impl TextSet {
    pub(super) fn tokens(&self) -> usize {
        self.texts.iter().map(Vec::len).sum()
    }
}

/// Reads every file, before any model is opened.
pub(super) fn read(arguments: &PerplexityArguments) -> Result<Vec<Source>> {
    let read = |path: &std::path::PathBuf| {
        let mut documents = read_documents(path, arguments.field.as_deref())?;
        documents.truncate(arguments.limit.map_or(usize::MAX, usize::from));
        Ok(Source { file: path.display().to_string(), documents })
    };
    arguments.files.iter().map(read).collect()
}

/// The tokens of each text: for `hf` with nothing added, for the others as the tokenizer gives them.
pub(super) fn encode(
    sources: Vec<Source>,
    arguments: &PerplexityArguments,
    folder: &ModelFolder,
    vocabulary: usize,
) -> Result<Vec<TextSet>> {
    let tokenizer = &folder.tokenizer;
    let encode = |text: &String| -> Result<Vec<TokenId>> {
        let tokens = match arguments.recipe {
            RecipeName::Hf => tokenizer.encode_chat(text)?,
            RecipeName::LlamaCpp | RecipeName::LmEval => tokenizer.encode_raw(text)?,
            RecipeName::Pll | RecipeName::PllWord => unreachable!("`encode_words` is for masked models"),
        };
        tokenizer.check_ids(&tokens, vocabulary)?;
        Ok(tokens)
    };
    let mut sets = Vec::new();
    for Source { file, documents } in sources {
        let texts = documents.par_iter().map(encode).collect::<Result<Vec<_>>>();
        let mut texts = texts.with_context(|| format!("`{file}`"))?;
        cut(&mut texts, arguments.max_tokens.map_or(usize::MAX, usize::from));
        let mut size = TextSize::default();
        documents.iter().for_each(|document| size.merge(&TextSize::of(document)));
        sets.push(TextSet { file, texts, size });
    }
    Ok(sets)
}

/// The tokens of each text as the tokenizer gives them, and the words that they are pieces of. A file must have some.
pub(super) fn encode_words(
    sources: Vec<Source>,
    tokenizer: &Tokenizer,
    vocabulary: usize,
) -> Result<(Vec<TextSet>, Vec<Vec<WordEncoding>>)> {
    let encode = |text: &String| -> Result<WordEncoding> {
        let encoding = tokenizer.encode_words(text)?;
        tokenizer.check_ids(&encoding.token_ids, vocabulary)?;
        Ok(encoding)
    };
    let (mut sets, mut words) = (Vec::new(), Vec::new());
    for Source { file, documents } in sources {
        let texts =
            documents.par_iter().map(encode).collect::<Result<Vec<_>>>().with_context(|| format!("`{file}`"))?;
        if !texts.iter().flat_map(|text| &text.words).any(Option::is_some) {
            bail!("`{file}` has no tokens, expected some text");
        }
        let token_ids = texts.iter().map(|text| text.token_ids.clone()).collect();
        sets.push(TextSet { file, texts: token_ids, size: TextSize::default() });
        words.push(texts);
    }
    Ok((sets, words))
}

/// Leaves the first `most` tokens of all texts together.
fn cut(texts: &mut Vec<Vec<TokenId>>, most: usize) {
    let mut left = most;
    for text in texts.iter_mut() {
        text.truncate(left);
        left -= text.len();
    }
    while left == 0 && texts.last().is_some_and(Vec::is_empty) {
        texts.pop();
    }
}

/// Refuses a file of which no token is scored.
pub(super) fn check_scored(sets: &[TextSet], recipe: &str, least_tokens: usize) -> Result<()> {
    for TextSet { file, texts, .. } in sets {
        let Some(longest) = texts.iter().map(Vec::len).max() else {
            bail!("`{file}` has no texts, expected at least one");
        };
        if longest == 0 {
            bail!("`{file}` has no tokens, expected some text");
        }
        if longest < least_tokens {
            let found = if longest == 1 { "1 token".to_owned() } else { format!("{longest} tokens") };
            let of = if texts.len() == 1 { "" } else { " in its longest text" };
            bail!("`{file}` has {found}{of}, but recipe {recipe} scores texts of {least_tokens} or more");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tokens_of_all_texts_are_left() {
        let check = |most: usize, expected: &[&[TokenId]]| {
            let mut texts = vec![vec![1, 2], vec![], vec![3, 4, 5], vec![6]];
            cut(&mut texts, most);
            assert_eq!(texts, expected, "{most}");
        };
        check(9, &[&[1, 2], &[], &[3, 4, 5], &[6]]);
        check(6, &[&[1, 2], &[], &[3, 4, 5], &[6]]);
        check(4, &[&[1, 2], &[], &[3, 4]]);
        check(2, &[&[1, 2]]);
        check(1, &[&[1]]);
    }

    #[test]
    fn a_file_of_which_nothing_is_scored_is_refused() {
        let check = |lengths: &[usize], expected: &str| {
            let texts = lengths.iter().map(|&length| vec![1; length]).collect();
            let sets = [TextSet { file: "a.txt".to_owned(), texts, size: TextSize::default() }];
            let found = check_scored(&sets, "hf", 2).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expected);
        };
        check(&[2], "");
        check(&[0, 1, 2], "");
        check(&[], "`a.txt` has no texts, expected at least one");
        check(&[0], "`a.txt` has no tokens, expected some text");
        check(&[1], "`a.txt` has 1 token, but recipe hf scores texts of 2 or more");
        check(&[1, 0], "`a.txt` has 1 token in its longest text, but recipe hf scores texts of 2 or more");
    }
}
