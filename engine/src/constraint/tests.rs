use proptest::prelude::*;

use super::*;
use crate::Error;

const EOS: TokenId = 256;
const SPECIAL: TokenId = 257;

/// Tokens of several bytes: parts of JSON, some across its words, and halves of characters.
const MERGED: [&[u8]; 16] = [
    b"{\"",
    b"\":",
    b"\": ",
    b"\"}",
    b"\", \"",
    b"true",
    b"null",
    b"12",
    b"na",
    b"name",
    b"me\"",
    b"[[",
    b"]]",
    b" a",
    "é".as_bytes(),
    b"\xa9\xc3",
];

/// Tokens 0 to 255 are the bytes, then comes one that ends a text, one without text, and those of `MERGED`.
fn token_bytes() -> Vec<Vec<u8>> {
    let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
    bytes.chain([Vec::new(), Vec::new()]).chain(MERGED.map(<[u8]>::to_vec)).collect()
}

/// Always the longest token, but for one text that is spelled by a token without text.
fn tokenize(text: &str) -> Vec<TokenId> {
    let mut rest = text.as_bytes();
    let mut tokens = Vec::new();
    while let Some(&byte) = rest.first() {
        let merged =
            (0..).zip(MERGED).filter(|(_, bytes)| rest.starts_with(bytes)).max_by_key(|(_, bytes)| bytes.len());
        let (token, length) = merged.map_or((byte.into(), 1), |(index, bytes)| (258 + index, bytes.len()));
        let (token, length) = if rest.starts_with(b"<special>") { (SPECIAL, 9) } else { (token, length) };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

fn vocabulary(eos_ids: &[TokenId]) -> Vocabulary {
    Vocabulary::new(token_bytes(), eos_ids, tokenize).unwrap()
}

fn compiled(grammar: Grammar<'_>) -> Guidance {
    grammar.compile(&vocabulary(&[EOS])).unwrap()
}

/// Pushes a text byte by byte while that is allowed; how many bytes were, and the ending behind them.
fn read(grammar: Grammar<'_>, text: &str) -> (usize, Ending) {
    let vocabulary =
        Vocabulary::new(token_bytes()[..258].to_vec(), &[EOS], |text| text.bytes().map(TokenId::from).collect());
    let mut constraint = grammar.compile(&vocabulary.unwrap()).unwrap();
    let mut fits = |byte: &u8| {
        let allowed = constraint.allowed().unwrap().contains((*byte).into());
        allowed && constraint.push((*byte).into()).is_ok()
    };
    let read = text.bytes().take_while(|byte| fits(byte)).count();
    (read, constraint.ending().unwrap())
}

fn check(grammar: Grammar<'_>, cases: &[(&str, usize, Ending)]) {
    for &(text, expected, ending) in cases {
        assert_eq!(read(grammar, text), (expected, ending), "{grammar:?}: {text:?}");
    }
}

#[test]
fn a_text_is_held_to_a_json_schema() {
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 2}, "n": {"type": "integer"}},
        "required": ["name"], "additionalProperties": false}"#;
    check(
        Grammar::JsonSchema(schema),
        &[
            (r#"{"name": "ab", "n": -12}"#, 24, Ending::Must),
            (r#"{"name":"é"}"#, 13, Ending::Must),
            (r#"{"name": "abc"}"#, 12, Ending::No),
            (r#"{"n": 1"#, 3, Ending::No),
            (r#"{"name": "", "other": 1}"#, 14, Ending::No),
            ("[", 0, Ending::No),
        ],
    );
    check(Grammar::JsonSchema("true"), &[("[1, {}]", 7, Ending::Must), ("12", 2, Ending::May), ("1,", 1, Ending::May)]);
}

#[test]
fn white_space_in_json_is_bounded_where_the_schema_does_not_say_otherwise() {
    let spaces = format!("[{}", " ".repeat(50));
    let read_of = |schema: &str| read(Grammar::JsonSchema(schema), &spaces).0;
    assert_eq!(read_of(r#"{"type": "array"}"#), 41);
    assert_eq!(read_of(r#"{"type": "array", "x-guidance": {"whitespace_flexible": false}}"#), 1);
    assert_eq!(read_of(r#"{"type": "array", "x-guidance": {"whitespace_pattern": "[ ]"}}"#), 2);
}

#[test]
fn a_text_is_held_to_a_regular_expression() {
    check(
        Grammar::Regex("(yes|no)!?"),
        &[("yes", 3, Ending::May), ("no!", 3, Ending::Must), ("nay", 1, Ending::No), ("no?", 2, Ending::May)],
    );
}

#[test]
fn a_text_is_held_to_a_context_free_grammar() {
    let sums = "start: sum\nsum: value | sum \"+\" value\nvalue: /[0-9]+/ | \"(\" sum \")\"";
    check(Grammar::Lark(sums), &[("1+(20+3)", 8, Ending::May), ("(1", 2, Ending::No), ("1)", 1, Ending::May)]);
}

fn refused(grammar: Grammar<'_>) -> String {
    let error = grammar.compile(&vocabulary(&[EOS])).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn what_cannot_be_served_is_named_in_one_line() {
    let check = |grammar, expected: &str| {
        let error = refused(grammar);
        assert!(error.contains(expected), "{error}");
    };
    check(
        Grammar::JsonSchema(r#"{"if": {}, "not": {}, "type": "string"}"#),
        r#"JSON schema: Unimplemented keys: ["if", "not"]"#,
    );
    check(Grammar::JsonSchema(r#"{"type": "array", "items": {"uniqueItems": true}}"#), r#"["uniqueItems"]"#);
    check(
        Grammar::JsonSchema(r#"{"oneOf": [{"maxLength": 3}, {"minLength": 2}]}"#),
        "oneOf constraints are not supported",
    );
    check(Grammar::JsonSchema(r#"{"type": "string", "format": "colour"}"#), "Unknown format: colour");
    check(Grammar::JsonSchema(r#"{"$ref": "https://example.com/x"}"#), "https://example.com/x");
    check(Grammar::JsonSchema(r#"{"type": "string", "x-guidance": {"spaces": 1}}"#), "unknown field `spaces`");
    check(Grammar::JsonSchema("false"), "Unsatisfiable schema");
    check(Grammar::JsonSchema("[]"), "schema must be an object or boolean");
    check(Grammar::JsonSchema("{"), "JSON schema: EOF while parsing an object at line 1 column 1");
    check(Grammar::JsonSchema(r#"{"pattern": "a(b"}"#), "JSON schema: unclosed group");
    check(Grammar::Regex("a(b"), "regular expression: invalid regex \"a(b\" (in regex): unclosed group");
    check(Grammar::Regex(r"(a)\1"), "backreferences are not supported");
    check(Grammar::Regex(""), "it allows the empty text alone");
    check(Grammar::Lark("start: a\na: B\nB: missing"), "grammar: at 3(4): unknown name: \"missing\"");
    check(Grammar::Lark("start: \"a"), "grammar: 1(10): lexer error");
    check(Grammar::Lark(""), "grammar: no start rule found");
}

#[test]
fn a_schema_that_asks_for_leniency_is_told_what_it_goes_without() {
    let warnings = |schema| compiled(Grammar::JsonSchema(schema)).warnings();
    assert_eq!(
        warnings(r#"{"type": "string", "not": {}, "x-guidance": {"lenient": true}}"#),
        [r#"Unimplemented keys: ["not"]"#]
    );
    let one_of = warnings(r#"{"oneOf": [{"maxLength": 3}, {"minLength": 2}], "x-guidance": {"coerce_one_of": true}}"#);
    assert!(one_of[0].starts_with("oneOf not fully supported"), "{one_of:?}");
    assert!(warnings(r#"{"type": "string"}"#).is_empty());
}

#[test]
fn deep_nesting_and_characters_of_several_bytes_do_not_break_the_compiler() {
    let deep =
        |open: &str, middle: &str, close: &str| [open.repeat(5000), middle.to_owned(), close.repeat(5000)].concat();
    refused(Grammar::Regex(&deep("(", "a", ")")));
    refused(Grammar::Lark(&format!("start: {}", deep("(", "\"a\"", ")"))));
    refused(Grammar::JsonSchema(&deep(r#"{"items":"#, "{}", "}")));
    refused(Grammar::JsonSchema(&format!(r#"{{"type": "string", "pattern": ["{}"]}}"#, "é".repeat(120))));
    refused(Grammar::JsonSchema(&format!(r#"{{"type": "a{}"}}"#, "é".repeat(120))));
}

#[test]
fn a_vocabulary_out_of_bounds_is_refused() {
    let check = |token_bytes, eos_ids: &[TokenId], expected: &str| {
        let error = Vocabulary::new(token_bytes, eos_ids, tokenize).unwrap_err().to_string();
        assert!(error.starts_with("the vocabulary does not serve grammars: ") && !error.contains('\n'), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    check(token_bytes(), &[EOS, 999], "its end-of-sequence token 999 is not below 274");
    check(vec![vec![b'a'; 5000]], &[], "");
    let letters = Vocabulary::new(vec![b"a".to_vec(), b"b".to_vec()], &[], |_| Vec::new()).unwrap();
    let error = Grammar::Regex("[ab]*c|d").compile(&letters).unwrap().push(2).unwrap_err();
    assert!(matches!(error, Error::Constraint { pushed: 0, .. }));
    let error = Grammar::Regex("[de]").compile(&letters).unwrap_err().to_string();
    assert_eq!(error, "the grammar fails behind 0 tokens: no token continues the text");
}

#[test]
fn an_end_of_sequence_token_is_allowed_where_the_text_may_end() {
    let mut constraint = Grammar::Regex("ab?").compile(&vocabulary(&[EOS, 3])).unwrap();
    let next = |constraint: &mut Guidance| constraint.allowed().unwrap().iter().collect::<Vec<_>>();
    assert_eq!((next(&mut constraint), constraint.ending().unwrap()), (vec![97], Ending::No));
    constraint.push(97).unwrap();
    assert_eq!((next(&mut constraint), constraint.ending().unwrap()), (vec![3, 98, EOS], Ending::May));
    let mut ended = constraint.clone();
    ended.push(3).unwrap();
    assert_eq!(ended.ending().unwrap(), Ending::Must);
    constraint.push(98).unwrap();
    assert_eq!((next(&mut constraint), constraint.ending().unwrap()), (vec![3, EOS], Ending::Must));
    constraint.push(EOS).unwrap();
    assert_eq!(constraint.ending().unwrap(), Ending::Must);
    assert!(constraint.push(97).is_err());
}

#[test]
fn without_end_of_sequence_tokens_a_complete_text_has_nothing_to_follow() {
    let mut constraint = Grammar::Regex("ab?").compile(&vocabulary(&[])).unwrap();
    constraint.push(97).unwrap();
    assert_eq!(constraint.allowed().unwrap(), TokenSet::of([98]));
    assert_eq!(constraint.ending().unwrap(), Ending::May);
    constraint.push(98).unwrap();
    assert_eq!(constraint.ending().unwrap(), Ending::Must);
    assert!(constraint.allowed().unwrap().is_empty());
}

#[test]
fn what_must_come_is_forced_in_the_tokenizers_own_tokens() {
    let mut constraint = compiled(Grammar::Regex(r#"(x|y)\{"name": 12\}?"#));
    assert!(constraint.forced(9).is_empty());
    constraint.push(TokenId::from(b'x')).unwrap();
    let expected = tokenize(r#"{"name": "#);
    assert_eq!(expected.len(), 3);
    assert_eq!(constraint.forced(2), expected[..2]);
    for &token in &expected {
        assert_eq!(
            constraint.allowed().unwrap(),
            TokenSet::of([token]),
            "the other cuts of the same text are forbidden"
        );
        constraint.push(token).unwrap();
    }
}

#[test]
fn a_text_that_spells_a_special_token_is_forced_as_text() {
    let mut constraint = compiled(Grammar::Regex("a<special>"));
    let tokens = constraint.forced(20);
    let bytes = token_bytes();
    assert!(
        b"a<special>".starts_with(&tokens.iter().flat_map(|&token| bytes[token as usize].clone()).collect::<Vec<_>>())
    );
    assert_eq!(constraint.accepts(&tokens), tokens.len());
    assert!(tokens.len() > 5);
}

/// What the trait does by itself.
#[derive(Debug)]
struct Slow(Guidance);

impl Constraint for Slow {
    fn allowed(&mut self) -> Result<TokenSet> {
        self.0.allowed()
    }
    fn push(&mut self, token: TokenId) -> Result<()> {
        self.0.push(token)
    }
    fn ending(&mut self) -> Result<Ending> {
        self.0.ending()
    }
    fn fork(&self) -> Box<dyn Constraint> {
        self.0.fork()
    }
}

const GRAMMARS: [Grammar<'static>; 6] = [
    Grammar::JsonSchema(
        r#"{"type": "object", "properties": {"name": {"type": "string"}, "nam": {"enum": ["é", true]}}, "required": ["name"]}"#,
    ),
    Grammar::JsonSchema(
        r#"{"properties": {"name": {"const": "<special>"}}, "x-guidance": {"whitespace_flexible": false}, "type": "object",
        "additionalProperties": false, "required": ["name"]}"#,
    ),
    Grammar::JsonSchema("true"),
    Grammar::Regex(r#"(name|nam\x22|é{2}12| a+)+[0-9]{3,5}"#),
    Grammar::Regex(r"\{\x22name\x22: (true|null)\}\n?"),
    Grammar::Lark("start: pair*\npair: \"(\" pair* \")\" | WORD\nWORD: /[a-e]{1,3}/\n%ignore / /"),
];

/// The allowed token that `choice` names; the end of the text not too often.
fn chosen(constraint: &mut Guidance, choice: u32) -> Option<TokenId> {
    let allowed: Vec<TokenId> =
        constraint.allowed().unwrap().iter().filter(|&token| token != EOS || choice.is_multiple_of(7)).collect();
    allowed.get(choice as usize % allowed.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_but_the_tokens_pushed_decides_what_may_come(
        grammar in 0..GRAMMARS.len(), choices in prop::collection::vec(any::<u32>(), 1..24), noise in prop::collection::vec(0u32..300, 4),
    ) {
        let mut constraint = compiled(GRAMMARS[grammar]);
        let fresh = constraint.clone();
        let mut walk = Vec::new();
        for &choice in &choices {
            let Some(token) = chosen(&mut constraint, choice) else { break };
            // Asked ahead: what is forced, and drafts that go wrong somewhere.
            let forced = constraint.forced(1 + choice as usize % 5);
            let drafts = [vec![token], [&[token], &noise[..]].concat(), noise.clone(), forced.clone(), [&forced[..], &noise].concat()];
            for draft in drafts {
                prop_assert_eq!(constraint.accepts(&draft), Slow(constraint.clone()).accepts(&draft), "{:?}", draft);
            }
            if let Some(&first) = forced.first() {
                prop_assert_eq!(constraint.allowed().unwrap(), TokenSet::of([first]));
            }
            constraint.push(token).unwrap();
            walk.push(token);
            let mut pushed_at_once = fresh.clone();
            walk.iter().for_each(|&token| pushed_at_once.push(token).unwrap());
            prop_assert_eq!(pushed_at_once.ending().unwrap(), constraint.ending().unwrap());
            prop_assert_eq!(pushed_at_once.allowed().unwrap(), constraint.allowed().unwrap(), "{:?}", walk);
            if constraint.ending().unwrap() == Ending::Must {
                break;
            }
        }
    }

    #[test]
    fn allowed_tokens_can_be_pushed_and_others_cannot_follow(
        grammar in 0..GRAMMARS.len(), choices in prop::collection::vec(any::<u32>(), 1..12),
    ) {
        let mut constraint = compiled(GRAMMARS[grammar]);
        for &choice in &choices {
            let allowed = constraint.allowed().unwrap();
            for token in 0..token_bytes().len() as TokenId + 3 {
                prop_assert_eq!(constraint.accepts(&[token]) == 1, allowed.contains(token), "{}", token);
                prop_assert!(!allowed.contains(token) || constraint.clone().push(token).is_ok(), "{}", token);
            }
            prop_assert_eq!(allowed.contains(EOS), constraint.ending().unwrap() != Ending::No);
            let Some(token) = chosen(&mut constraint, choice) else { break };
            constraint.push(token).unwrap();
            if constraint.ending().unwrap() == Ending::Must {
                break;
            }
        }
    }
}
