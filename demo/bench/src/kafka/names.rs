//! Other names for the saga's topics and groups, so that several sets of hosts share a broker.
//!
//! Must not know: hosts.

/// Names of the two topics on the broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicNames<'a> {
    /// The name for `orderTopic`.
    pub(crate) orders: &'a str,
    /// The name for `customerTopic`.
    pub(crate) answers: &'a str,
}

impl TopicNames<'_> {
    /// The groups that read them: the customer's two, and the order's.
    pub(crate) fn groups(&self) -> [String; 3] {
        let Self { orders, answers } = self;
        [
            format!("of-{orders}"),
            format!("cancellations-of-{orders}"),
            format!("of-{answers}"),
        ]
    }

    /// The settings of a participant for these topics. The groups have other names too: the offsets of
    /// their own names belong to other hosts, with another store.
    pub(crate) fn settings(&self, participant: &str) -> String {
        let Self { orders, answers } = self;
        let [of_orders, of_cancellations, of_answers] = self.groups();
        let groups = match participant {
            "order" => format!("customer = \"{of_answers}\"\n"),
            _ => format!("order = \"{of_orders}\"\ncancellation = \"{of_cancellations}\"\n"),
        };
        format!(
            "[participants.{participant}.topics]\n\
             orderTopic = \"{orders}\"\n\
             customerTopic = \"{answers}\"\n\
             [participants.{participant}.groups]\n\
             {groups}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_groups_of_a_participant_get_other_names() {
        let topics = TopicNames {
            orders: "o",
            answers: "a",
        };
        assert_eq!(
            topics.settings("order"),
            "[participants.order.topics]\norderTopic = \"o\"\ncustomerTopic = \"a\"\n\
             [participants.order.groups]\ncustomer = \"of-a\"\n"
        );
        let customer = topics.settings("customer");
        let groups = "order = \"of-o\"\ncancellation = \"cancellations-of-o\"\n";
        assert!(customer.ends_with(groups), "{customer}");
    }
}
