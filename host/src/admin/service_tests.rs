use super::*;
use crate::rollout::report::{Check, Refused};

#[test]
fn unknown_paths_are_not_found() {
    for path in [
        "",
        "/",
        "/generations/",
        "//generations",
        "/participants",
        "/participants/a",
        "/participants//component",
        "/participants/a/component/",
        "/participants/a/components",
        "/livez/x",
    ] {
        assert!(AdminPath::at(path).is_none(), "{path}");
    }
    assert!(matches!(
        AdminPath::at("/participants/a/component"),
        Some(AdminPath::Swap("a", SwapPath::Component))
    ));
    assert!(matches!(
        AdminPath::at("/participants/a/generations"),
        Some(AdminPath::Generations(Some("a")))
    ));
    assert!(matches!(
        AdminPath::at("/generations"),
        Some(AdminPath::Generations(None))
    ));
    assert!(matches!(
        AdminPath::at("/dead-letters"),
        Some(AdminPath::Letters(LetterPath::List(None)))
    ));
    assert!(matches!(
        AdminPath::at("/participants/a/dead-letters"),
        Some(AdminPath::Letters(LetterPath::List(Some("a"))))
    ));
    assert!(AdminPath::at("/dead-letters/1").is_none());
}

#[test]
fn a_refusal_says_which_check_and_everything_that_is_wrong() {
    let problem = not_applied(NotApplied::Refused(Refused {
        check: Check::World,
        reasons: vec!["no export".into(), "an import".into()],
        digest: Some("abc".into()),
        component: None,
        allowed_by: Vec::new(),
        gate: None,
    }));
    let said: Value = serde_json::from_str(&problem.json("")).unwrap();
    assert_eq!(
        said,
        json!({
            "type": "/problems/component-refused",
            "title": "Component refused",
            "status": 422,
            "detail": "no export; an import",
            "check": "world",
            "reasons": ["no export", "an import"],
            "digest": "abc",
        })
    );
}

#[test]
fn a_refused_swap_shows_if_a_retry_makes_sense() {
    let cases = [
        (NotApplied::UnknownParticipant("a".into(), "b".into()), 404),
        (NotApplied::UnknownGeneration("none".into()), 404),
        (NotApplied::Failed("disk".into()), 500),
    ];
    for (error, status) in cases {
        let problem = not_applied(error);
        assert_eq!((problem.status, problem.retry_after), (status, None));
    }
    let busy = not_applied(NotApplied::Busy("many".into()));
    assert_eq!((busy.status, busy.retry_after), (503, Some(1)));
}

#[test]
fn unknown_flags_and_values_are_refused() {
    let set = |query| {
        let flags = flags(Some(query)).unwrap();
        flags.names().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(set(""), "");
    assert_eq!(set("drop-used=true"), DROP_USED);
    assert_eq!(set("drop-used=false&allow-breaking=true"), ALLOW_BREAKING);
    assert_eq!(set("dry_run=true&drop_used=true"), "drop-used dry-run");
    for query in [
        "drop-used=1",
        "drop-used",
        "drop-used=true&x=1",
        "dry-run=yes",
    ] {
        assert_eq!(flags(Some(query)).unwrap_err().status, 400, "{query}");
    }
    let back = |bytes: &[u8]| read_json::<RollbackRequest>(bytes, "{}");
    assert_eq!(back(b" \n").unwrap().digest, None);
    assert_eq!(
        back(br#"{"digest":"ab"}"#).unwrap().digest.as_deref(),
        Some("ab")
    );
    for body in ["{\"digset\":\"ab\"}", "[]", "ab", "{\"digest\":1}"] {
        assert_eq!(back(body.as_bytes()).err().unwrap().status, 400, "{body}");
    }
}

#[test]
fn a_body_with_two_members_of_one_name_is_refused() {
    let detail = |problem: Option<Problem>| problem.unwrap().detail;
    let twice = br#"{"digest":"ab","digest":"cd"}"#;
    let said = detail(read_json::<RollbackRequest>(twice, "{}").err());
    assert!(
        said.starts_with("the body has two members named `digest`"),
        "{said}"
    );
    let said = detail(settings_change(br#"{"a":1,"a":2}"#, "the body").err());
    assert!(
        said.starts_with("the body has two members named `a`"),
        "{said}"
    );
    let said = detail(SwapQuery::of(Some("settings=%7B%22a%22:1,%22a%22:2%7D")).err());
    assert!(
        said.starts_with("the query `settings` has two members named `a`"),
        "{said}"
    );
    let said =
        detail(SwapQuery::of(Some("settings=%7B%22a%22:1%7D&settings=%7B%22b%22:2%7D")).err());
    assert!(said.contains("`settings` twice"), "{said}");
}

#[test]
fn a_change_of_settings_is_an_object_whose_values_keep_their_digits() {
    let text =
        r#"{"a":0.10000000000000000001,"b":{"$serde_json::private::Number":"300"},"c":null}"#;
    let change = settings_change(text.as_bytes(), "the body").ok().unwrap();
    assert_eq!(
        json!(change.to_patch()["a"]).to_string(),
        "0.10000000000000000001"
    );
    assert!(change.to_patch()["b"].is_object());
    assert_eq!(change.unset, ["c"]);
    assert!(settings_change(b" \n", "the body").ok().unwrap().is_empty());
    for wrong in ["[]", "1", "{", "\"a\""] {
        assert!(
            settings_change(wrong.as_bytes(), "the body").is_err(),
            "{wrong}"
        );
    }
}
