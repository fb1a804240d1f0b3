use super::*;

fn stage(
    bound: u64,
    look: impl FnMut(Duration) -> Option<Vec<WaitingPlace>> + Send + 'static,
) -> Stage {
    Stage {
        name: "relay",
        setting: "progress.relay_seconds",
        bound,
        look: Box::new(look),
    }
}

fn waits(age: u64) -> WaitingPlace {
    WaitingPlace {
        place: "topic orders".into(),
        age: Duration::from_secs(age),
        why: Some("no broker".into()),
    }
}

/// The report after one sample of a stage in which these wait.
fn said(bound: u64, waiting: Vec<WaitingPlace>) -> (Option<String>, Duration) {
    let stages = Stages::default();
    let mut one = stage(bound, move |_| Some(waiting.clone()));
    stages.0.lock().stages = vec![SampledStage::new(&one)];
    stages.look(&mut one, Duration::ZERO);
    let age = stages.ages().first().map(|(_, age)| *age);
    (stages.standing(), age.unwrap_or_default())
}

#[test]
fn invariant_11_a_stage_beyond_its_bound_is_named_with_its_setting_and_the_reason() {
    let (text, age) = said(5, vec![waits(3), waits(7)]);
    assert_eq!(
        text.as_deref(),
        Some(
            "stage relay stands still: the oldest message of topic orders waits for 7 s \
             (bound: progress.relay_seconds = 5): no broker"
        )
    );
    assert_eq!(age, Duration::from_secs(7));
    let (text, _) = said(5, vec![waits(5), waits(7)]);
    assert!(text.is_some_and(|text| text.contains("topic orders (and 1 more) waits")));
}

#[test]
fn stages_within_their_bound_or_without_one_leave_the_host_ready() {
    for (bound, waiting) in [(5, vec![waits(4)]), (0, vec![waits(400)]), (5, Vec::new())] {
        assert_eq!(said(bound, waiting).0, None);
    }
}

#[test]
fn a_look_that_fails_keeps_what_was_known() {
    let stages = Stages::default();
    let mut answers = vec![None, Some(vec![waits(9)])];
    let mut one = stage(5, move |_| answers.pop().flatten());
    stages.0.lock().stages = vec![SampledStage::new(&one)];
    stages.look(&mut one, Duration::ZERO);
    stages.look(&mut one, Duration::ZERO);
    assert!(stages.standing().is_some());
}

#[test]
fn invariant_11_a_stage_that_can_t_be_looked_at_for_long_makes_the_host_unready() {
    let stages = Stages::default();
    let mut answers = vec![Some(Vec::new()), None, None, Some(vec![waits(1)])];
    let mut one = stage(5, move |_| answers.pop().flatten());
    stages.0.lock().stages = vec![SampledStage::new(&one)];
    let mut look = || stages.look(&mut one, Duration::ZERO);
    look();
    look();
    assert_eq!(stages.standing(), None, "it may fail for a moment");
    // As if some seconds had passed.
    for known in &mut stages.0.lock().stages {
        let earlier = |at: Instant| at.checked_sub(Duration::from_secs(11)).unwrap_or(at);
        known.failed_since = known.failed_since.map(earlier);
        known.at = earlier(known.at);
    }
    look();
    let said = stages.standing().unwrap_or_default();
    assert!(
        said.contains("stage relay can't be looked at for 11 s: the store can't be read"),
        "{said}"
    );
    assert!(
        said.contains("the oldest message of topic orders waits for 10 s"),
        "what waited then has waited: {said}"
    );
    look();
    assert_eq!(stages.standing(), None);
}

#[test]
fn a_look_that_does_not_return_does_not_hold_up_the_end() {
    let (release, gate) = bounded::<()>(0);
    let (begun, has_begun) = bounded::<()>(1);
    let stages = Stages::default();
    let look = move |_| {
        let _ = begun.try_send(());
        let _ = gate.recv();
        None
    };
    let watch = stages.watch(vec![stage(5, look)]);
    assert!(has_begun.recv_timeout(Duration::from_secs(30)).is_ok());
    let begun = Instant::now();
    if let Ok(watch) = watch {
        watch.end();
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(stages.standing(), None);
    drop(release);
}
