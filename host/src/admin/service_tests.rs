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
        Some(AdminPath::Component("a"))
    ));
    assert!(matches!(
        AdminPath::at("/participants/a/generations"),
        Some(AdminPath::Generations(Some("a")))
    ));
    assert!(matches!(
        AdminPath::at("/generations"),
        Some(AdminPath::Generations(None))
    ));
}

#[test]
fn a_refusal_says_which_check_and_everything_that_is_wrong() {
    let problem = not_applied(NotApplied::Refused(Refused {
        check: Check::World,
        reasons: vec!["no export".into(), "an import".into()],
        digest: Some("abc".into()),
        component: None,
        allowed_by: Vec::new(),
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
