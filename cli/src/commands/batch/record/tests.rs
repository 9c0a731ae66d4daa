use serde_json::json;
use veridraft_models::Message;

use super::*;
use crate::commands::batch::refusal::Code;
use crate::commands::batch::row::{Asked, Settings};

fn writer() -> RecordWriter {
    RecordWriter { run: [7; 32], model: "tiny".to_owned(), created: Created::At(0), text_ids: false }
}

fn row(shape: Shape, settings: Settings) -> Row {
    Row { shape, asked: Asked::Messages(vec![Message::new("user", "Hi")]), settings }
}

fn choice(text: &str, reason: FinishReason) -> Choice {
    let score = |token, logprob| TokenLogprobs { token, logprob, top: vec![(0, -0.5), (1, f64::NEG_INFINITY)] };
    Choice {
        text: text.to_owned(),
        tokens: vec![0, 1, 2],
        logprobs: vec![score(0, -0.5), score(1, -2.0), score(2, -0.25)],
        prompt_logprobs: vec![score(1, -1.0)],
        reason: Some(reason),
    }
}

fn record(row: &Row, choices: &[Choice], texts: Option<&TokenBytes>) -> Value {
    let name = Name::new(json!("r-1"));
    let answer = Answer { name: &name, row, prompt: &[0, 1], prompt_text: "ab", choices };
    serde_json::from_slice(&writer().answer(&answer, texts)).expect("a record is JSON")
}

#[test]
fn an_answer_to_messages_is_openais() {
    let row = row(Shape::Chat, Settings { model: Some("m".to_owned()), ..Settings::default() });
    let found = record(&row, &[choice("ab", FinishReason::Eos), choice("", FinishReason::ContextFull)], None);
    let id = |prefix: &str| writer().id(prefix, &Name::new(json!("r-1")));
    let expected = json!({
        "id": id("batch_req_"),
        "custom_id": "r-1",
        "response": {
            "status_code": 200,
            "request_id": id("req_"),
            "body": {
                "id": id("chatcmpl-"), "object": "chat.completion", "created": 0, "model": "m",
                "choices": [
                    {
                        "index": 0, "message": { "role": "assistant", "content": "ab", "refusal": null },
                        "logprobs": null, "finish_reason": "stop",
                    },
                    {
                        "index": 1, "message": { "role": "assistant", "content": "", "refusal": null },
                        "logprobs": null, "finish_reason": "length",
                    },
                ],
                "usage": { "prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8 },
            },
        },
        "error": null,
    });
    assert_eq!(found, expected);
}

#[test]
fn a_plain_answer_is_short() {
    let found = record(&row(Shape::Plain, Settings::default()), &[choice("ab", FinishReason::StopString)], None);
    let usage = json!({ "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5 });
    assert_eq!(found, json!({ "id": "r-1", "text": "ab", "finish_reason": "stop", "usage": usage }));
}

#[test]
fn ids_keep_their_type_but_in_columns() {
    let (name, row) = (Name::new(json!(7)), row(Shape::Plain, Settings::default()));
    let choices = [choice("ab", FinishReason::Length)];
    let answer = Answer { name: &name, row: &row, prompt: &[0], prompt_text: "", choices: &choices };
    let id = |writer: RecordWriter| {
        let record: Value = serde_json::from_slice(&writer.answer(&answer, None)).expect("a record is JSON");
        record["id"].clone()
    };
    assert_eq!(id(writer()), json!(7));
    assert_eq!(id(RecordWriter { text_ids: true, ..writer() }), json!("7"));
}

#[test]
fn an_error_says_why() {
    let refusal = Refusal::new(Code::UnknownField, "`body.x` is an unknown field").at("line 3");
    let found: Value = serde_json::from_slice(&writer().error(&Name::new(json!("r-1")), &refusal)).expect("it is JSON");
    let error = json!({ "code": "unknown_field", "message": "line 3: `body.x` is an unknown field" });
    let id = writer().id("batch_req_", &Name::new(json!("r-1")));
    assert_eq!(found, json!({ "id": id, "custom_id": "r-1", "response": null, "error": error }));
}

#[test]
fn ids_are_those_of_row_and_run() {
    let other = RecordWriter { run: [8; 32], ..writer() };
    let name = |name: &str| Name::new(json!(name));
    let (r, s, line) = (name("r"), name("s"), Name::in_line(json!("r"), 1));
    let ids = [
        writer().id("a", &r),
        writer().id("a", &s),
        writer().id("b", &r),
        other.id("a", &r),
        writer().id("a", &line),
        writer().id("a", &Name::in_line(json!("r"), 2)),
    ];
    assert_eq!(ids[0], writer().id("a", &name("r")));
    for (place, id) in ids.iter().enumerate() {
        assert!(ids[..place].iter().all(|other| other[1..] != id[1..]), "{ids:?}");
    }
}

#[test]
fn log_probabilities_of_messages_are_those_of_the_text() {
    let texts = TokenBytes::fixed(&["a", "é", "<end>"]);
    let row = row(Shape::Chat, Settings { logprobs: Some(2), ..Settings::default() });
    let found = record(&row, &[choice("aé", FinishReason::Eos)], Some(&texts));
    let logprobs = &found["response"]["body"]["choices"][0]["logprobs"];
    let top = json!([
        { "token": "a", "logprob": -0.5, "bytes": [97] },
        { "token": "é", "logprob": -9999.0, "bytes": [195, 169] },
    ]);
    let expected = json!({
        "content": [
            { "token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": top },
            { "token": "é", "logprob": -2.0, "bytes": [195, 169], "top_logprobs": top },
        ],
        "refusal": null,
    });
    assert_eq!(*logprobs, expected);
}

#[test]
fn an_echoed_prompt_is_scored_from_its_second_token_on() {
    let texts = TokenBytes::fixed(&["a", "b", "c"]);
    let row = row(Shape::Completion, Settings { logprobs: Some(1), echo: true, ..Settings::default() });
    let found = record(&row, &[choice("abc", FinishReason::Length)], Some(&texts));
    let choice = &found["response"]["body"]["choices"][0];
    assert_eq!(choice["text"], "ababc");
    let logprobs = &choice["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["a", "b", "a", "b", "c"]));
    assert_eq!(logprobs["token_logprobs"], json!([null, -1.0, -0.5, -2.0, -0.25]));
    assert_eq!(logprobs["text_offset"], json!([0, 1, 2, 3, 4]));
    assert_eq!(logprobs["top_logprobs"][0], json!(null));
    assert_eq!(logprobs["top_logprobs"][4], json!({ "a": -0.5, "b": -9999.0, "c": -0.25 }));
}

#[test]
fn tokens_of_a_stop_string_are_not_scored() {
    let texts = TokenBytes::fixed(&["a", "b", "c"]);
    let scored = |text: &str, reason| choice(text, reason).scored(&texts).len();
    assert_eq!(scored("a", FinishReason::StopString), 1);
    assert_eq!(scored("ab", FinishReason::StopString), 2);
    assert_eq!(scored("", FinishReason::StopString), 0);
    assert_eq!(scored("ab", FinishReason::Eos), 2);
    assert_eq!(scored("abc", FinishReason::Complete), 3);
}

#[test]
fn columns_are_the_fields_of_the_records() {
    let names = |requests, others| columns(requests, others).iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let fields = |record: &Value| record.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let answer = [choice("a", FinishReason::Eos)];
    assert_eq!(names(true, false), fields(&record(&row(Shape::Chat, Settings::default()), &answer, None)));
    assert_eq!(names(false, true), fields(&record(&row(Shape::Plain, Settings::default()), &answer, None)));
    assert_eq!(names(true, true).len(), 7);
}
