//! `saga hosts`: the hosts on a store, from one of them or from the store.

use super::operate::{HostAddress, ask_or_read, stored_at, unreadable};
use super::reply::{CommandFailure, json_line, shown};
use crate::admin::hosts::{HostReport, HostsReport, PartitionReport};
use crate::base::clock::rfc3339_seconds;
use crate::base::printable::{Lines, escaped};
use crate::config::Token;
use crate::store::StoreLocation;

/// The hosts, from the one that can be asked, else from the store.
pub(super) fn hosts(
    host: &HostAddress,
    token: Option<Token>,
    json: bool,
) -> Result<String, CommandFailure> {
    let of_host = |reply| shown(reply, json, text);
    let of_store = |data: &StoreLocation| {
        let hosts = stored_at(data)?.hosts().map_err(unreadable)?;
        let report = HostsReport::of(hosts, None);
        match json {
            true => json_line(&report),
            false => Ok(text(&report)),
        }
    };
    ask_or_read((host, token), "/hosts", of_host, of_store)
}

fn text(report: &HostsReport) -> String {
    let mut text = Lines::default();
    if report.hosts.is_empty() {
        text.add(format_args!("no host is there"));
    }
    for host in &report.hosts {
        one(&mut text, host);
    }
    text.text()
}

fn one(text: &mut Lines, host: &HostReport) {
    let HostReport {
        name,
        since,
        silent_ms,
        ..
    } = host;
    text.add(format_args!(
        "{}{}  since {}, {} {} s ago",
        escaped(name),
        if host.is_this { " (this host)" } else { "" },
        rfc3339_seconds(*since),
        if host.is_gone {
            "GONE: last seen"
        } else {
            "seen"
        },
        silent_ms / 1_000
    ));
    text.add(format_args!("  runs {}", list(&host.participants)));
    match &host.behind {
        Some(why) => text.add(format_args!(
            "  BEHIND: it can't take over the active rules: {}",
            escaped(why)
        )),
        None if host.is_current => {}
        None => text.add(format_args!("  does not decide by the active rules yet")),
    }
    text.add(format_args!("  duties: {}", list(&host.duties)));
    text.add(format_args!("  reads {}", list(&read(&host.partitions))));
}

fn list(all: &[String]) -> String {
    match all {
        [] => "none".into(),
        all => escaped(&all.join(", ")).into_owned(),
    }
}

/// The partitions, together by topic and group: `orderTopic 0 2 (customer)`.
fn read(partitions: &[PartitionReport]) -> Vec<String> {
    let mut told: Vec<(&str, &str, String)> = Vec::new();
    for one in partitions {
        let is_same = |(topic, group, _): &&mut (&str, &str, String)| {
            (*topic, *group) == (&*one.topic, &*one.group)
        };
        match told.iter_mut().find(is_same) {
            Some((_, _, numbers)) => *numbers += &format!(" {}", one.partition),
            None => told.push((&one.topic, &one.group, one.partition.to_string())),
        }
    }
    let told = told.into_iter();
    told.map(|(topic, group, numbers)| format!("{topic} {numbers} ({group})"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_with_what_it_does_and_what_is_wrong_with_it() {
        let partition = |topic: &str, partition| PartitionReport {
            topic: topic.into(),
            partition,
            participant: "order".into(),
            group: "orders".into(),
        };
        let first = HostReport {
            name: "a:1".into(),
            is_this: true,
            since: 0,
            silent_ms: 300,
            is_gone: false,
            is_current: true,
            behind: None,
            participants: vec!["customer".into(), "order".into()],
            duties: vec!["pruning".into(), "timers order".into()],
            partitions: vec![partition("t", 0), partition("t", 2), partition("u", 1)],
        };
        let gone = HostReport {
            name: "b:2".into(),
            is_this: false,
            silent_ms: 7_900,
            is_gone: true,
            is_current: false,
            behind: Some("order: no bytes".into()),
            duties: Vec::new(),
            partitions: Vec::new(),
            ..first.clone()
        };
        let told = text(&HostsReport {
            hosts: vec![first, gone],
        });
        assert_eq!(
            told,
            "a:1 (this host)  since 1970-01-01T00:00:00Z, seen 0 s ago\n  runs customer, order\n  \
             duties: pruning, timers order\n  reads t 0 2 (orders), u 1 (orders)\n\
             b:2  since 1970-01-01T00:00:00Z, GONE: last seen 7 s ago\n  runs customer, order\n  \
             BEHIND: it can't take over the active rules: order: no bytes\n  duties: none\n  reads none\n"
        );
        assert_eq!(
            text(&HostsReport { hosts: Vec::new() }),
            "no host is there\n"
        );
    }
}
