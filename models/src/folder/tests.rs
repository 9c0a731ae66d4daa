use proptest::prelude::*;

use super::*;

const CONFIG: &str = r#"{"model_type": "llama", "vocab_size": 512, "max_position_embeddings": 1024,
    "bos_token_id": 0, "eos_token_id": 3, "hidden_size": 128}"#;
const GENERATION: &str = r#"{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.05,
    "repetition_penalty": 1.1, "eos_token_id": [1, 3], "pad_token_id": null}"#;
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "model":
    {"type": "WordLevel", "vocab": {"<unk>": 0, "</s>": 1, "</turn>": 2}, "unk_token": "<unk>"}}"#;
const TOKENIZER_CONFIG: &str = r#"{"eos_token": "</turn>", "chat_template": "hello"}"#;

const WHOLE: [(&str, &str); 5] = [
    ("config.json", CONFIG),
    ("generation_config.json", GENERATION),
    ("tokenizer.json", TOKENIZER),
    ("tokenizer_config.json", TOKENIZER_CONFIG),
    ("onnx/model.onnx", ""),
];

/// The whole folder with one file replaced (`Some`) or removed (`None`).
fn folder_with(name: &str, text: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("onnx")).unwrap();
    let others = WHOLE.into_iter().filter(|&(other, _)| other != name);
    for (name, text) in others.chain(text.map(|text| (name, text))) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn check_error(name: &str, text: Option<&str>, expected: &str) {
    let error = ModelFolder::open(folder_with(name, text).path()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_whole_folder_gives_everything() {
    let folder = folder_with("", None::<&str>);
    let model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(model.onnx_path, folder.path().join("onnx/model.onnx"));
    let config = ModelConfig {
        model_type: Some("llama".to_owned()),
        vocab_size: 512,
        max_position_embeddings: Some(1024),
        bos_token_id: Some(0),
        eos_token_ids: vec![3],
        ..ModelConfig::default()
    };
    assert_eq!(model.config, config);
    assert_eq!(model.kind, FolderKind::HuggingFace);
    let generation = GenerationDefaults {
        do_sample: Some(true),
        temperature: Some(0.6),
        top_k: Some(20),
        top_p: Some(0.95),
        min_p: Some(0.05),
        repetition_penalty: Some(1.1),
        decoder_start_token_id: None,
        eos_token_ids: vec![1, 3, 2],
    };
    assert_eq!(model.generation, generation);
    assert!(model.chat_template.is_some());
}

#[test]
fn a_graph_beside_the_config_is_found_too() {
    let folder = folder_with("onnx/model.onnx", None);
    std::fs::write(folder.path().join("model.onnx"), "").unwrap();
    assert_eq!(ModelFolder::open(folder.path()).unwrap().onnx_path, folder.path().join("model.onnx"));
}

#[test]
fn without_generation_config_decoding_is_greedy() {
    let model = ModelFolder::open(folder_with("generation_config.json", None).path()).unwrap();
    assert_eq!(model.generation, GenerationDefaults { eos_token_ids: vec![3, 2], ..GenerationDefaults::default() });
    assert_eq!(model.generation.temperature_in_use(), 0.0);
}

#[test]
fn do_sample_decides_whether_the_temperature_counts() {
    let cases = [
        ("{}", 0.0),
        (r#"{"temperature": 0.6}"#, 0.0),
        (r#"{"temperature": 0.6, "do_sample": false}"#, 0.0),
        (r#"{"do_sample": true}"#, 1.0),
        (r#"{"temperature": 0.5, "do_sample": true}"#, 0.5),
    ];
    for (text, expected) in cases {
        let folder = folder_with("generation_config.json", Some(text));
        assert_eq!(GenerationDefaults::open(folder.path()).unwrap().temperature_in_use(), expected, "{text}");
    }
}

#[test]
fn what_is_missing_is_named() {
    check_error(
        "onnx/model.onnx",
        None,
        "no `onnx/model.onnx` or `model.onnx`; export one with `veridraft export SRC DST`",
    );
    check_error("config.json", None, "no `config.json`, which every model folder has");
    check_error("tokenizer.json", None, "no `tokenizer.json`, which every model folder has");
}

#[test]
fn what_is_not_a_folder_is_refused() {
    let folder = folder_with("", None);
    let file = ModelFolder::open(folder.path().join("config.json")).unwrap_err().to_string();
    assert!(file.contains("config.json`: is a file, expected a model folder"), "{file}");
    let nothing = ModelFolder::open(folder.path().join("nothing")).unwrap_err().to_string();
    assert!(nothing.starts_with("cannot open the model folder `"), "{nothing}");
}

#[test]
fn a_wrong_field_is_named_with_what_was_found_and_expected() {
    let config = |text| check_error("config.json", Some(text), "");
    config("\u{feff}{}");
    check_error("config.json", Some("{\"vocab_size\": 5,\n}"), "config.json`: not JSON: ");
    check_error("config.json", Some("[]"), "config.json`: holds a list, expected an object");
    check_error("config.json", Some("{}"), "config.json`: no `vocab_size`");
    check_error("config.json", Some(r#"{"vocab_size": 0}"#), "`vocab_size` is 0, expected 1 to 16777216");
    check_error(
        "config.json",
        Some(r#"{"vocab_size": "512"}"#),
        "`vocab_size` is a string, expected an integer of at least 0",
    );
    check_error("config.json", Some(r#"{"vocab_size": 5, "model_type": 7}"#), "`model_type` is `7`, expected a string");
    check_error(
        "config.json",
        Some(r#"{"vocab_size": 5, "eos_token_id": [1, -1]}"#),
        "`eos_token_id` is a list, expected a token id or a list of token ids",
    );
    check_error(
        "config.json",
        Some(r#"{"vocab_size": 5, "eos_token_id": 4294967296}"#),
        "`eos_token_id` is `4294967296`",
    );
    check_error(
        "generation_config.json",
        Some(r#"{"temperature": "hot"}"#),
        "generation_config.json`: `temperature` is a string, expected a number",
    );
    check_error("generation_config.json", Some(r#"{"top_p": 1e300}"#), "`top_p` is `1e+300`, expected a number");
    check_error("generation_config.json", Some(r#"{"do_sample": 1}"#), "`do_sample` is `1`, expected true or false");
    check_error(
        "tokenizer_config.json",
        Some(r#"{"eos_token": 1}"#),
        "`eos_token` is `1`, expected a string or an object with `content`",
    );
    check_error(
        "tokenizer_config.json",
        Some(r#"{"add_bos_token": "yes"}"#),
        "`add_bos_token` is a string, expected true or false",
    );
}

#[test]
fn deeply_nested_json_is_an_error() {
    check_error("config.json", Some(&"[".repeat(1_000_000)), "not JSON: recursion limit exceeded");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mutated_folder_never_panics(
        file in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (name, text) = WHOLE[file];
        let mut bytes = text.as_bytes().to_vec();
        for (at, with) in changes {
            let place = at.index(bytes.len());
            bytes[place] = with;
        }
        let folder = folder_with(name, Some(""));
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let _ = ModelFolder::open(folder.path());
    }
}
