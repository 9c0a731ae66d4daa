use serde_json::json;

use super::*;

fn read(line: &str, format: &RowFormat) -> Result<Row, Refusal> {
    format.read(object(line.as_bytes())?)
}

/// A request with that body.
fn with_body(url: &str, body: &Value) -> Result<Row, Refusal> {
    let line = json!({ "custom_id": "a", "method": "POST", "url": url, "body": body });
    read(&line.to_string(), &RowFormat::default())
}

fn chat(mut body: Value) -> Result<Row, Refusal> {
    let fields = body.as_object_mut().expect("a body is an object");
    fields.entry("messages").or_insert_with(|| json!([{ "role": "user", "content": "Hi" }]));
    with_body("/v1/chat/completions", &body)
}

fn completion(mut body: Value) -> Result<Row, Refusal> {
    let fields = body.as_object_mut().expect("a body is an object");
    fields.entry("prompt").or_insert_with(|| json!("Hi"));
    with_body("/v1/completions", &body)
}

fn refused(found: Result<Row, Refusal>, expected: &str) {
    match found {
        Ok(row) => panic!("{row:?}, expected: {expected}"),
        Err(refusal) => assert_eq!(refusal.message(), expected),
    }
}

fn settings(found: Result<Row, Refusal>) -> Settings {
    found.unwrap_or_else(|refusal| panic!("{refusal:?}")).settings
}

#[test]
fn requests_are_what_openai_takes_for_one() {
    let row = chat(json!({})).expect("it is one");
    assert_eq!(row.shape, Shape::Chat);
    assert_eq!(row.asked, Asked::Messages(vec![Message::new("user", "Hi")]));
    assert_eq!(row.settings, Settings::default());
    let row = completion(json!({})).expect("it is one");
    assert_eq!((row.shape, row.asked), (Shape::Completion, Asked::Text("Hi".to_owned())));
}

#[test]
fn every_setting_is_taken() {
    let both = json!({
        "model": "m", "max_tokens": 5, "n": 3, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1,
        "repetition_penalty": 1.5, "presence_penalty": -1, "frequency_penalty": 2, "seed": -1, "stop": ["x", "y"],
    });
    let expected = Settings {
        model: Some("m".to_owned()),
        max_tokens: Some(5),
        samples: Some(3),
        temperature: Some(0.5),
        top_k: Some(4),
        top_p: Some(0.9),
        min_p: Some(0.1),
        repetition_penalty: Some(1.5),
        presence_penalty: Some(-1.0),
        frequency_penalty: Some(2.0),
        seed: Some(u64::MAX),
        stop: Some(vec!["x".to_owned(), "y".to_owned()]),
        ..Settings::default()
    };
    assert_eq!(settings(chat(both.clone())), expected);
    assert_eq!(settings(completion(both)), expected);
    assert_eq!(settings(chat(json!({ "stop": "x" }))).stop, Some(vec!["x".to_owned()]));
    assert_eq!(settings(chat(json!({ "logprobs": true, "top_logprobs": 3 }))).logprobs, Some(3));
    assert_eq!(settings(chat(json!({ "logprobs": true }))).logprobs, Some(0));
    assert_eq!(settings(chat(json!({ "logprobs": false }))).logprobs, None);
    let scored = settings(completion(json!({ "logprobs": 2, "echo": true, "best_of": 1 })));
    assert_eq!((scored.logprobs, scored.echo), (Some(2), true));
    assert_eq!(settings(chat(json!({ "max_tokens": 8, "max_completion_tokens": 8 }))).max_tokens, Some(8));
    assert_eq!(settings(chat(json!({ "max_completion_tokens": 9 }))).max_tokens, Some(9));
}

#[test]
fn fields_that_change_no_text_are_ignored() {
    let nothing = json!({
        "user": "u", "metadata": { "a": "b" }, "store": true, "service_tier": "auto", "stream": false,
        "logit_bias": {}, "seed": null, "stop": null, "temperature": null,
    });
    assert_eq!(settings(chat(nothing.clone())), Settings::default());
    assert_eq!(settings(completion(nothing)), Settings::default());
    let of_chat = json!({
        "tools": [], "tool_choice": "none", "parallel_tool_calls": true, "modalities": ["text"],
        "prediction": { "type": "content", "content": "Hi" },
    });
    assert_eq!(settings(chat(of_chat)), Settings::default());
}

#[test]
fn what_nobody_knows_or_has_is_named() {
    let check = |body: Value, expected: &str| refused(chat(body), expected);
    check(json!({ "temprature": 1 }), "`body.temprature` is an unknown field");
    check(json!({ "temprature": null }), "`body.temprature` is an unknown field");
    check(json!({ "prompt": "x" }), "`body.prompt` is an unknown field");
    check(json!({ "stream": true }), "`body.stream` is not supported");
    check(json!({ "logit_bias": { "5": 1 } }), "`body.logit_bias` is not supported");
    check(json!({ "tools": [{}] }), "`body.tools` is not supported");
    check(
        json!({ "tool_choice": "required" }),
        "`body.tool_choice` is \"required\", which is not supported; expected \"none\" or \"auto\"",
    );
    refused(completion(json!({ "messages": [] })), "`body.messages` is an unknown field");
    refused(completion(json!({ "suffix": "x" })), "`body.suffix` is not supported");
    refused(completion(json!({ "best_of": 2 })), "`body.best_of` is 2, which is not supported; expected 1");
}

#[test]
fn values_of_the_wrong_type_are_named_with_what_was_expected() {
    let check = |body: Value, expected: &str| refused(chat(body), expected);
    check(json!({ "temperature": "hot" }), "`body.temperature` is a string, expected a number");
    check(json!({ "max_tokens": 0 }), "`body.max_tokens` is 0, expected a whole number of at least 1");
    check(json!({ "max_tokens": 1.5 }), "`body.max_tokens` is 1.5, expected a whole number of at least 1");
    check(json!({ "n": 129 }), "`body.n` is 129, expected a whole number from 1 to 128");
    check(json!({ "seed": 0.5 }), "`body.seed` is 0.5, expected a whole number of 64 bits");
    check(json!({ "logprobs": 3 }), "`body.logprobs` is 3, expected true or false");
    check(json!({ "top_logprobs": 3 }), "`body.top_logprobs` is given, but `body.logprobs` is not true");
    check(json!({ "stop": [""] }), "`body.stop` is a list, expected a string or a list of strings, none of them empty");
    check(
        json!({ "max_tokens": 3, "max_completion_tokens": 4 }),
        "`body.max_tokens` is 3, but `body.max_completion_tokens` 4",
    );
    refused(
        completion(json!({ "prompt": ["a", "b"] })),
        "`body.prompt` is several prompts, expected a string that is not empty or a list of token ids",
    );
    refused(
        completion(json!({ "prompt": [1, -2] })),
        "`body.prompt` is another list, expected a string that is not empty or a list of token ids",
    );
}

#[test]
fn prompts_are_texts_or_tokens() {
    let asked = |prompt: Value| completion(json!({ "prompt": prompt })).expect("a prompt").asked;
    assert_eq!(asked(json!("a")), Asked::Text("a".to_owned()));
    assert_eq!(asked(json!(["a"])), Asked::Text("a".to_owned()));
    assert_eq!(asked(json!([3, 4])), Asked::Tokens(vec![3, 4]));
}

#[test]
fn messages_have_role_and_content_and_nothing_that_would_be_lost() {
    let messages = |messages: Value| chat(json!({ "messages": messages }));
    let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
    let row = messages(json!([{ "role": "user", "content": parts, "name": null }])).expect("parts are texts");
    assert_eq!(row.asked, Asked::Messages(vec![Message::new("user", "ab")]));
    let check = |found: Value, expected: &str| refused(messages(found), expected);
    check(json!([]), "`body.messages` is wrong: no messages, expected at least one");
    let answer = json!([{ "role": "assistant", "content": "a", "tool_calls": [], "annotations": [], "refusal": null }]);
    assert_eq!(messages(answer).expect("nothing is lost").asked, Asked::Messages(vec![Message::new("assistant", "a")]));
    check(
        json!([{ "role": "assistant", "content": "a", "tool_calls": [{}] }]),
        "`body.messages[0].tool_calls` is an unknown field",
    );
    check(json!([{ "role": "user", "content": "a", "name": [] }]), "`body.messages[0].name` is an unknown field");
    check(
        json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }]),
        "`body.messages` is wrong: `messages[0].content[0].type` is `image_url`, expected `text`",
    );
    refused(with_body("/v1/chat/completions", &json!({})), "`body.messages` is missing, expected a list of messages");
}

#[test]
fn a_schema_is_taken_from_the_response_format() {
    let schema = |format: Value| chat(json!({ "response_format": format }));
    let json_schema = |text: &str| Some(Form::JsonSchema(text.to_owned()));
    assert_eq!(settings(schema(json!(null))).form, None);
    assert_eq!(settings(schema(json!({ "type": "text" }))).form, Some(Form::Text));
    assert_eq!(settings(schema(json!({ "type": "json_object" }))).form, json_schema(r#"{"type":"object"}"#));
    let named = json!({ "type": "json_schema", "json_schema": { "name": "x", "strict": true, "schema": { "type": "integer" } } });
    assert_eq!(settings(schema(named)).form, json_schema(r#"{"type":"integer"}"#));
    refused(
        schema(json!({ "type": "xml" })),
        "`body.response_format.type` is `xml`, expected text, json_object or json_schema",
    );
    refused(
        schema(json!({ "type": "json_schema", "json_schema": { "name": "x" } })),
        "`body.response_format.json_schema.schema` is missing, expected a JSON schema",
    );
    refused(schema(json!({ "type": "text", "grammar": "x" })), "`body.response_format.grammar` is an unknown field");
}

#[test]
fn envelopes_are_checked() {
    let check = |line: Value, expected: &str| refused(read(&line.to_string(), &RowFormat::default()), expected);
    let url = "/v1/completions";
    let body = json!({ "prompt": "a" });
    check(json!({ "url": url, "body": body }), "`custom_id` is missing, expected a string that is not empty");
    check(json!({ "custom_id": 7, "url": url, "body": body }), "`custom_id` is 7, expected a string");
    check(
        json!({ "custom_id": "a", "body": body }),
        "`url` is missing, expected /v1/chat/completions or /v1/completions",
    );
    check(
        json!({ "custom_id": "a", "url": "/v1/embeddings", "body": body }),
        "`url` is `/v1/embeddings`, expected `/v1/chat/completions` or `/v1/completions`",
    );
    check(json!({ "custom_id": "a", "url": url }), "`body` is missing, expected an object");
    check(
        json!({ "custom_id": "a", "url": url, "body": body, "method": "GET" }),
        "`method` is \"GET\", expected \"POST\"",
    );
    check(json!({ "custom_id": "a", "url": url, "body": body, "priority": 1 }), "`priority` is an unknown field");
}

#[test]
fn lines_that_are_no_objects_are_refused() {
    let check = |line: &[u8], expected: &str| {
        let refusal = object(line).expect_err("it is no object");
        assert_eq!(refusal.message(), expected);
    };
    check(b"{\"a\": }", "is not JSON at column 7, expected one object a line");
    check(b"{\"a\": \"\xff\"}", "is not JSON at column 8, expected one object a line");
    check(b"[1]", "is a list, expected an object");
}

#[test]
fn plain_rows_are_those_of_the_common_reader() {
    let read = |line: &str| read(line, &RowFormat::default());
    let row = read(r#"{"task_id": "t/1", "prompt": "def f():", "url": "x"}"#).expect("a plain row");
    assert_eq!((row.shape, row.asked), (Shape::Plain, Asked::Text("def f():".to_owned())));
    let row = read(r#"{"question": "Why?", "answer": "x"}"#).expect("a plain row");
    assert_eq!(row.asked, Asked::Messages(vec![Message::new("user", "Why?")]));
    assert_eq!(read(r#"{"turns": ["a"]}"#).expect("one turn").asked, Asked::Messages(vec![Message::new("user", "a")]));
    let row = read(r#"{"body": "a mail", "prompt": "b"}"#).expect("a plain row");
    assert_eq!((row.shape, row.asked), (Shape::Plain, Asked::Text("b".to_owned())));
    refused(read(r#"{"turns": ["a", "b"]}"#), "has 2 `turns`, expected one");
    refused(
        read(r#"{"answer": "x"}"#),
        "has `answer`, expected one of `turns`, `question`, `messages`, `prompt`, `text`",
    );
}

#[test]
fn rows_are_named_by_themselves_or_by_their_line() {
    let check = |line: &str, expected: Value| {
        let object = object(line.as_bytes()).expect("an object");
        assert_eq!(RowFormat::default().name(&object, 7), expected, "{line}");
    };
    check(r#"{"custom_id": "a", "id": "b", "url": "x", "body": {}}"#, json!("a"));
    check(r#"{"custom_id": "a", "id": "b", "text": "x"}"#, json!("b"));
    check(r#"{"id": 5, "text": "x"}"#, json!(5));
    check(r#"{"task_id": "t/1", "question_id": 81}"#, json!(81));
    check(r#"{"id": ["a"], "text": "x"}"#, json!("line 7"));
    check(r#"{"text": "x"}"#, json!("line 7"));
}

#[test]
fn a_field_can_be_named() {
    let with = |field: &str, raw: bool, line: &str| {
        read(line, &RowFormat { field: Some(field.to_owned()), raw }).map(|row| row.asked)
    };
    let line = r#"{"instruction": "Do", "prompt": "p", "question": "q", "body": {}}"#;
    assert_eq!(with("instruction", false, line), Ok(Asked::TextOrMessage("Do".to_owned())));
    assert_eq!(with("instruction", true, line), Ok(Asked::Text("Do".to_owned())));
    assert_eq!(with("prompt", false, line), Ok(Asked::Text("p".to_owned())));
    assert_eq!(with("question", false, line), Ok(Asked::Messages(vec![Message::new("user", "q")])));
    assert_eq!(with("question", true, line), Ok(Asked::Text("q".to_owned())));
    let refused = |field: &str| with(field, false, line).expect_err("it is refused").message().to_owned();
    assert_eq!(refused("absent"), "has no field `absent`, expected one");
    assert_eq!(refused("body"), "has `body` an object, expected a string that is not empty");
}
