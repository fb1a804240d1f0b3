//! Who the host is to a broker that asks: TLS, client certificates, passwords, tokens. The two services walk the saga over
//! every way that the settings have; where a way is barred the host stays up, takes orders, says once why and what to
//! do, and goes on by itself as soon as it is open.
//!
//! - An own authority; client certificates; PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, each over TLS and without; tokens
//!   (OAUTHBEARER), good for a few seconds, so that they are renewed several times.
//! - Secrets come from a file or from the environment, and are seen nowhere: not in the log at its most talkative, with
//!   librdkafka's own debugging, nor in `saga config`, `/readyz`, texts of errors or the process' command line.
//! - What is put right on the broker (a password, a certificate) or in the settings (a client certificate) lets the orders out that
//!   were taken meanwhile.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use saga_testkit::broker::{Broker, Security, Settings, Validity};
use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::until_ready;
use crate::readiness_and_log::{lines, until_said};
use crate::saga::{Saga, decided, place, register, state};
use crate::secured_broker::{
    ANN, CERTIFIED, CLIENT_SECRET, LIFETIME_S, PASSWORD, Secured, Way, shared, tls,
};
use crate::support::{self, Host, request};

/// The warning that an eavesdropper learns the password or the token.
const READABLE: &str = "the connection to Kafka is not encrypted";

/// A host that finds no way at its start waits for so long, when there is one, for who may have read before.
const SESSION: Duration = Duration::from_secs(3);

pub fn tests() -> Vec<Test> {
    tests![
        // The longest one first: it starts and stops a broker of its own.
        own: a_broker_with_a_bad_certificate_is_told_of_until_it_has_a_good_one,
            certificates_of_a_broker_and_of_a_client,
            a_client_without_a_good_certificate_is_told_so_and_loses_nothing,
            passwords_over_tls_and_without,
            a_wrong_password_is_said_once_and_works_when_the_user_has_it,
            tokens_are_renewed_before_they_expire,
            a_token_that_is_not_given_is_said,
            secrets_are_seen_nowhere,
    ]
}

/// The two services, each on its way, after an order that was approved and one that was not.
struct Walked {
    // Ended before their directories go.
    customers: Host,
    orders: Host,
    ann: u64,
    _saga: Saga,
}

fn walk(secured: &Secured, ways: [&Way; 2]) -> Walked {
    let saga = Saga::new(&secured.cluster, 1);
    let [customers, orders] = ways;
    let customers = customers.take(saga.service("customer")).start();
    let orders = orders.take(saga.service("order")).start();
    let ann = register(&customers, json!(100));
    assert_eq!(decided(&orders, place(&orders, ann, json!(60))), "APPROVED");
    assert_eq!(decided(&orders, place(&orders, ann, json!(60))), "REJECTED");
    until_ready(&[&customers, &orders]);
    Walked {
        customers,
        orders,
        ann,
        _saga: saga,
    }
}

fn certificates_of_a_broker_and_of_a_client() {
    let secured = shared();
    walk(&secured, [&secured.tls(), &secured.tls()]);
    let certificate = secured.certificate(CERTIFIED[0], Validity::Valid);
    let way = secured.mutual(Some(&certificate));
    walk(&secured, [&way, &way]);
}

fn a_client_without_a_good_certificate_is_told_so_and_loses_nothing() {
    let secured = shared();
    let saga = Saga::new(&secured.cluster, 1).session(SESSION);
    let good = secured.certificate(CERTIFIED[1], Validity::Valid);
    let expired = secured.certificate("expired", Validity::Expired);
    let mut placed = Vec::new();
    for certificate in [None, Some(&expired)] {
        let way = secured.mutual(certificate);
        let orders = way.take(saga.service("order")).start();
        placed.push(place(&orders, 1, json!(1)));
        until_said(&orders, &[way.bootstrap(), "`certificate_file`"]);
        assert_eq!(state(&orders, placed[0]), "PENDING");
        assert!(orders.stop().success());
    }
    let way = secured.mutual(Some(&good));
    let orders = way.take(saga.service("order")).start();
    let customers = way.take(saga.service("customer")).start();
    for id in placed {
        assert_eq!(decided(&orders, id), "REJECTED", "nobody had registered");
    }
    until_ready(&[&orders]);
    drop(customers);
}

fn passwords_over_tls_and_without() {
    let secured = shared();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let way = |is_tls| secured.password(is_tls, mechanism, ANN, PASSWORD);
        let walked = walk(&secured, [&way(true), &way(false)]);
        assert_eq!(lines(&walked.customers, READABLE), Vec::<String>::new());
        let said = lines(&walked.orders, READABLE);
        let expected = usize::from(mechanism == "PLAIN");
        assert_eq!(said.len(), expected, "{mechanism}: {said:?}");
        assert!(said.iter().all(|line| line.contains("[kafka.tls]")));
    }
}

fn a_wrong_password_is_said_once_and_works_when_the_user_has_it() {
    const USER: &str = "forgetful";
    const NEW: &str = "Password-that-is-new";
    let secured = shared();
    let saga = Saga::new(&secured.cluster, 1).session(SESSION);
    let customers = secured.tls().take(saga.service("customer")).start();
    let ann = register(&customers, json!(100));
    let way = secured.password(true, "SCRAM-SHA-512", USER, NEW);
    let orders = way.take(saga.service("order")).start();
    let id = place(&orders, ann, json!(10));
    let said = until_said(&orders, &[way.bootstrap(), "`username`", "password"]);
    assert!(
        said.contains("nothing is lost") && !said.contains(NEW),
        "{said}"
    );
    assert_eq!(state(&orders, id), "PENDING");

    let change = format!("SCRAM-SHA-512=[password={NEW}]");
    let arguments = ["--alter", "--entity-type", "users", "--entity-name", USER];
    let arguments = [arguments.as_slice(), &["--add-config", &change]].concat();
    secured
        .broker
        .tool("kafka-configs", &arguments, "")
        .unwrap();
    let rights = ["--add", "--allow-principal", "User:forgetful"];
    let all = ["--operation", "All", "--topic", "*", "--group", "*"];
    let arguments = [rights.as_slice(), &all].concat();
    secured.broker.tool("kafka-acls", &arguments, "").unwrap();
    assert_eq!(decided(&orders, id), "APPROVED");
    until_ready(&[&orders]);
    let said = lines(&orders, "SASL authentication error");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(!orders.log().contains(NEW));
}

fn tokens_are_renewed_before_they_expire() {
    let secured = shared();
    let before = secured.issuer.issued();
    let walked = walk(&secured, [&secured.token(true), &secured.token(false)]);
    assert_eq!(lines(&walked.orders, READABLE).len(), 1);
    assert_eq!(lines(&walked.customers, READABLE), Vec::<String>::new());
    let (walked_by, first) = (Instant::now(), secured.issuer.issued());
    assert!(first > before);
    // Longer than any token lasts that they can have now, and the one after it.
    while walked_by.elapsed() < Duration::from_secs(2 * LIFETIME_S) {
        let id = place(&walked.orders, walked.ann, json!(0.01));
        assert_eq!(decided(&walked.orders, id), "APPROVED");
    }
    // Each host has a consumer, a producer and a watch over the brokers.
    assert!(secured.issuer.issued() >= first + 6);
    until_ready(&[&walked.customers, &walked.orders]);
}

fn a_token_that_is_not_given_is_said() {
    let secured = shared();
    let saga = Saga::new(&secured.cluster, 1).session(SESSION);
    // Nobody listens on port 1.
    let nowhere = "http://127.0.0.1:1/token";
    let refused = secured
        .token(false)
        .with("kafka.sasl.client_secret", "Not-The-Secret");
    let away = secured
        .token(false)
        .with("kafka.sasl.token_endpoint", nowhere);
    let mut placed = Vec::new();
    for way in [refused, away] {
        let orders = way.take(saga.service("order")).start();
        placed.push(place(&orders, 1, json!(1)));
        until_said(&orders, &["`token_endpoint`", "`client_id`"]);
        assert_eq!(state(&orders, placed[0]), "PENDING");
        assert!(!orders.log().contains("Not-The-Secret"));
        assert!(orders.stop().success());
    }
    let orders = secured.token(false).take(saga.service("order")).start();
    let customers = secured.tls().take(saga.service("customer")).start();
    for id in placed {
        assert_eq!(decided(&orders, id), "REJECTED", "nobody had registered");
    }
    drop(customers);
}

/// Exit code and everything that a call of the program says.
fn call(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The command line of a process, which everybody on the machine can see.
fn command_line(host: &Host) -> String {
    let bytes = std::fs::read(format!("/proc/{}/cmdline", host.id())).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn secrets_are_seen_nowhere() {
    let secured = shared();
    let saga = Saga::new(&secured.cluster, 1).property("debug", "all");
    let file = saga.data("password.txt");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    // What a client sends to the issuer, of which the secret can be had again.
    let basic = "YW5uOkxvbmctQ2xpZW50LVNlY3JldC1PZi1Bbm4=";
    // And how every token begins.
    let secrets = [PASSWORD, CLIENT_SECRET, basic, "eyJ"];
    let hidden = |what: &str, said: &str| {
        for secret in secrets {
            assert!(!said.contains(secret), "{what} says {secret}:\n{said}");
        }
    };
    let by_file = secured
        .login(true, "PLAIN")
        .with("kafka.sasl.username", ANN)
        .with("kafka.sasl.password_file", file.display());
    let by_token = secured.token(true);
    let customers = by_token
        .take(saga.service("customer"))
        .setting("log.level", "trace");
    let orders = by_file
        .take(saga.service("order"))
        .setting("log.level", "trace");
    let (customers, orders) = (customers.start(), orders.start());
    let ann = register(&customers, json!(100));
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    for (host, property) in [
        (&customers, "sasl.oauthbearer.client.secret"),
        (&orders, "sasl.password"),
    ] {
        // So that it is worth looking.
        host.log_until(&format!("{property} = [redacted]"));
        hidden("the log", &host.log());
        let readiness = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
        hidden("/readyz", &readiness.text());
        hidden("the command line", &command_line(host));
    }
    assert!(orders.stop().success() && customers.stop().success());

    let config = |settings: &[(&str, &str)]| {
        let mut command = support::saga();
        command.args(["config", "--kafka", "localhost:9092"]);
        for (name, value) in settings {
            command.env(format!("SAGA__KAFKA__{name}"), value);
        }
        call(&mut command)
    };
    let file = file.display().to_string();
    let user = [("SASL__MECHANISM", "PLAIN"), ("SASL__USERNAME", ANN)];
    let given = ("SASL__PASSWORD", PASSWORD);
    let from_file = ("SASL__PASSWORD_FILE", file.as_str());
    let of_a_key = ("TLS__KEY_PASSWORD", PASSWORD);
    let (code, said) = config(&[user[0], user[1], given, of_a_key]);
    assert_eq!(code, Some(0), "{said}");
    hidden("saga config", &said);
    let (code, said) = config(&[user[0], user[1], from_file]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&file), "{said}");
    hidden("saga config", &said);
    let (code, said) = config(&[user[0], user[1], given, from_file]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("password_file"), "{said}");
    hidden("the error", &said);
    let (code, said) = config(&[
        ("SASL__MECHANISM", "OAUTHBEARER"),
        ("SASL__CLIENT_ID", ANN),
        ("SASL__CLIENT_SECRET", CLIENT_SECRET),
        ("SASL__TOKEN_ENDPOINT", "no URL"),
        given,
    ]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("TOKEN_ENDPOINT"), "{said}");
    hidden("the error", &said);

    // The quote at its end is missing.
    let broken = saga.data("broken.toml");
    let text = format!("[kafka.sasl]\npassword = \"{PASSWORD}\n");
    std::fs::write(&broken, text).unwrap();
    let broken = broken.display().to_string();
    let (code, said) = call(support::saga().args(["config", "--config", &broken]));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains(&broken) && said.contains("line 2"), "{said}");
    hidden("the error", &said);
}

fn a_broker_with_a_bad_certificate_is_told_of_until_it_has_a_good_one() {
    let security = Security {
        certificate: Validity::Expired,
        ..Security::default()
    };
    let broker = Broker::start(&Settings {
        security: Some(security),
        ..Settings::default()
    });
    let broker = broker.unwrap();
    let saga = Saga::new(&Cluster::at(broker.bootstrap()), 1).session(SESSION);
    let way = tls(&broker);
    let start = |service| way.take(saga.service(service)).start();
    let is_told_of = |host: &Host, times: usize| {
        until("the certificate is reported", || {
            lines(host, "`ca_file`").len() >= times
        });
        let said = lines(host, "`ca_file`");
        let is_whole =
            |line: &String| line.contains("certificate") && line.contains("openssl s_client");
        assert!(
            said.len() == times && said.iter().all(is_whole),
            "{said:#?}"
        );
    };
    let (customers, orders) = (start("customer"), start("order"));
    let ann = register(&customers, json!(100));
    let id = place(&orders, ann, json!(1));
    is_told_of(&customers, 1);
    is_told_of(&orders, 1);
    assert_eq!(state(&orders, id), "PENDING");
    // The broker takes it while it runs.
    broker.certify(Validity::Valid).unwrap();
    assert_eq!(decided(&orders, id), "APPROVED");
    until_ready(&[&customers, &orders]);

    // Hosts that had a connection meet a bad one.
    broker.stop().unwrap();
    broker.certify(Validity::OtherAuthority).unwrap();
    broker.start_again().unwrap();
    let id = place(&orders, ann, json!(1));
    is_told_of(&customers, 2);
    is_told_of(&orders, 2);
    broker.certify(Validity::Valid).unwrap();
    assert_eq!(decided(&orders, id), "APPROVED");
    until_ready(&[&customers, &orders]);

    // The connections that are open stay so.
    broker.certify(Validity::OtherName).unwrap();
    assert!(orders.stop().success());
    let orders = start("order");
    let id = place(&orders, ann, json!(1));
    is_told_of(&orders, 3);
    assert_eq!(state(&orders, id), "PENDING");
    broker.certify(Validity::Valid).unwrap();
    assert_eq!(decided(&orders, id), "APPROVED");
    until_ready(&[&customers, &orders]);
}
