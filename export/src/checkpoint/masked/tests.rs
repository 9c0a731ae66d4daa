use proptest::prelude::*;

use super::*;
use crate::Error;

const BERT: &str = r#"{"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 64,
    "max_position_embeddings": 40}"#;

fn open(config: &str) -> Result<MaskedConfig> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.json"), config).expect("written");
    MaskedConfig::open(folder.path())
}

/// BERT's file with some of its text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(BERT.contains(from), "{from}");
    BERT.replace(from, to)
}

#[test]
fn what_a_file_leaves_out_has_the_defaults_of_its_class() {
    let bert = open(BERT).expect("BERT");
    let expected = MaskedConfig {
        architecture: "bert".to_owned(),
        layers: 2,
        hidden: 32,
        intermediate: 48,
        heads: 4,
        embedding: 32,
        vocabulary: 64,
        positions: 40,
        token_types: 2,
        padding: 0,
        norm_eps: 1e-12,
        activation: MaskedActivation::Gelu,
        tied_embeddings: true,
    };
    assert_eq!((bert.context_length(), &bert), (40, &expected));
    let roberta = open(&with("\"bert\"", "\"roberta\"")).expect("RoBERTa");
    assert_eq!((roberta.padding, roberta.context_length()), (1, 38));
    let electra = open(&with("\"bert\"", "\"electra\"").replace("64", "200")).expect("ELECTRA");
    assert_eq!((electra.embedding, electra.hidden), (128, 32));
}

#[test]
fn distilbert_has_names_of_its_own() {
    let config = r#"{"model_type": "distilbert", "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4,
        "vocab_size": 64, "max_position_embeddings": 40, "activation": "relu", "layer_norm_eps": 0.5}"#;
    let found = open(config).expect("DistilBERT");
    let bert = open(BERT).expect("BERT");
    let activation = MaskedActivation::Relu;
    assert_eq!(found, MaskedConfig { architecture: "distilbert".to_owned(), token_types: 0, activation, ..bert });
}

#[test]
fn what_the_graph_has_not_is_refused() {
    let check = |config: String, expected: &str| {
        let error = open(&config).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
        assert!(!error.contains('\n'), "{error}");
    };
    check(with("\"bert\"", "\"albert\""), "architecture `albert` is unknown, expected one of bert, distilbert");
    check(with("BertForMaskedLM", "BertModel"), "`architectures` is `BertModel`, expected a class with a head");
    check(with("\"hidden_size\": 32", "\"hidden_act\": \"silu\", \"hidden_size\": 32"), "the activation is `silu`");
    check(with("\"hidden_size\": 32", "\"hidden_size\": 30"), "30 is not a multiple of 4 attention heads");
    check(with("\"hidden_size\": 32,", ""), "no `hidden_size`");
    check(with("\"hidden_size\": 32", "\"hidden_size\": \"wide\""), "invalid type: string \"wide\"");
    check(with("\"vocab_size\": 64", "\"vocab_size\": 64, \"pad_token_id\": 64"), "`pad_token_id` is 64");
    check(with("\"vocab_size\": 64", "\"vocab_size\": 0"), "the vocabulary size is 0");
    check(
        with("\"bert\"", "\"roberta\"").replace("40", "2"),
        "there are 2 positions, expected more than the 2 before the first token",
    );
    check(
        with("\"hidden_size\"", "\"position_embedding_type\": \"relative_key\", \"hidden_size\""),
        "`position_embedding_type` is `relative_key`, expected `absolute`",
    );
    check(with("\"hidden_size\"", "\"quantization_config\": {}, \"hidden_size\""), "the weights are quantised");
}

proptest! {
    #[test]
    fn damaged_files_are_errors(position in 0..BERT.len(), byte: u8) {
        let mut bytes = BERT.as_bytes().to_vec();
        bytes[position] = byte;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.json"), bytes).expect("written");
        if let Err(error) = MaskedCheckpoint::open(folder.path()) {
            let is_known = matches!(error, Error::Checkpoint { .. } | Error::UnknownArchitecture { .. } | Error::Models(_));
            prop_assert!(is_known && !error.to_string().contains('\n'), "{error}");
        }
    }
}
