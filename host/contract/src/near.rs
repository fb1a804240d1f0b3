//! Suggestions for a misspelt event: similar names that are published.

/// Most events that are suggested.
const TOLD: usize = 3;

/// A published event.
#[derive(Debug, Clone, Copy)]
pub struct PublishedType<'a> {
    /// Its type.
    pub event_type: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// The publisher.
    pub by: &'a str,
}

/// Suggests a published event with a similar spelling, or else the events of the topic. None if
/// there are none.
#[must_use]
pub fn instead<'a>(
    event_type: &str,
    topic: &str,
    published: impl Iterator<Item = PublishedType<'a>> + Clone,
) -> Option<String> {
    spelling(event_type, topic, published.clone()).or_else(|| {
        let others: Vec<_> = published
            .filter(|event| event.topic == topic)
            .take(TOLD)
            .map(|event| format!("{} publishes `{}`", event.by, event.event_type))
            .collect();
        (!others.is_empty()).then(|| format!("on that topic {}", others.join(", ")))
    })
}

/// Suggests published events with a similar spelling, as a question.
#[must_use]
pub fn spelling<'a>(
    event_type: &str,
    topic: &str,
    published: impl Iterator<Item = PublishedType<'a>>,
) -> Option<String> {
    let meant: Vec<_> = published
        .filter(|event| is_near(event.event_type, event_type) && is_near(event.topic, topic))
        .take(TOLD)
        .map(
            |PublishedType {
                 event_type,
                 topic,
                 by,
             }| { format!("`{event_type}`, which {by} publishes on {topic}") },
        )
        .collect();
    (!meant.is_empty()).then(|| format!("did you mean {}?", meant.join(", or ")))
}

/// True if one name may be a misspelling of another: ignoring case and punctuation, they differ in
/// a letter or two, or one is the other with a prefix or suffix.
#[must_use]
pub fn is_near(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(letters);
    let shorter = one.len().min(other.len());
    if shorter >= 4 && (one.contains(&other) || other.contains(&one)) {
        return true;
    }
    one == other || strsim::osa_distance(&one, &other) <= shorter / 5
}

/// The number of letters in which two names differ, ignoring case and punctuation.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(&letters(one), &letters(other))
}

fn letters(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    // Enough for every topic and event type, and short enough to compare at once.
    letters.take(256).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: [PublishedType<'static>; 2] = [
        PublishedType {
            event_type: "saga.order.created",
            topic: "orderTopic",
            by: "order",
        },
        PublishedType {
            event_type: "shipment-left",
            topic: "shipments",
            by: "shipping",
        },
    ];

    #[test]
    fn what_is_spelt_nearly_so_is_asked_for() {
        let meant = "did you mean `saga.order.created`, which order publishes on orderTopic?";
        for (event_type, topic) in [
            ("order.created", "orderTopic"),
            ("saga.order.craeted", "orderTopic"),
            ("Saga.OrderCreated", "orderTopic"),
            ("saga-order-created", "ordersTopic"),
            ("saga.order.created", "order-topic"),
        ] {
            let found = instead(event_type, topic, ORDERS.into_iter());
            assert_eq!(found.as_deref(), Some(meant), "{event_type} {topic}");
        }
    }

    #[test]
    fn else_what_there_is_on_the_topic_is_told_and_nothing_of_other_topics() {
        assert_eq!(
            instead("paid", "shipments", ORDERS.into_iter()).as_deref(),
            Some("on that topic shipping publishes `shipment-left`")
        );
        for (event_type, topic) in [
            ("paid", "payments"),
            ("saga.order.created", "payments"),
            ("shipment-came", "orders"),
        ] {
            let found = instead(event_type, topic, ORDERS.into_iter());
            assert_eq!(found, None, "{event_type} {topic}");
        }
    }
}
