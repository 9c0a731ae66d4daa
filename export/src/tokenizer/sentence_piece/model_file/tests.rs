//! Files say what they hold, and damaged ones are refused without a panic.

use proptest::prelude::*;

use super::*;

fn piece(text: &str, score: f32, kind: Option<i32>) -> PieceMessage {
    PieceMessage { text: Some(text.to_owned()), score: Some(score), kind }
}

fn model() -> ModelMessage {
    ModelMessage {
        pieces: vec![piece("<unk>", 0.0, Some(2)), piece("\u{2581}a", -1.5, None), piece("b", -2.0, Some(1))],
        trainer: Some(TrainerMessage { algorithm: Some(2), puts_spaces_behind: None }),
        normalizer: Some(NormalizerMessage { adds_space: Some(false), ..NormalizerMessage::default() }),
        denormalizer: None,
    }
}

fn parse(model: &ModelMessage) -> Result<ModelFile, String> {
    ModelFile::parse(&model.encode_to_vec())
}

#[test]
fn what_a_file_leaves_out_has_the_formats_defaults() {
    let read = parse(&model()).expect("a right model");
    assert_eq!(read.algorithm, Algorithm::Bpe);
    let expected = Normalization { character_map: Vec::new(), adds_space: false, removes_extra_spaces: true };
    assert_eq!(read.normalization, expected);
    assert_eq!(read.pieces[1], Piece { text: "\u{2581}a".to_owned(), kind: TokenKind::Normal, score: -1.5 });
    assert_eq!(read.pieces().unknown, Some(0));
    let bare = parse(&ModelMessage { trainer: None, normalizer: None, ..model() }).expect("a right model");
    assert_eq!((bare.algorithm, bare.normalization.adds_space), (Algorithm::Unigram, true));
}

#[test]
fn what_would_change_the_pieces_is_refused_by_name() {
    let check = |change: &dyn Fn(&mut ModelMessage), expected: &str| {
        let mut model = model();
        change(&mut model);
        assert_eq!(parse(&model).err().as_deref(), Some(expected));
    };
    check(
        &|model| model.trainer.get_or_insert_default().algorithm = Some(4),
        "the model type is 4, expected 1 (unigram) or 2 (BPE)",
    );
    check(
        &|model| model.trainer.get_or_insert_default().puts_spaces_behind = Some(true),
        "spaces are put behind words (`treat_whitespace_as_suffix`), expected before",
    );
    check(
        &|model| model.normalizer.get_or_insert_default().escapes_spaces = Some(false),
        "spaces stay spaces (`escape_whitespaces`), expected that they become `\u{2581}`",
    );
    check(&|model| model.pieces[2].text = None, "piece 2 is empty");
    check(&|model| model.pieces[2].text = Some("<unk>".to_owned()), "piece 2 is `<unk>`, as piece 0 is");
    check(&|model| model.pieces[1].kind = Some(9), "piece 1 has type 9, expected 1 to 6");
    check(&|model| model.pieces[2].score = Some(f32::NAN), "piece 2, `b`, has score NaN, expected a finite number");
    let map = NormalizerMessage { character_map: Some(vec![1]), ..NormalizerMessage::default() };
    check(
        &|model| model.denormalizer = Some(map.clone()),
        "texts are changed once more when they are read back, expected no `denormalizer_spec`",
    );
}

#[test]
fn other_files_are_no_models() {
    for bytes in [&b"GGUF\x03\x00\x00\x00"[..], b"{\"version\": \"1.0\"}", &[0xff; 40]] {
        let error = ModelFile::parse(bytes).expect_err("no model");
        assert!(error.starts_with("not a SentencePiece model: ") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn pieces_are_numbered_as_other_libraries_do() {
    let text = |text: &str| piece(text, -1.0, None);
    let control = |text: &str| piece(text, 0.0, Some(3));
    let pieces = vec![piece("<unk>", 0.0, Some(2)), control("<s>"), control("</s>"), text("a"), text("b")];
    let model = || parse(&ModelMessage { pieces: pieces.clone(), ..ModelMessage::default() }).expect("a right model");
    let texts = |model: ModelFile| model.pieces.into_iter().map(|piece| piece.text).collect::<Vec<_>>();
    let fairseq = model().numbered_as_in_fairseq().expect("it begins as expected");
    assert_eq!(texts(fairseq), ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "<mask>"]);
    assert!(parse(&self::model()).expect("a right model").numbered_as_in_fairseq().is_err());

    let ids = |list: &[&str]| (0..).zip(list).map(|(id, text)| ((*text).to_owned(), id)).collect();
    let listed = model().numbered_by(&ids(&["</s>", "<unk>", "b", "c", "a"])).expect("all pieces are there");
    assert_eq!(listed.pieces().unknown, Some(1));
    assert_eq!(texts(listed), ["</s>", "<unk>", "b", "c", "a"]);
    let error = model().numbered_by(&ids(&["</s>", "<unk>", "b"])).expect_err("a piece is missing");
    assert_eq!(error, "the piece `a` has no id in the list of them");
    let gap = [("a", 0), ("b", 1), ("c", 3)].map(|(text, id)| (text.to_owned(), id)).into();
    assert_eq!(model().numbered_by(&gap).expect_err("a gap"), "no piece has id 2, but `c` has 3");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ModelFile::parse(&bytes);
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = model().encode_to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(model) = ModelFile::parse(&bytes) {
            let pieces = model.pieces();
            if let Ok(merges) = model.merges(&pieces) {
                let _ = super::super::steps(&pieces, merges, model.normalization.clone());
            }
        }
    }
}
