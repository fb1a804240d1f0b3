use super::*;

#[test]
fn lengths_of_time_have_their_two_largest_units() {
    for (ms, text) in [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_250, "1.2 s"),
        (60_000, "1 m"),
        (125_000, "2 m 5 s"),
        (3_600_000, "1 h"),
        (90_061_000, "1 d 1 h"),
    ] {
        assert_eq!(span(ms), text);
    }
}

#[test]
fn a_long_value_is_cut_and_no_value_steers_a_terminal() {
    assert_eq!(cut(&"ä".repeat(30), 24), format!("{}…", "ä".repeat(23)));
    let wait = Wait {
        correlation: "c\u{1b}[2J".to_owned(),
        participant: "order".to_owned(),
        key: Some("1\n7".to_owned()),
        since: Some(0),
        what: Expected::Timer {
            name: "late".to_owned(),
            due: 5_000,
            parked: None,
        },
    };
    let saga = crate::explain::stuck::StuckSaga {
        correlation: wait.correlation.clone(),
        since: 0,
        waits: vec![wait],
    };
    let listed = Stuck {
        sagas: vec![saga],
        has_more: false,
    };
    assert_eq!(
        stuck(&listed, 0, 2_000),
        "c\\u{1b}[2J  for 2.0 s\n  timer late of order 1\\n7 is due in 3.0 s, waiting for 2.0 s\n\
         `saga explain --correlation ID` explains one.\n"
    );
}
