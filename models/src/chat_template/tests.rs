use std::time::{Duration, UNIX_EPOCH};

use super::*;

const SMOLLM2: &str = include_str!("fixtures/smollm2.jinja");
const CHATML: &str = include_str!("fixtures/chatml.jinja");
const LLAMA3: &str = include_str!("fixtures/llama3.jinja");
const MISTRAL: &str = include_str!("fixtures/mistral.jinja");

/// 2024-02-29 13:05:09 UTC, a Thursday.
const LEAP_DAY: Duration = Duration::from_secs(1_709_211_909);

fn render_result(source: &str, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
    let tokens = vec![("bos_token".to_owned(), "<s>".to_owned()), ("eos_token".to_owned(), "</s>".to_owned())];
    ChatTemplate::new(source, tokens)?.render(messages, add_generation_prompt, UNIX_EPOCH + LEAP_DAY)
}

fn render(source: &str, messages: &[(&str, &str)]) -> String {
    let messages: Vec<_> = messages.iter().map(|&(role, content)| Message::new(role, content)).collect();
    render_result(source, &messages, true).unwrap()
}

fn check_error(source: &str, messages: &[(&str, &str)], expected: &str) {
    let messages: Vec<_> = messages.iter().map(|&(role, content)| Message::new(role, content)).collect();
    let error = render_result(source, &messages, true).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

fn check_expression(expression: &str, expected: &str) {
    assert_eq!(render(&format!("{{{{ {expression} }}}}"), &[]), expected, "{expression}");
}

/// The mark keeps the text's last line breaks, which a snapshot alone would trim.
fn check_snapshot(name: &str, text: &str) {
    insta::assert_snapshot!(name, format!("{text}[end]"));
}

const QUESTION: [(&str, &str); 1] = [("user", "What is 2 < 3?")];
const WITH_SYSTEM: [(&str, &str); 2] = [("system", " Be brief. "), ("user", "Hi \u{4f60}\u{597d}")];
const TURNS: [(&str, &str); 4] =
    [("system", "Be brief."), ("user", "One?"), ("assistant", " Two.\n"), ("user", "\n  Three &amp; \"four\"?")];

#[test]
fn the_smollm2_template_adds_its_own_system_message() {
    check_snapshot("smollm2-question", &render(SMOLLM2, &QUESTION));
    check_snapshot("smollm2-with-system", &render(SMOLLM2, &WITH_SYSTEM));
    check_snapshot("smollm2-turns", &render(SMOLLM2, &TURNS));
}

#[test]
fn a_chatml_template_trims_blocks_and_ignores_the_generation_mark() {
    check_snapshot("chatml-question", &render(CHATML, &QUESTION));
    check_snapshot("chatml-turns", &render(CHATML, &TURNS));
}

#[test]
fn a_llama3_template_has_the_date_python_methods_and_loop_controls() {
    check_snapshot("llama3-question", &render(LLAMA3, &QUESTION));
    check_snapshot("llama3-turns", &render(LLAMA3, &TURNS));
    check_snapshot("llama3-tool", &render(LLAMA3, &[("user", "Now?"), ("tool", "<b>\"\u{e9}\"</b>\n")]));
}

#[test]
fn a_mistral_template_puts_the_system_message_into_the_last_turn() {
    check_snapshot("mistral-question", &render(MISTRAL, &QUESTION));
    check_snapshot("mistral-turns", &render(MISTRAL, &TURNS));
}

#[test]
fn without_a_generation_prompt_the_text_ends_after_the_last_message() {
    let text = render_result(SMOLLM2, &[Message::new("user", "Hi")], false).unwrap();
    assert!(text.ends_with("Hi<|im_end|>\n"), "{text}");
}

#[test]
fn a_template_can_refuse_the_messages() {
    check_error(MISTRAL, &[("assistant", "Hi")], "chat template: user and assistant must take turns");
    check_error(CHATML, &[("wizard", "Hi")], "not wizard (line 4 of the template)");
}

#[test]
fn a_template_that_is_none_is_an_error_with_its_line() {
    check_error("{{ bos_token }}\n{% for %}", &[], "(line 2 of the template)");
    check_error("{{ nothing.at.all }}", &[], "(line 1 of the template)");
    check_error("{{ 1 | frobnicate }}", &[], "frobnicate");
    check_error("{% include 'other' %}", &[], "other");
}

#[test]
fn a_long_conversation_is_within_the_budget() {
    for source in [SMOLLM2, CHATML, LLAMA3, MISTRAL] {
        let messages: Vec<_> =
            (0..1_000).map(|turn| Message::new(["user", "assistant"][turn % 2], "x".repeat(9_000))).collect();
        assert!(render_result(source, &messages, true).unwrap().len() > 9_000_000);
    }
}

#[test]
fn a_hostile_template_ends_in_an_error() {
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    check_error(nested, &[], "more work");
    let doubling = "{% set n = namespace(s='x') %}{% for a in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}";
    check_error(doubling, &[], "more work");
    let shared = "{% set n = namespace(s=[1]) %}{% for a in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}";
    check_error(&format!("{shared}{{{{ n.s | tojson }}}}"), &[], "more work");
    check_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", &[], "");
    check_error("{{ [1] | tojson(indent=10 ** 17) }}", &[], "more work");
    check_error(&"{{ ".repeat(10_000), &[], "");
    check_error(&format!("{{{{ {}1 }}}}", "(".repeat(100_000)), &[], "");
}

#[test]
fn a_value_nested_as_deep_as_the_budget_allows_fits_the_stack() {
    for (open, close, rounds) in [("[", "]", 4_000), ("{'a':", "}", 2_000), ("(", ",)", 4_000)] {
        let step = format!("{}n.s{}", open.repeat(60), close.repeat(60));
        let nest = format!("{{% for a in range({rounds}) %}}{{% set n.s = {step} %}}{{% endfor %}}");
        for last in ["", "{{ n.s }}", "{{ n.s == [n.s] }}", "{{ [n.s, [n.s]] | sort | length }}", "{{ n.s | tojson }}"]
        {
            // Either outcome will do, as long as the process lives.
            let _ = render_result(&format!("{{% set n = namespace(s=[]) %}}{nest}{last}"), &[], true);
        }
    }
}

#[test]
fn a_template_beyond_the_budgets_sight_is_given_up() {
    let shared = "{% set n = namespace(s=[1], t=[1]) %}{% for a in range(60) %}\
        {% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.s == n.t }}";
    let environment = environment::compile(shared).unwrap();
    let budget = Budget { patience: Duration::from_millis(50), ..Budget::for_text(0) };
    let error = environment::render(&environment, BTreeMap::new(), &budget).unwrap_err();
    assert_eq!(error.to_string(), "chat template: takes longer than 50ms");
}

#[test]
fn tojson_spells_as_python_does() {
    check_expression(r#"{"b": [1, true, none], "a": "x<y"} | tojson"#, r#"{"b": [1, true, null], "a": "x<y"}"#);
    check_expression(
        r#"[1.0, 0.5, 1e16, 0.00001, -2.5e-7, 123456789.0] | tojson"#,
        "[1.0, 0.5, 1e+16, 1e-05, -2.5e-07, 123456789.0]",
    );
    check_expression(r#"{1: 2, none: 3} | tojson"#, r#"{"1": 2, "null": 3}"#);
    check_expression(r#""q\"b\\s\n\té'\u0001" | tojson"#, "\"q\\\"b\\\\s\\n\\té'\\u0001\"");
    check_expression(r#""é😀" | tojson(ensure_ascii=true)"#, r#""\u00e9\ud83d\ude00""#);
    check_expression("[[], {}, [1]] | tojson(indent=2)", "[\n  [],\n  {},\n  [\n    1\n  ]\n]");
    check_error("{{ [] | tojson(colour=1) }}", &[], "colour");
}

#[test]
fn the_date_is_that_of_the_given_time() {
    check_expression("strftime_now('%Y-%m-%d %H:%M:%S')", "2024-02-29 13:05:09");
    check_expression("strftime_now('%A %a, %B %b %y, %I %p, 100 %%')", "Thursday Thu, February Feb 24, 01 PM, 100 %");
    check_error("{{ strftime_now('%Q') }}", &[], "`%Q`");
    let text_on = |day: u64| clock::strftime("%Y-%m-%d", UNIX_EPOCH + Duration::from_secs(day * 86_400)).unwrap();
    let dates = [
        (0, "1970-01-01"),
        (364, "1970-12-31"),
        (11_016, "2000-02-29"),
        (11_017, "2000-03-01"),
        (47_540, "2100-02-28"),
        (47_541, "2100-03-01"),
    ];
    for (day, date) in dates {
        assert_eq!(text_on(day), date);
    }
}

#[test]
fn only_generation_tags_are_replaced() {
    assert_eq!(generation_tag::replace("a{%- generation +%}b{% endgeneration %}c"), "a{%- if true +%}b{% endif %}c");
    for same in ["{{ generation }}", "{% set generation = 1 %}", "{% generation", "generation", ""] {
        assert_eq!(generation_tag::replace(same), same);
    }
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn check_folder(files: &[(&str, &str)], expected: Option<&str>) {
    let template = ChatTemplate::open(folder_with(files).path()).unwrap();
    let text = template.map(|template| template.render(&[], true, UNIX_EPOCH).unwrap());
    assert_eq!(text.as_deref(), expected);
}

#[test]
fn the_template_is_found_where_model_folders_have_it() {
    check_folder(&[], None);
    check_folder(&[("tokenizer_config.json", r#"{"chat_template": null}"#)], None);
    let config = r#"{"chat_template": "{{ bos_token }}!", "bos_token": {"content": "<s>", "lstrip": false}}"#;
    check_folder(&[("tokenizer_config.json", config)], Some("<s>!"));
    check_folder(&[("tokenizer_config.json", config), ("chat_template.jinja", "own {{ bos_token }}")], Some("own <s>"));
    let named = r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    check_folder(&[("tokenizer_config.json", named)], Some("d"));
}

#[test]
fn a_wrong_template_entry_names_file_and_field() {
    let cases = [
        (r#"{"chat_template": 7}"#, "`chat_template` is `7`, expected a string or a list"),
        (r#"{"chat_template": [{"name": "rag", "template": ""}]}"#, "no template named `default`"),
        (r#"{"chat_template": "{% if %}"}"#, "chat template: "),
        (r#"{"chat_template": "", "bos_token": []}"#, "`bos_token` is a list"),
    ];
    for (config, expected) in cases {
        let error =
            ChatTemplate::open(folder_with(&[("tokenizer_config.json", config)]).path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json`: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn messages_come_from_a_list_or_an_object() {
    let expected = vec![Message::new("system", "Be brief."), Message::new("user", "ab")];
    let list = r#"[{"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]"#;
    for text in [list, &format!(r#"{{"model": "m", "messages": {list}}}"#)] {
        let folder = folder_with(&[("chat.json", text)]);
        assert_eq!(Message::read_list(folder.path().join("chat.json")).unwrap(), expected);
    }
}

#[test]
fn wrong_messages_are_named_by_index() {
    let cases = [
        ("[", "not JSON: "),
        ("7", "`messages` is `7`, expected a list of messages"),
        ("{}", "no `messages` in the object"),
        ("[]", "no messages, expected at least one"),
        (r#"["hi"]"#, "`messages[0]` is a string, expected an object with `role` and `content`"),
        (r#"[{"role": "user", "content": "a"}, {"content": "b"}]"#, "`messages[1].role` is missing, expected a string"),
        (
            r#"[{"role": "user", "content": null}]"#,
            "`messages[0].content` is null, expected a string or a list of text parts",
        ),
        (
            r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#,
            "`messages[0].content[0].type` is `image_url`, expected `text`",
        ),
        (
            r#"[{"role": "user", "content": [{"type": "text", "text": 1}]}]"#,
            "`messages[0].content[0].text` is `1`, expected a string",
        ),
    ];
    for (text, expected) in cases {
        let folder = folder_with(&[("chat.json", text)]);
        let error = Message::read_list(folder.path().join("chat.json")).unwrap_err().to_string();
        assert!(error.contains("chat.json`: ") && error.contains(expected), "{error}");
    }
}
