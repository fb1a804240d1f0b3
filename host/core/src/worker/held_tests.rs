use super::*;

fn held(parked: &[(&str, usize)]) -> HeldKeys {
    let of_key = |(key, messages): &(&str, usize)| ParkedKey {
        key: (*key).to_owned(),
        messages: *messages,
        letter: None,
        is_requested: false,
    };
    HeldKeys::new(parked.iter().map(of_key))
}

#[test]
fn stored_keys_are_ready_and_offered_one_by_one() {
    let now = Duration::from_secs(100);
    let mut held = held(&[("a", 2), ("b", 1)]);
    assert!(held.holds("a") && !held.holds("c"));
    assert!(held.next_due().is_some());
    assert_eq!(held.next(now).as_deref(), Some("a"));
    held.wait("a", Until::Ready);
    assert_eq!(held.next(now).as_deref(), Some("b"));
    held.remove("b");
    assert_eq!(held.next(now).as_deref(), Some("a"));
    assert_eq!((held.next(now), held.next_due()), (None, None));
}

#[test]
fn a_message_that_the_rules_do_not_take_holds_nothing_back_and_waits_for_others() {
    let now = Duration::from_secs(100);
    let mut held = held(&[("a", 2)]);
    assert_eq!(held.next(now).as_deref(), Some("a"));
    if let Some(a) = held.get("a") {
        a.pass_over(7);
    }
    held.wait("a", Until::Ready);
    assert_eq!(held.next(now).as_deref(), Some("a"));
    assert_eq!(held.get("a").map(|a| a.after), Some(7));
    held.remove("a");
    assert!(!held.holds("a"));
    held.wake_all();
    assert_eq!(held.next(now).as_deref(), Some("a"));
    assert_eq!(held.get("a").map(|a| a.after), Some(0));
}

#[test]
fn a_key_waits_for_its_time_or_its_generation() {
    let now = Duration::from_secs(100);
    let later = now + Duration::from_secs(9);
    let mut held = HeldKeys::default();
    held.park("a", 1, Trial::default(), Until::Time(later));
    held.park("b", 2, Trial::default(), Until::Generation);
    held.park("b", 3, Trial::default(), Until::Time(now));
    assert_eq!((held.messages("b"), held.next_due()), (2, Some(later)));
    assert!(held.is_unreadable("b") && !held.is_unreadable("a"));
    assert_eq!(held.next(now), None);
    held.wake("a");
    assert_eq!(held.next(now).as_deref(), Some("a"));
    held.wait("a", Until::Time(later));
    assert_eq!(held.next(later).as_deref(), Some("a"));
    held.wake_all();
    let mut both = [held.next(now), held.next(now)];
    both.sort();
    assert_eq!(both, [Some("a".to_owned()), Some("b".to_owned())]);
    assert_eq!(
        held.next(later),
        None,
        "what it waited for before is forgotten"
    );
}

fn tried(attempts: u32) -> Trial {
    Trial {
        attempts,
        ..Trial::default()
    }
}

#[test]
fn an_entry_that_is_not_written_concerns_only_its_key_and_only_where_it_changed_the_first_message()
{
    let now = Duration::from_secs(100);
    let retry = now + Duration::from_secs(1);
    let later = now + Duration::from_secs(9);
    let mut held = held(&[("idle", 1)]);
    assert_eq!(held.next(now).as_deref(), Some("idle"));
    held.wait("idle", Until::Time(later));
    held.park("unreadable", 1, tried(0), Until::Generation);
    held.park("retried", 2, tried(3), Until::Time(later));
    held.park("settled", 3, tried(4), Until::Ready);
    held.park("new", 5, tried(2), Until::Ready);
    // One more message follows for each key, and is in flight.
    for key in ["unreadable", "retried", "settled"] {
        held.park(key, 6, Trial::default(), Until::Ready);
    }
    assert_eq!(held.next(now).as_deref(), Some("settled"));
    if let Some(settled) = held.get("settled") {
        settled.settled(7, 7);
    }
    held.broke("unreadable", 6, retry);
    held.broke("retried", 6, retry);
    held.broke("settled", 6, retry);
    held.broke("new", 5, retry);
    held.broke("none", 5, retry);
    assert_eq!(
        held.next(now),
        None,
        "nothing is tried again without a wait"
    );
    assert!(held.is_unreadable("unreadable"));
    assert_eq!(held.get("settled").map(|held| held.after), Some(0));
    assert_eq!(held.get("new").map(|held| held.trial), Some(tried(2)));
    let mut both = [held.next(retry), held.next(retry)];
    both.sort();
    assert_eq!(both, [Some("new".to_owned()), Some("settled".to_owned())]);
    assert_eq!(held.next(retry), None);
    assert_eq!(held.get("retried").map(|held| held.trial), Some(tried(3)));
    assert_eq!(held.next_due(), Some(later));
}

#[test]
fn an_offer_ends_when_its_entry_breaks_or_another_generation_comes() {
    let now = Duration::from_secs(100);
    let mut held = HeldKeys::default();
    held.park("k", 2, Trial::default(), Until::Ready);
    assert_eq!(held.next(now).as_deref(), Some("k"));
    assert!(held.is_offered("k"));
    held.broke("k", 2, now);
    assert!(!held.is_offered("k"));
    assert_eq!(held.next(now).as_deref(), Some("k"));
    held.wake_all();
    assert!(!held.is_offered("k"));
}

#[test]
fn a_swap_begins_anew_only_the_attempts_of_what_could_not_be_read() {
    let now = Duration::from_secs(100);
    let mut held = HeldKeys::default();
    held.park("retried", 1, tried(3), Until::Time(now));
    held.park("unreadable", 2, tried(3), Until::Generation);
    held.wake_all();
    let attempts = |held: &mut HeldKeys, key| held.get(key).map(|held| held.trial.attempts);
    // The attempt that follows is not counted.
    assert_eq!(attempts(&mut held, "retried"), Some(2));
    assert_eq!(attempts(&mut held, "unreadable"), Some(0));
}

#[test]
fn a_full_key_is_reported_again_after_a_tenth_is_settled() {
    let mut held = Held::new(20, Until::Ready);
    assert!(held.is_newly_full() && !held.is_newly_full());
    held.settled(1, 1);
    held.settled(2, 2);
    assert!(!held.is_newly_full());
    held.settled(3, 3);
    held.settled(4, 4);
    assert!(held.is_newly_full());
}

#[test]
fn what_other_hosts_have_parked_settled_or_asked_for_is_loaded_again() {
    let now = Duration::from_secs(100);
    let stored = |key: &str, letter, is_requested| ParkedKey {
        key: key.into(),
        messages: 1,
        letter,
        is_requested,
    };
    let mut held = HeldKeys::default();
    for (key, ticket) in [("settled", 1), ("in flight", 9), ("same", 2)] {
        held.park(key, ticket, Trial::default(), Until::Time(now * 2));
    }
    for key in ["blocked", "redriven"] {
        held.park(key, 3, Trial::default(), Until::Ready);
        assert_eq!(held.next(now).as_deref(), Some(key));
        held.block(key, Blocks::All);
    }
    let blocks = Some(Blocks::All);
    let found = vec![
        stored("same", None, false),
        stored("blocked", blocks, false),
        stored("redriven", blocks, true),
        stored("new", None, false),
    ];
    // The entry that parks "in flight" was not settled when this was read.
    held.refresh(found, 5);
    let mut ready = Vec::from_iter(std::iter::from_fn(|| held.next(now)));
    ready.sort();
    assert_eq!(ready, ["new", "redriven", "settled"]);
    assert!(held.holds("in flight") && held.holds("same") && held.is_blocked("blocked"));
}
