//! The documents of an API: they say what is really answered, follow a swap, and lead to pages; Swagger UI
//! loads nothing from elsewhere.

use std::collections::BTreeSet;

use saga_host::apidocs::problems::Kind;
use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::expect::{converse, path_of, problem};
use crate::support::{Host, Response, Start, request};

/// The document of a participant.
fn openapi(host: &Host, participant: &str) -> Value {
    let response = host.get(participant, "/openapi.json");
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    response.json()
}

/// Checks that an answer is one that the document promises for this command: status, media type, headers, body.
fn is_documented(document: &Value, method: &str, path: &str, response: &Response) {
    let operation = &document["paths"][path][method];
    let answer = &operation["responses"][response.status.to_string()];
    let what = format!("{method} {path} {}: {}", response.status, response.text());
    assert!(answer.is_object(), "undocumented: {what}");
    let media_type = response.header("content-type").unwrap();
    let content = &answer["content"][media_type];
    assert!(content.is_object(), "{media_type} is undocumented: {what}");
    let problems = errors(document, &content["schema"], &response.json());
    assert!(problems.is_empty(), "{what}\n{problems:?}");
    for (name, header) in answer["headers"].as_object().into_iter().flatten() {
        let sent = response.header(&name.to_lowercase());
        assert!(
            header["required"] != true || sent.is_some(),
            "{name}: {what}"
        );
    }
}

/// The errors of a value under a schema of the document.
fn errors(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors = validator.iter_errors(value);
    errors.map(|error| error.to_string()).collect()
}

/// Every reference in a document, and every place in it that has this name.
fn visit(value: &Value, name: &str, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(name).cloned());
            members.values().for_each(|value| visit(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, name, found)),
        _ => {}
    }
}

/// Checks what must hold of every document: references lead somewhere within it, operations have names of their own,
/// examples are as their schemas say.
fn is_sound(document: &Value) {
    let mut references = Vec::new();
    visit(document, "$ref", &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut names = Vec::new();
    visit(document, "operationId", &mut names);
    let several: BTreeSet<_> = names.iter().map(Value::to_string).collect();
    assert_eq!(several.len(), names.len(), "{names:?}");
    let mut contents = Vec::new();
    visit(document, "content", &mut contents);
    for media in contents
        .iter()
        .flat_map(|content| content.as_object().unwrap().values())
    {
        let named = media["examples"].as_object().into_iter().flatten();
        let examples = named.map(|(_, example)| &example["value"]);
        for example in examples.chain(media.get("example")) {
            assert_eq!(
                errors(document, &media["schema"], example),
                [""; 0],
                "{example}"
            );
        }
    }
}

#[test]
fn the_document_lists_all_requests_and_answers() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path()).start();
    let (customer, order) = (openapi(&host, "customer"), openapi(&host, "order"));
    for document in [&customer, &order] {
        is_sound(document);
        assert_eq!(document["openapi"], "3.1.0");
    }
    let servers = json!([{"url": path_of(host.url("order"))}]);
    assert_eq!(
        (&order["info"]["title"], &order["servers"]),
        (&json!("order"), &servers)
    );
    let place = &order["paths"]["/orders"]["post"];
    assert_eq!(place["operationId"], "place-order");
    assert_eq!(
        place["requestBody"]["content"]["application/json"]["example"],
        json!({"customerId": 1, "orderTotal": {"amount": 300}})
    );
    let statuses: Vec<_> = place["responses"].as_object().unwrap().keys().collect();
    assert_eq!(
        statuses,
        [
            "201", "400", "403", "404", "405", "408", "409", "413", "414", "415", "422", "431",
            "500", "503"
        ]
    );
    let unprocessable = place["responses"]["422"]["description"].to_string();
    for word in [
        "invalid-order-total",
        "invalid-body",
        "idempotency-key-reused",
    ] {
        assert!(unprocessable.contains(word), "{unprocessable}");
    }
    let read = &order["paths"]["/orders/{orderId}"]["get"];
    let id = &read["parameters"][0];
    assert_eq!(
        (&id["in"], &id["schema"]["type"], &id["schema"]["minimum"]),
        (&json!("path"), &json!("integer"), &json!(1))
    );
    assert!(read["responses"]["304"].is_object());

    let post = |participant: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let url = format!("{}{path}", host.url(participant));
        request("POST", &url, headers, body.as_bytes())
    };
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    for (headers, body, status) in [
        (
            &[][..],
            r#"{"name":"Ann","creditLimit":{"amount":10.25}}"#,
            201,
        ),
        (&[], r#"{"name":"Ann","creditLimit":{"amount":0.001}}"#, 422),
        (&[], r#"{"name":"","creditLimit":{"amount":-1}}"#, 422),
        (&[], "{", 400),
        (&[], "", 400),
        (&[("content-type", "text/plain")], "{}", 415),
        (&[], &large, 413),
    ] {
        let response = post("customer", "/customers", headers, body);
        assert_eq!(response.status, status, "{}", response.text());
        is_documented(&customer, "post", "/customers", &response);
    }
    let asked = post(
        "order",
        "/orders",
        &[],
        r#"{"customerId":1,"orderTotal":{"amount":10.25}}"#,
    );
    assert_eq!(asked.status, 201, "{}", asked.text());
    is_documented(&order, "post", "/orders", &asked);
    let waited = [("prefer", "wait=25")];
    let waited = post(
        "order",
        "/orders",
        &waited,
        r#"{"customerId":1,"orderTotal":{"amount":1}}"#,
    );
    assert!(waited.header("preference-applied").is_some());
    assert!(
        waited.json().get("customerId").is_none(),
        "what the read answers"
    );
    is_documented(&order, "post", "/orders", &waited);
    for id in ["1", "2", "3", "abc", "%ff"] {
        let read = host.get("order", &format!("/orders/{id}"));
        is_documented(&order, "get", "/orders/{orderId}", &read);
        let read = host.get("customer", &format!("/customer/{id}"));
        is_documented(&customer, "get", "/customer/{customerId}", &read);
    }
    let wrong = host.send("order", "DELETE", "/orders/1", "");
    is_documented(&order, "get", "/orders/{orderId}", &wrong);
    assert!(host.stop().success());
}

#[test]
fn the_document_of_another_domain_is_complete_too() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let document = openapi(&host, "booking");
    is_sound(&document);
    let code = &document["paths"]["/rooms/{code}"]["get"]["parameters"][0];
    assert_eq!(code["schema"]["type"], "string");
    let send = |method: &str, path: &str, template: &str, body: &str| {
        let response = host.send("booking", method, path, body);
        is_documented(&document, &method.to_lowercase(), template, &response);
        response.status
    };
    let room = r#"{"code":"A1","seats":4}"#;
    assert_eq!(send("PUT", "/rooms", "/rooms", room), 201);
    assert_eq!(send("PUT", "/rooms", "/rooms", room), 409);
    let hold = (
        "/rooms/A1/hold",
        "/rooms/{code}/hold",
        r#"{"by":"Eve","ttlMillis":3600000}"#,
    );
    assert_eq!(send("POST", hold.0, hold.1, hold.2), 202);
    assert_eq!(send("POST", hold.0, hold.1, hold.2), 409);
    assert_eq!(
        send("POST", "/rooms/A1/confirm", "/rooms/{code}/confirm", ""),
        200
    );
    assert_eq!(send("GET", "/rooms/A1", "/rooms/{code}", ""), 200);
    assert_eq!(send("DELETE", "/rooms/A1", "/rooms/{code}", ""), 200);
    assert_eq!(send("GET", "/rooms/A1", "/rooms/{code}", ""), 404);
    assert!(host.stop().success());
}

#[test]
fn the_events_are_described_under_their_real_names() {
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("saga.toml");
    let text = "[participants.order.topics]\norderTopic = \"shop.orders\"\n[participants.order.groups]\ncustomer = \"shop\"\n";
    std::fs::write(&settings, text).unwrap();
    let host = Start::new(&["order", "booking"], &directory.path().join("data"))
        .arguments(&["--config", settings.to_str().unwrap()])
        .start();
    let response = host.get("order", "/asyncapi.json");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let document = response.json();
    is_sound(&document);
    assert_eq!(document["asyncapi"], "3.0.0");
    let channels: Vec<_> = document["channels"].as_object().unwrap().keys().collect();
    assert_eq!(
        channels,
        [
            "cancellationTopic",
            "customerTopic",
            "customerTopic.shop.dlq",
            "shop.orders"
        ]
    );
    let sent = &document["operations"]["publish-saga.order.created"];
    assert_eq!(
        (&sent["action"], &sent["channel"]["$ref"]),
        (&json!("send"), &json!("#/channels/shop.orders"))
    );
    let taken = &document["operations"]["take-saga.customer.credit-answered-from-customerTopic"];
    assert_eq!(
        taken["bindings"]["kafka"]["groupId"]["enum"],
        json!(["shop"])
    );
    let message = &document["channels"]["shop.orders"]["messages"]["saga.order.created"];
    assert_eq!(
        message["headers"]["properties"]["ce_type"]["const"],
        "saga.order.created"
    );
    let record = json!({"id": 1, "state": "PENDING", "orderDetails": {"customerId": 1, "orderTotal": {"amount": 300}}});
    assert_eq!(message["examples"][0]["payload"], record);
    assert_eq!(errors(&document, &message["payload"], &record), [""; 0]);
    assert_ne!(
        errors(&document, &message["payload"], &json!({"id": 1})),
        [""; 0]
    );

    let booking = host.get("booking", "/asyncapi.json").json();
    is_sound(&booking);
    let read: Vec<_> = booking["channels"]["roomEvents"]["messages"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(read, ["room-cleaned", "room-inspected"]);
    assert!(host.stop().success());
}

#[test]
fn documents_follow_a_swap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chameleon.wasm");
    Chameleon::new().write(&path);
    let host = chameleon::start(&path, directory.path())
        .setting("reload.watch_ms", 0)
        .start();
    let before = host.get("chameleon", "/openapi.json");
    let etag = before.header("etag").unwrap().to_owned();
    let asked = || {
        let url = format!("{}/openapi.json", host.url("chameleon"));
        request("GET", &url, &[("if-none-match", &etag)], b"")
    };
    assert_eq!(asked().status, 304);
    let look = json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"});
    let more = Chameleon::new().version("2.0.0").with(json!({
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}"},
            look,
            {"name": "reset", "method": "DELETE", "path": "/counters/{key}"},
        ],
        "publications": [{"event_type": "told", "topic": "toldTopic"}],
    }));
    let dropping = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    assert_eq!(request("PUT", &dropping, &[], &more.bytes()).status, 200);
    let now = asked();
    assert_eq!(now.status, 200);
    assert_ne!(now.header("etag"), Some(&*etag));
    let document = now.json();
    is_sound(&document);
    assert_eq!(document["info"]["version"], "2.0.0");
    assert!(document["paths"]["/counters/{key}"]["delete"].is_object());
    let operation = &document["paths"]["/counters/{key}"]["delete"]["operationId"];
    assert_eq!(operation, "reset");
    let events = host.get("chameleon", "/asyncapi.json").json();
    assert!(events["channels"]["toldTopic"].is_object(), "{events}");
    assert_eq!(chameleon::rollback(&host).status, 200);
    assert_eq!(asked().status, 304);
    assert!(host.stop().success());
}

#[test]
fn the_address_that_the_host_prints_leads_to_the_documents() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["order"], data.path()).start();
    let base = path_of(host.url("order"));
    for path in ["", "/", "/?a=b"] {
        let url = format!("{}{path}", host.url("order"));
        for method in ["GET", "HEAD"] {
            let sent = request(method, &url, &[], b"");
            let location = sent.header("location").map(str::to_owned);
            assert_eq!(
                (sent.status, location),
                (303, Some(format!("{base}/swagger-ui/"))),
                "{path}"
            );
        }
        let posted = request("POST", &url, &[("content-type", "application/json")], b"{}");
        problem(&posted, 404, "no-such-route");
    }
}

#[test]
fn swagger_ui_is_served_whole_and_loads_nothing_from_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["order"], data.path()).start();
    let page = host.get("order", "/swagger-ui/");
    assert_eq!(page.body, host.get("order", "/swagger-ui").body);
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let html = page.text();
    assert!(html.contains("<title>order – Swagger UI</title>"), "{html}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    assert!(
        !html.contains("<script>") && !html.contains("://"),
        "{html}"
    );
    let base = path_of(host.url("order"));
    let files: Vec<_> = html
        .split(['"'])
        .filter_map(|word| word.strip_prefix(base))
        .filter(|path| path.starts_with("/swagger-ui/"))
        .collect();
    assert_eq!(files.len(), 4, "{html}");
    for path in files {
        let file = host.get("order", path);
        assert_eq!(
            (file.status, file.header("x-content-type-options")),
            (200, Some("nosniff")),
            "{path}"
        );
        let etag = file.header("etag").unwrap();
        let url = format!("{}{path}", host.url("order"));
        let again = request(
            "GET",
            &url,
            &[("if-none-match", &format!("\"x\", W/{etag}"))],
            b"",
        );
        assert_eq!(
            (again.status, again.body.len(), again.header("etag")),
            (304, 0, Some(etag)),
            "{path}"
        );
        assert_eq!(
            request("POST", &url, &[], b"").header("allow"),
            Some("GET, HEAD, OPTIONS"),
            "{path}"
        );
    }
    for path in [
        "/swagger-ui/index.html",
        "/swagger-ui//",
        "/swagger-ui/../openapi.json",
        "/swagger-uis",
    ] {
        problem(&host.get("order", path), 404, "no-such-route");
    }
    // HEAD says how long the document is, and gives none of it.
    let head = format!(
        "HEAD {base}/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    );
    let answer = converse(host.url("order"), head.as_bytes());
    let length = host.get("order", "/openapi.json").body.len();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("content-length: {length}\r\n")),
        "{answer}"
    );
    assert!(host.stop().success());
}

#[test]
fn the_type_of_a_problem_leads_to_a_page_on_it() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["order"], data.path())
        .setting("admin.token", "a-token-of-24-characters")
        .start();
    let root = host
        .url("order")
        .strip_suffix(path_of(host.url("order")))
        .unwrap();
    for kind in Kind::ALL {
        for place in [host.url("order"), host.admin()] {
            let page = request(
                "GET",
                &format!("{place}/problems/{}", kind.word()),
                &[],
                b"",
            );
            assert_eq!(
                (page.status, page.header("content-type")),
                (200, Some("text/html; charset=utf-8"))
            );
            assert!(
                page.text()
                    .contains(&format!("HTTP status {}", kind.status())),
                "{}",
                page.text()
            );
            assert!(
                page.header("content-security-policy")
                    .unwrap()
                    .starts_with("default-src 'none'")
            );
        }
    }
    let refused = host.send(
        "order",
        "POST",
        "/orders",
        r#"{"customerId":1,"orderTotal":{"amount":0.001}}"#,
    );
    problem(&refused, 422, "invalid-order-total");
    for answer in [
        refused,
        host.get("order", "/orders/7"),
        host.get("order", "/nothing"),
    ] {
        let kind = answer.json()["type"].as_str().unwrap().to_owned();
        let page = request("GET", &format!("{root}{kind}"), &[], b"");
        assert_eq!(page.status, 200, "{kind}");
        let title = answer.json()["title"].as_str().unwrap().to_owned();
        assert!(
            page.text().contains(&format!("<h1>{title}</h1>")),
            "{}",
            page.text()
        );
    }
    for path in ["/problems", "/problems/"] {
        let list = host.get("order", path).text();
        assert!(list.contains("/problems/invalid-order-total\""), "{list}");
    }
    problem(
        &host.get("order", "/problems/nothing-like-it"),
        404,
        "no-such-route",
    );
    // The admin interface tells strangers what its problems mean, and no more.
    let stranger = request("GET", &format!("{}/generations", host.admin()), &[], b"");
    problem(&stranger, 401, "unauthorized");
    problem(
        &request("GET", &format!("{}/problemsome", host.admin()), &[], b""),
        401,
        "unauthorized",
    );
    assert!(host.stop().success());
}

#[test]
fn the_paths_of_the_host_are_not_for_components() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chameleon.wasm");
    for taken in [
        "/openapi.json",
        "/asyncapi.json",
        "/swagger-ui",
        "/problems/{key}",
    ] {
        let command =
            json!({"name": "look", "method": "GET", "path": taken, "key": "{key}", "kind": "read"});
        Chameleon::new()
            .with(json!({"commands": [command]}))
            .write(&path);
        let (status, said) = chameleon::start(&path, directory.path()).fail();
        assert_eq!(status.code(), Some(65), "{said}");
        let expected = format!("command look: path `{taken}` is the host's own");
        assert!(said.contains(&expected), "{said}");
    }
}
