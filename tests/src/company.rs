//! Drafters of every kind over scripted models and small tables, for laws that must hold in any company.

use std::sync::{Arc, LazyLock};

use veridraft_engine::drafters::{CrossVocabulary, DraftModel, Drafter, Lookup, NgramDrafter, Suffix, Tokenizers};
use veridraft_engine::ngram::{NgramConfig, NgramModel, train};
use veridraft_models::TokenId;

use crate::constrained_text::mix;
use crate::{LetterPairs, Letters, ScriptedDrafter, ScriptedModel};

/// Tokens of a [`ScriptedModel`] that nobody changed.
const VOCABULARY: usize = 12;

/// A drafter of a target with [`Letters`]' vocabulary, 12 tokens.
#[derive(Clone, Debug)]
pub enum Company {
    /// [`ScriptedDrafter`], asked like a table or like a model, and failing for good after some proposals.
    Scripted {
        /// Tokens that it proposes.
        script: Vec<TokenId>,
        /// Whether it is asked like a draft model.
        like_a_model: bool,
        /// Proposals before it fails.
        fails_after: Option<usize>,
    },
    /// [`Lookup`].
    Lookup,
    /// [`Suffix`].
    Suffix,
    /// [`NgramDrafter`] over random tokens.
    Ngram,
    /// [`DraftModel`].
    Model(Small),
    /// [`CrossVocabulary`], its model reading [`LetterPairs`].
    CrossVocabulary(Small),
}

/// A draft model with a pool of its own.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    /// Tokens that its logits depend on; the target's own number makes it always right.
    pub memory: usize,
    /// Blocks of four tokens.
    pub blocks: usize,
    /// Fails forwards whose number is a multiple of this; 0 never.
    pub fail_every: usize,
}

impl Company {
    /// The drafter.
    pub fn drafter(&self) -> Box<dyn Drafter> {
        match self {
            Self::Scripted { script, fails_after: Some(after), .. } => {
                Box::new(ScriptedDrafter::failing(script.clone(), *after))
            }
            Self::Scripted { script, like_a_model: true, .. } => {
                Box::new(ScriptedDrafter::like_a_model(script.clone()))
            }
            Self::Scripted { script, .. } => Box::new(ScriptedDrafter::new(script.clone())),
            Self::Lookup => Box::new(Lookup::default()),
            Self::Suffix => Box::new(Suffix::default()),
            Self::Ngram => Box::new(NgramDrafter::new(Arc::clone(&NGRAMS))),
            Self::Model(small) => Box::new(DraftModel::new(Box::new(small.model(VOCABULARY)), VOCABULARY)),
            Self::CrossVocabulary(small) => {
                let shift = small.blocks as u32 % 12;
                let tokenizers = Tokenizers { target: Box::new(Letters), draft: Box::new(LetterPairs { shift }) };
                let model = Box::new(small.model(LetterPairs::VOCABULARY));
                let drafter = CrossVocabulary::new(model, tokenizers, VOCABULARY);
                Box::new(drafter.expect("the start token is in the vocabulary"))
            }
        }
    }
}

impl Small {
    fn model(self, vocabulary: usize) -> ScriptedModel {
        let mut model = ScriptedModel::new(4, self.blocks);
        (model.memory, model.vocabulary, model.fail_every) = (self.memory, vocabulary, self.fail_every);
        (model.tree, model.share_blocks) = (false, false);
        model
    }
}

static NGRAMS: LazyLock<Arc<NgramModel<Vec<u8>>>> = LazyLock::new(|| Arc::new(random_ngrams(VOCABULARY)));

/// A model of three tokens a n-gram, trained on a few documents of random tokens.
pub fn random_ngrams(vocabulary: usize) -> NgramModel<Vec<u8>> {
    let token = |document: u64, index: u64| (mix(document << 32 | index) % vocabulary as u64) as TokenId;
    let documents: Vec<Vec<TokenId>> =
        (0..4).map(|document| (0..100).map(|index| token(document, index)).collect()).collect();
    let config = NgramConfig { order: 3, vocabulary, tokenizer: [0; 32] };
    train(&documents, &config).expect("the tokens are in the vocabulary")
}
