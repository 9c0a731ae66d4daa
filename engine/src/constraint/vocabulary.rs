//! A vocabulary as grammars read it: the bytes of each token in a trie, made once for a model.
//!
//! Where a grammar leaves one text only, its tokens are those into which the model's own tokenizer cuts that text,
//! because models do best on the cuts that they were trained on. What it answers is checked: tokens whose bytes are not
//! the text, such as special tokens that the text happens to spell, give way to the longest tokens that fit.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use llguidance::earley::SlicedBiasComputer;
use llguidance::panic_utils::catch_unwind;
use llguidance::toktrie::{INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{ParserFactory, TokenParser, api::TopLevelGrammar};
use veridraft_models::{TokenId, Tokenizer};

use super::grammar::one_line;
use crate::{Error, Result};

/// A vocabulary that grammars can be compiled for; clones share it.
#[derive(Clone)]
pub struct Vocabulary {
    factory: Arc<ParserFactory>,
    eos_ids: Arc<[TokenId]>,
}

impl Vocabulary {
    /// The vocabulary of a model's tokenizer; `eos_ids` are the tokens that may end a text, none to ignore them.
    pub fn of(tokenizer: &Tokenizer, eos_ids: &[TokenId]) -> Result<Self> {
        let cut = tokenizer.clone();
        Self::new(tokenizer.token_bytes()?, eos_ids, move |text| cut.encode_continuation(text).unwrap_or_default())
    }

    /// A vocabulary by the bytes of each token; those without bytes, and `eos_ids`, are never text.
    ///
    /// `tokenize` gives the tokens of a text that stands behind another.
    pub fn new(
        mut token_bytes: Vec<Vec<u8>>,
        eos_ids: &[TokenId],
        tokenize: impl Fn(&str) -> Vec<TokenId> + Send + Sync + 'static,
    ) -> Result<Self> {
        let size = token_bytes.len();
        for &eos in eos_ids {
            let bytes = token_bytes.get_mut(eos as usize);
            bytes.ok_or_else(|| unusable(&format!("its end-of-sequence token {eos} is not below {size}")))?.clear();
        }
        let trie = trie(&token_bytes, eos_ids)?;
        let environment: TokEnv = Arc::new(Environment { trie, tokenize });
        let forces = InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
        let mut factory = ParserFactory::new(&environment, forces, &SlicedBiasComputer::general_slices())
            .map_err(|error| unusable(&one_line(error)))?;
        factory.quiet().limits_mut().verbose_errors = false;
        Ok(Self { factory: Arc::new(factory), eos_ids: eos_ids.into() })
    }

    /// The tokens that may end a text.
    pub fn eos_ids(&self) -> &[TokenId] {
        &self.eos_ids
    }

    /// One more than the greatest id.
    pub fn size(&self) -> usize {
        self.factory.tok_env().tok_trie().vocab_size()
    }

    pub(super) fn parser(&self, grammar: TopLevelGrammar) -> Result<TokenParser, impl Display> {
        self.factory.create_parser(grammar)
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("Vocabulary");
        fields.field("size", &self.size()).field("eos_ids", &self.eos_ids).finish_non_exhaustive()
    }
}

/// The library asserts its limits, such as the length of a token; a tokenizer beyond them is bad input.
fn trie(token_bytes: &[Vec<u8>], eos_ids: &[TokenId]) -> Result<TokTrie> {
    let build = || {
        let info = TokRxInfo::new(u32::try_from(token_bytes.len())?, INVALID_TOKEN);
        let trie = TokTrie::from(&info, token_bytes);
        Ok(if eos_ids.is_empty() { trie } else { trie.with_eos_tokens(eos_ids) })
    };
    catch_unwind(AssertUnwindSafe(build)).map_err(|error| unusable(&one_line(error)))
}

fn unusable(reason: &str) -> Error {
    Error::Vocabulary(reason.to_owned())
}

struct Environment<F> {
    trie: TokTrie,
    tokenize: F,
}

impl<F: Fn(&str) -> Vec<TokenId> + Send> TokenizerEnv for Environment<F> {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            let tokens = (self.tokenize)(text);
            let spelled = tokens.iter().flat_map(|&token| self.trie.token(token));
            if spelled.eq(text.as_bytes()) { tokens } else { self.trie.greedy_tokenize(text.as_bytes()) }
        })
    }
}
