//! Starting and stopping: ports, what is said on standard output, signals, the drain.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::expect::{address, connect, path_of, until};
use crate::store_file;
use crate::support::{Host, PATIENCE, Start, component, request, saga, signal};

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

fn register(host: &Host) -> u16 {
    host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 1000}}),
    )
    .status
}

/// A request that the host has begun to serve: it asked for the body, which is still to come.
fn begin_order(host: &Host, body: &str) -> TcpStream {
    let url = format!("{}/orders", host.url("order"));
    let mut stream = connect(&url);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        path_of(&url),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Says whether nobody listens there any more.
fn is_closed(url: &str) -> bool {
    TcpStream::connect(address(url)).is_err()
}

const ORDER: &str = r#"{"customerId": 1, "orderTotal": {"amount": 10}}"#;

#[test]
fn standard_output_lists_the_addresses_and_then_ready() {
    let data = tempfile::tempdir().unwrap();
    let mut child = start(data.path())
        .program()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let (customer, order) = (line(), line());
    let admin = line();
    let admin = admin.strip_prefix("admin ").unwrap();
    assert_eq!(line(), "ready");
    assert_eq!(
        request("GET", &format!("{admin}/livez"), &[], b"").status,
        200
    );
    for (line, name) in [(customer, "customer"), (order, "order")] {
        let url = line.strip_prefix(&format!("listening {name} ")).unwrap();
        assert!(
            url.starts_with("http://127.0.0.1:")
                && url.ends_with(&format!("/customer-order/{name}-service")),
            "{line}"
        );
        assert_eq!(request("GET", &format!("{url}/none"), &[], b"").status, 404);
    }
    signal(child.id(), "TERM");
    assert!(lines.next().is_none(), "nothing more is said there");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_service_manager_is_notified_of_readiness_and_stop() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = start(data.path()).program();
    command.env("NOTIFY_SOCKET", &path);
    let host = Host::from_command(command, data.path());
    let told = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..length].into()).unwrap()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(register(&host), 201);
    signal(host.id(), "TERM");
    assert_eq!(told(), "STOPPING=1");
    assert!(host.wait().success());
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, said) = {
        let child = saga()
            .args(["run", "--data", data.path().to_str().unwrap(), "--plugin"])
            .arg(format!("order={}", component("order").display()))
            .arg(format!("--listen=order={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        crate::support::output(child)
    };
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(
        said.contains(&format!(
            "order: port {} on 127.0.0.1 is in use",
            address.port()
        )),
        "{said}"
    );
    assert!(said.contains("--listen order=ADDRESS:PORT"), "{said}");
    // It held the store meanwhile; the next start finds nothing in its way.
    let host = Start::new(&["order"], data.path()).start();
    assert!(host.stop().success());
}

#[test]
fn a_request_in_flight_is_answered_before_the_host_ends() {
    for name in ["TERM", "INT"] {
        let data = tempfile::tempdir().unwrap();
        let host = start(data.path()).setting("drain_seconds", 600).start();
        assert_eq!(register(&host), 201);
        let mut stream = begin_order(&host, ORDER);
        signal(host.id(), name);
        until("the listeners are closed", || {
            is_closed(host.url("order")) && is_closed(host.url("customer"))
        });
        stream.write_all(ORDER.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 201 Created\r\n"),
            "SIG{name}: {answer}"
        );
        assert!(
            answer.ends_with(
                r#"{"orderId":1,"orderState":"PENDING","customerId":1,"orderTotal":10}"#
            ),
            "{answer}"
        );
        assert_eq!(host.wait().code(), Some(0), "SIG{name}");

        let host = start(data.path()).start();
        host.get_until("order", "/orders/1", |response| {
            response.json()["orderState"] == "APPROVED"
        });
        assert!(host.stop().success());
    }
}

#[test]
fn orders_placed_during_a_drain_are_kept_and_decided_after_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    assert_eq!(register(&host), 201);
    let url = format!("{}/orders", host.url("order"));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                let body = br#"{"customerId": 1, "orderTotal": {"amount": 0.01}}"#;
                while let Ok(response) = crate::support::try_request("POST", &url, &[], body) {
                    match response.status {
                        201 => acknowledged.push(response.json()["orderId"].as_u64().unwrap()),
                        status => assert_eq!(status, 503, "{}", response.text()),
                    }
                }
                acknowledged
            })
        })
        .collect();
    host.get_until("order", "/orders/100", |response| response.status == 200);
    assert_eq!(host.stop().code(), Some(0));
    let acknowledged: Vec<u64> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    assert!(acknowledged.len() >= 100, "{}", acknowledged.len());

    let host = start(data.path()).start();
    for order in &acknowledged {
        let path = format!("/orders/{order}");
        host.get_until("order", &path, |response| {
            assert_eq!(response.status, 200, "order {order} is lost");
            response.json()["orderState"] == "APPROVED"
        });
    }
    assert!(host.stop().success());
}

#[test]
fn a_saga_that_was_left_in_the_middle_goes_on_after_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path()).start();
    assert_eq!(register(&host), 201);
    assert!(host.stop().success());
    // Nobody is there who could decide.
    let host = Start::new(&["order"], data.path()).start();
    assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
    assert!(host.stop().success());
    let host = Start::new(&["order"], data.path()).start();
    assert_eq!(
        host.get("order", "/orders/1").json()["orderState"],
        "PENDING"
    );
    assert!(host.stop().success());

    let host = Start::new(&["customer"], data.path()).start();
    host.get_until("customer", "/customer/1", |response| {
        response.json()["creditLimit"] == 990
    });
    assert!(host.stop().success());
    let host = Start::new(&["order"], data.path()).start();
    host.get_until("order", "/orders/1", |response| {
        response.json()["orderState"] == "APPROVED"
    });
    assert!(host.stop().success());
    assert_eq!(
        store_file::number(data.path(), "SELECT count(*) FROM inbox"),
        2
    );
}

#[test]
fn a_client_that_holds_its_connection_does_not_hold_up_the_drain() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).setting("drain_seconds", 600).start();
    let silent = connect(host.url("customer"));
    let mut idle = connect(host.url("order"));
    let head = format!(
        "GET {}/orders/1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        path_of(host.url("order"))
    );
    idle.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(idle.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 404 Not Found\r\n");
    assert_eq!(host.stop().code(), Some(0), "well within 600 s");
    drop((silent, idle));
}

#[test]
fn clients_that_stay_connected_have_half_of_the_drain_time() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).setting("drain_seconds", 5).start();
    let stream = begin_order(&host, ORDER);
    let asked = Instant::now();
    signal(host.id(), "TERM");
    host.log_until("did not close their connections in time");
    assert_eq!(host.wait().code(), Some(0));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(2_500), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(stream);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second, expected) in [
        ("TERM", "TERM", 143),
        ("INT", "TERM", 143),
        ("TERM", "INT", 130),
    ] {
        let data = tempfile::tempdir().unwrap();
        let host = start(data.path()).setting("drain_seconds", 600).start();
        assert_eq!(register(&host), 201);
        let stream = begin_order(&host, ORDER);
        signal(host.id(), first);
        host.log_until("draining; a second signal ends at once");
        signal(host.id(), second);
        assert_eq!(host.wait().code(), Some(expected), "{first}, {second}");
        drop(stream);
        let host = start(data.path()).start();
        assert_eq!(
            host.get("customer", "/customer/1").json()["creditLimit"],
            1000
        );
        assert!(host.stop().success());
    }
}

#[test]
fn a_host_runs_although_nobody_reads_its_output() {
    let data = tempfile::tempdir().unwrap();
    // Known beforehand, for nobody reads where it listens.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = saga()
        .args(["run", "--data", data.path().to_str().unwrap(), "--plugin"])
        .arg(format!("customer={}", component("customer").display()))
        .arg(format!("--listen=customer={address}"))
        .env("SAGA__LOG__LEVEL", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    until("the host listens", || TcpStream::connect(address).is_ok());
    let url = format!("http://{address}/customer-order/customer-service/customers");
    for _ in 0..3 {
        assert_eq!(
            request(
                "POST",
                &url,
                &[],
                br#"{"name": "Ann", "creditLimit": {"amount": 1}}"#
            )
            .status,
            201
        );
    }
    signal(child.id(), "TERM");
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if asked.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        store_file::number(data.path(), "SELECT count(*) FROM aggregates"),
        3
    );
}

#[test]
fn a_usage_error_has_its_exit_code_even_if_nobody_reads_standard_error() {
    let mut child = saga()
        .args(["run", "--data", ""])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(64));
}
