//! `saga stuck` where records travel over Kafka: what was given up waits as a dead letter, and as nothing else.

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, look};
use crate::commands::{asks, call};
use crate::expect::until;
use crate::mock_kafka::cluster;
use crate::store_file::number;

#[test]
fn a_record_that_was_given_up_over_kafka_waits_as_a_dead_letter_until_that_ends() {
    let (directory, cluster) = (tempfile::tempdir().unwrap(), cluster());
    for topic in ["chameleonTopic", "chameleonTopic.chameleon.dlq"] {
        // The MockCluster creates none by itself.
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    let command =
        |name: &str| json!({"name": name, "method": "POST", "path": format!("/{name}/{{key}}")});
    let publish = |body: Value| json!({"publish": {"event_type": "counted", "body": body}});
    let build = Chameleon::new().with(json!({
        "commands": [
            command("good"), command("bad"),
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
        ],
        "publications": [{"event_type": "counted", "topic": "chameleonTopic"}],
        "handle": {
            "good": publish(json!({"key": "x"})),
            "bad": publish(json!({"key": "x", "bad": true})),
            "counted": [{"if-body": [{"bad": true}, {"malformed": "as it is told"}]}, {"count": 1}],
        },
    }));
    let path = directory.path().join("chameleon.wasm");
    build.write(&path);
    let data = directory.path().join("data");
    let host = chameleon::start(&path, &data)
        .arguments(&["--kafka", &cluster.bootstrap_servers()])
        .start();
    let post = |path: &str| {
        let response = host.post("chameleon", path, &json!({}));
        assert_eq!(response.status, 200, "{}", response.text());
    };
    post("/good/a");
    until("the first one is decided", || {
        look(&host, "x")["count"] == 1
    });
    post("/bad/a");
    until("the second one is given up", || {
        number(&data, "SELECT count(*) FROM dead_letters") == 1
    });
    let stuck = || {
        let (code, out, err) = call(&mut asks(&data, &["stuck", "--older-than", "0s", "--json"]));
        assert_eq!(err, "", "{out}");
        let told: Value = serde_json::from_str(&out).unwrap();
        (code, told["sagas"].clone())
    };
    // The relay has noted what it published.
    until("only the dead letter is waited for", || {
        let (_, sagas) = stuck();
        let waits: Vec<_> = (sagas.as_array().unwrap().iter())
            .flat_map(|saga| saga["waits"].as_array().unwrap())
            .collect();
        waits.len() == 1 && waits[0]["kind"] == "dead-letter" && waits[0]["letter"] == 1
    });
    let discard = ["dead-letters", "discard", "chameleon", "1"];
    let (code, out, err) = call(&mut asks(&data, &discard));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(stuck(), (0, json!([])), "given up for good, not undecided");
    assert!(host.stop().success());
    assert_eq!(stuck(), (0, json!([])), "and after the host");
}
