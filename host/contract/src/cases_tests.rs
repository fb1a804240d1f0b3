#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn header() -> Header {
    Header {
        participant: "order".to_owned(),
        generations: vec![Generation {
            digest: "3f9c".to_owned(),
            version: "1.0.0".to_owned(),
            state_version: 2,
            settings: Map::from_iter([("rate".to_owned(), parse("1.50").unwrap())]),
        }],
        redacted: vec!["/name".to_owned()],
    }
}

fn case() -> Case {
    Case {
        seq: 7,
        revision: 3,
        generation: "3f9c".to_owned(),
        state: Some(parse(r#"{"total":123456789012345678901234567890.0100}"#).unwrap()),
        message: CaseMessage {
            id: "m1".to_owned(),
            source: "/test".to_owned(),
            origin: "command".to_owned(),
            name: "pay".to_owned(),
            key: "17".to_owned(),
            time: 5,
            correlation: "c1".to_owned(),
            causation: Some("m0".to_owned()),
            caller: Some(("ann".to_owned(), json!({"role": "clerk"}))),
            metadata: vec![("x-tenant".to_owned(), "a".to_owned())],
            version: 2,
            parameters: vec![("order".to_owned(), "17".to_owned())],
            body: parse(r#"{"$serde_json::private::Number":"300","amount":1.50}"#).unwrap(),
        },
        outcome: json!({"state": "unchanged", "events": [], "timers": []}),
    }
}

fn file() -> String {
    let lines = [header().line(), case().line(), last_line(1)];
    lines.map(|line| line + "\n").concat()
}

#[test]
fn what_is_written_is_read_again_in_all_digits() {
    assert_eq!(read(&file()), Ok((header(), vec![case()])));
    let nothing = Case {
        state: None,
        ..case()
    };
    let null = Case {
        state: Some(Value::Null),
        ..case()
    };
    let lines = [header().line(), nothing.line(), null.line(), last_line(2)];
    assert_eq!(read(&lines.join("\n")), Ok((header(), vec![nothing, null])));
}

#[test]
fn a_bad_file_is_refused_with_line_and_reason() {
    let [first, second, last] = [header().line(), case().line(), last_line(1)];
    let cut = second.split_at(50).0;
    for (text, reason) in [
        (String::new(), "the file is empty"),
        ("{".to_owned(), "line 1: the line is not JSON"),
        (second.clone(), "line 1: is not the first line"),
        (
            first.replace(r#""format_version":1"#, r#""format_version":9"#),
            "line 1: the file has version 9 of its format, and this program reads version 1",
        ),
        (format!("{first}\n{second}\n"), "the file was cut off"),
        (format!("{first}\n{cut}"), "line 2: the line is not JSON"),
        (
            format!("{first}\n{second}\n{second}\n{last}"),
            "the last line says 1 decisions, and the file has 2",
        ),
        (
            format!("{first}\n{second}\n{last}\n{second}"),
            "line 4: follows the line that ends",
        ),
        (
            format!("{first}\n{}\n{last}", second.replace("3f9c", "77")),
            "line 2: the first line does not name the generation 77",
        ),
        (
            format!("{first}\n{}\n{last}", second.replace("correlation", "c")),
            "line 2: there is no `correlation`",
        ),
        (
            format!(
                "{first}\n{}\n{last}",
                second.replace("\"command\"", "\"x\"")
            ),
            "line 2: `origin` is `x`",
        ),
    ] {
        let refused = read(&text).unwrap_err();
        assert!(refused.starts_with(reason), "{refused}");
    }
}
